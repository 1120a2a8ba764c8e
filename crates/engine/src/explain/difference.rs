//! Differences, made ready to be shown.

use std::cell::RefCell;
use std::collections::HashMap;

use similar::{Algorithm, DiffOp};
use thrifty_catalog::{Catalog, CatalogError, Node};
use thrifty_key::explain::{Change, Difference};
use thrifty_key::{Digest, Ingredients, Kind, Preview};
use thrifty_source::LogicalLine;

use super::calls::{Earlier, Nearest};
use super::{Explainer, HIDDEN, Shown, Upstream, has_run};

impl Explainer<'_> {
    /// What differs from the nearest earlier call; and, of a plan, what is not known yet.
    pub(super) fn shown(
        &self,
        node: &Node,
        ingredients: &Ingredients,
        earlier: &Earlier,
        nearest: &Nearest,
    ) -> Result<Vec<Shown>, CatalogError> {
        let mut all = Vec::with_capacity(nearest.differences.len());
        for difference in &nearest.differences {
            let (change, old, new) = parts_of(&difference.change);
            let (old, new, diff) = self.texts.shown(&difference.name, old, new)?;
            let digest = |side: &Ingredients| {
                side.part(difference.kind, &difference.name).map(|part| part.digest)
            };
            all.push(Shown {
                kind: difference.kind,
                name: difference.name.clone(),
                change,
                old,
                new,
                diff,
                upstream: self.sources(node, difference, ingredients),
                digests: (digest(&earlier.ingredients), digest(ingredients)),
            });
        }
        all.extend(self.subject.pending(node).into_iter().map(|name| self.pending(node, name)));
        Ok(all)
    }

    fn pending(&self, node: &Node, name: &str) -> Shown {
        Shown {
            kind: Kind::Inputs,
            name: name.to_owned(),
            change: "pending",
            old: None,
            new: None,
            diff: None,
            upstream: self.named(taken(node, name)),
            digests: (None, None),
        }
    }

    /// The upstream nodes that an input with another value came from.
    fn sources(
        &self,
        node: &Node,
        difference: &Difference,
        ingredients: &Ingredients,
    ) -> Vec<Upstream> {
        if difference.kind != Kind::Inputs {
            return Vec::new();
        }
        let digest = ingredients.part(Kind::Inputs, &difference.name).map(|part| part.digest);
        let numbers = taken(node, &difference.name);
        let is_changed = |number: &&u32| self.gave_another_output(**number);
        let changed: Vec<u32> = numbers.iter().filter(is_changed).copied().collect();
        if !changed.is_empty() {
            return self.named(&changed);
        }
        if numbers.is_empty() {
            // History without what each input takes: an input may be the whole of an output.
            let output = |number: &u32| self.subject.nodes.get(number)?.output_digest;
            let is_whole = |number: &&u32| digest.is_some() && output(number) == digest;
            let whole: Vec<u32> = node.upstream.iter().filter(is_whole).copied().collect();
            return self.named(&whole);
        }
        self.named(numbers)
    }

    fn named(&self, numbers: &[u32]) -> Vec<Upstream> {
        let nodes = numbers.iter().filter_map(|number| self.subject.nodes.get(number));
        nodes.map(|it| Upstream { node: it.number, operation: it.operation.clone() }).collect()
    }

    /// Whether a node ran and gave another output than the call it is compared with.
    fn gave_another_output(&self, number: u32) -> bool {
        let Some(node) = self.subject.nodes.get(&number).filter(|node| has_run(node)) else {
            return false;
        };
        let nearest = self.compared.0.get(&number);
        let earlier = nearest.and_then(|it| self.history.call(&node.operation, it.call));
        earlier.is_none_or(|it| it.output.is_none() || it.output != node.output_digest)
    }
}

/// The nodes whose outputs stand in an input.
fn taken<'a>(node: &'a Node, input: &str) -> &'a [u32] {
    let of_input = node.takes.iter().find(|(name, _)| name == input);
    of_input.map(|(_, numbers)| numbers.as_slice()).unwrap_or_default()
}

const fn parts_of(change: &Change) -> (&'static str, Option<&Preview>, Option<&Preview>) {
    match change {
        Change::Added { new } => ("added", None, Some(new)),
        Change::Removed { old } => ("removed", Some(old), None),
        Change::Changed { old, new } => ("changed", Some(old), Some(new)),
    }
}

/// Both sides in short, and the difference of longer texts.
type Sides = (Option<String>, Option<String>, Option<String>);

/// Source texts, each read from the catalog once.
pub(super) struct Texts<'a> {
    catalog: &'a dyn Catalog,
    /// Those of a plan.
    planned: Option<&'a HashMap<Digest, String>>,
    known: RefCell<HashMap<Digest, Option<String>>>,
    compared: RefCell<HashMap<(Digest, Digest), Sides>>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(
        catalog: &'a dyn Catalog,
        planned: Option<&'a HashMap<Digest, String>>,
    ) -> Self {
        Self { catalog, planned, known: RefCell::default(), compared: RefCell::default() }
    }

    pub(super) const fn catalog(&self) -> &'a dyn Catalog {
        self.catalog
    }

    fn shown(
        &self,
        name: &str,
        old: Option<&Preview>,
        new: Option<&Preview>,
    ) -> Result<Sides, CatalogError> {
        if let (Some(Preview::Source(old)), Some(Preview::Source(new))) = (old, new) {
            return self.compare(name, *old, *new);
        }
        Ok((self.one(old)?, self.one(new)?, None))
    }

    /// What is shown of one side alone.
    fn one(&self, preview: Option<&Preview>) -> Result<Option<String>, CatalogError> {
        Ok(match preview {
            None => None,
            Some(Preview::Text(text)) => Some(text.clone()),
            Some(Preview::Hidden) => Some(HIDDEN.to_owned()),
            Some(Preview::Source(digest)) => self.text(digest)?.filter(|text| is_line(text)),
        })
    }

    fn compare(&self, name: &str, old: Digest, new: Digest) -> Result<Sides, CatalogError> {
        if let Some(sides) = self.compared.borrow().get(&(old, new)) {
            return Ok(sides.clone());
        }
        let sides = match self.text(&old)?.zip(self.text(&new)?) {
            Some((old, new)) if is_line(&old) && is_line(&new) => {
                (Some(old.trim().to_owned()), Some(new.trim().to_owned()), None)
            }
            Some((old, new)) => (None, None, Some(diff_of(name, &old, &new))),
            None => (None, None, None),
        };
        self.compared.borrow_mut().insert((old, new), sides.clone());
        Ok(sides)
    }

    fn text(&self, digest: &Digest) -> Result<Option<String>, CatalogError> {
        if let Some(text) = self.planned.and_then(|planned| planned.get(digest)) {
            return Ok(Some(text.clone()));
        }
        if let Some(text) = self.known.borrow().get(digest) {
            return Ok(text.clone());
        }
        let text = self.catalog.text(digest)?;
        self.known.borrow_mut().insert(*digest, text.clone());
        Ok(text)
    }
}

/// Whether a source text is shown whole, as a constant mostly can be.
fn is_line(source: &str) -> bool {
    const LIMIT: usize = 80;
    source.len() <= LIMIT && !source.trim_end().contains('\n')
}

/// The difference of two source texts: of Python, only of what its digest may depend on.
fn diff_of(name: &str, old: &str, new: &str) -> String {
    let of_python = || {
        if !is_unit(name) {
            return None;
        }
        let (old, new) =
            aligned(&thrifty_source::logical_lines(old)?, &thrifty_source::logical_lines(new)?);
        (old != new).then(|| unified_diff(&old, &new))
    };
    of_python().unwrap_or_else(|| unified_diff(old, new))
}

/// Whether the part is Python code and not a file that counts by its text.
fn is_unit(name: &str) -> bool {
    let is_dotted = |text: &str| text.chars().all(|it| it.is_alphanumeric() || "._<>".contains(it));
    name.split_once(':').is_some_and(|(module, _)| is_dotted(module))
}

/// Both texts without comments and docstrings; lines that are the same but for their layout are
/// laid out alike.
fn aligned(old: &[LogicalLine], new: &[LogicalLine]) -> (String, String) {
    let keys = |lines: &[LogicalLine]| -> Vec<String> {
        lines.iter().map(|line| line.key.clone()).collect()
    };
    let text =
        |lines: &[LogicalLine]| -> String { lines.iter().map(|line| line.text.as_str()).collect() };
    let mut before = String::new();
    for step in similar::capture_diff_slices(Algorithm::Myers, &keys(old), &keys(new)) {
        before += &match step {
            DiffOp::Equal { new_index, len, .. } => text(&new[new_index..new_index + len]),
            DiffOp::Delete { .. } | DiffOp::Replace { .. } => text(&old[step.old_range()]),
            DiffOp::Insert { .. } => String::new(),
        };
    }
    (before, text(new))
}

/// The changed lines of a text with three lines around them, in the form of `diff -u`.
pub fn unified_diff(old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.unified_diff()
        .context_radius(3)
        .missing_newline_hint(false)
        .header("before", "now")
        .to_string()
}
