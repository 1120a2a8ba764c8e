//! Operations that are done many times: with each seed, for each partition.
//!
//! Each copy is checked as an operation of its own, in the scope of its seed and partition, and
//! has the key that the operation alone would have with them. What takes from copies is spread as
//! they are, and takes from those of its own seed and partition, until an operation aggregates: it
//! takes from a [`Work::Gather`], which has what all of them gave.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;
use thrifty_engine::Seed;

use super::{Check, MOST};
use crate::document::{Axis, Operation, Output, WrittenPartitions};
use crate::error::FileError;
use crate::pipeline::{Caching, Command, Given, Maker, Origin, Placed, Reference, Work};
use crate::place::{Location, Spanned};

/// The name under which an operation finds its partition.
pub(super) const PARTITION: &str = "partition";
/// What stands in names of operations, so that it cannot stand in those of partitions.
const RESERVED: &[char] = &['/', '[', ']', '=', ','];

/// One of the copies of an operation: the key of each axis, in their order.
pub(super) type Which = Vec<(Axis, String)>;

/// Along what an operation is spread.
type Axes = BTreeMap<Axis, Arc<[Key]>>;

/// A seed or a partition.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    text: String,
    value: Json,
}

/// Seeds or partitions, and where they are written.
type Written = (Location, Arc<[Key]>);

/// The copies of one operation.
struct Copies {
    axes: Axes,
    /// The positions of all copies, in their order; the only one of an operation that is not spread.
    at: Vec<usize>,
    by_key: HashMap<Which, usize>,
    /// Who tells the partitions of each copy, if only the run tells them.
    parts: HashMap<usize, usize>,
}

/// The operations that were checked so far, each after those it takes from.
#[derive(Default)]
pub(super) struct Built<'a> {
    pub(super) commands: Vec<Command>,
    copies: HashMap<&'a str, Copies>,
    gathered: RefCell<Gathered>,
}

/// What puts the outputs of copies together for operations that were checked since.
#[derive(Default)]
struct Gathered {
    known: HashMap<(String, Which, bool), usize>,
    parts: HashMap<Reference, usize>,
    new: Vec<Command>,
}

impl<'a> Built<'a> {
    /// All operations, each after those it takes from.
    pub(super) fn all(mut self) -> Vec<Command> {
        self.settle();
        self.commands
    }

    /// An operation; of one that is spread, its first copy.
    pub(super) fn first(&self, name: &str) -> &Command {
        &self.commands[self.copies[name].at[0]]
    }

    fn settle(&mut self) {
        self.commands.append(&mut self.gathered.get_mut().new);
    }
}

impl<'a> Check<'a> {
    /// Checks all copies of the operation at a position in the file.
    pub(super) fn copies(&self, from: usize, built: &mut Built<'a>) -> Result<(), FileError> {
        let (name, spanned) = (self.name(from), &self.operations[from]);
        let axes = self.axes(name, spanned, built)?;
        let (at, by_key, parts) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut copies = Copies { axes, at, by_key, parts };
        for which in combinations(&copies.axes) {
            let mut check = self.copy(&which, spanned, &copies.axes);
            check.take_parts(name, spanned, built)?;
            let command = check.command(from, built)?;
            if let Some(parts) = check.scope.parts {
                check.is_for_parts(name, spanned, &command)?;
                copies.parts.insert(copies.at.len(), parts);
            }
            built.settle();
            copies.at.push(built.commands.len());
            copies.by_key.insert(which, built.commands.len());
            built.commands.push(command);
        }
        if let (Some(seeds), [one, ..]) = (&spanned.value.seeds, &*copies.at)
            && !draws(&built.commands[*one])
        {
            let reason = format!("`seeds` of `{name}`: none of its steps draws from a seed");
            return Err(self.wrong(seeds.referenced, reason));
        }
        if let (Some(partitions), [one, other, ..]) = (&spanned.value.partitions, &*copies.at)
            && same_for_all(&built.commands[*one], &built.commands[*other], &copies.axes)
        {
            let reason = format!(
                "all partitions of `{name}` are the same: name {{{{ params.{PARTITION} }}}} in it"
            );
            return Err(self.wrong(partitions.referenced, reason));
        }
        built.copies.insert(name, copies);
        Ok(())
    }

    /// Along what an operation is spread: as what it takes, but for what it aggregates; and as it
    /// says itself.
    fn axes(
        &self,
        name: &str,
        spanned: &Spanned<Operation>,
        built: &Built<'_>,
    ) -> Result<Axes, FileError> {
        let operation = &spanned.value;
        let (mut axes, mut aggregated) = (Axes::new(), BTreeSet::new());
        let mut told = false;
        for from in self.taken(operation)? {
            let source = &built.copies[self.name(from)];
            if !source.parts.is_empty() {
                match operation.aggregate.iter().any(|it| it.value == Axis::Partitions) {
                    true => _ = aggregated.insert(Axis::Partitions),
                    false => told = true,
                }
            }
            for (axis, keys) in &source.axes {
                if operation.aggregate.iter().any(|it| it.value == *axis) {
                    aggregated.insert(*axis);
                } else if axes.insert(*axis, Arc::clone(keys)).is_some_and(|it| it != *keys) {
                    let word = axis.word();
                    let reason = format!(
                        "`{name}` takes from operations with different `{word}`: `aggregate: {word}` of one of them first"
                    );
                    return Err(self.wrong(spanned.referenced, reason));
                }
            }
        }
        if let Some(none) = operation.aggregate.iter().find(|it| !aggregated.contains(&it.value)) {
            let reason = format!(
                "`aggregate: {0}`: nothing that `{name}` takes is spread over `{0}`",
                none.value.word()
            );
            return Err(self.wrong(none.referenced, reason));
        }
        let own = [
            (Axis::Seeds, self.seeds(operation)?),
            (Axis::Partitions, self.partitions(operation)?),
        ];
        for (axis, (at, keys)) in own.into_iter().filter_map(|(axis, keys)| Some((axis, keys?))) {
            if axes.insert(axis, keys).is_some() || (told && axis == Axis::Partitions) {
                let word = axis.word();
                let reason = format!(
                    "what `{name}` takes is spread over `{word}` already: leave them out here, or `aggregate: {word}` first"
                );
                return Err(self.wrong(at, reason));
            }
        }
        if told && axes.contains_key(&Axis::Partitions) {
            let reason = format!(
                "`{name}` takes from operations with different `partitions`: `aggregate: partitions` of one of them first"
            );
            return Err(self.wrong(spanned.referenced, reason));
        }
        self.are_not_too_many(name, spanned.referenced, &axes)?;
        Ok(axes)
    }

    /// Finds out who tells the partitions of the copy that is being checked, if only the run tells
    /// them: the same as for what it takes, or what it says itself.
    fn take_parts(
        &mut self,
        name: &str,
        spanned: &Spanned<Operation>,
        built: &Built<'_>,
    ) -> Result<(), FileError> {
        let operation = &spanned.value;
        let aggregates = operation.aggregate.iter().any(|it| it.value == Axis::Partitions);
        let mut found = BTreeSet::new();
        for from in self.taken(operation)?.into_iter().filter(|_| !aggregates) {
            let source = &built.copies[self.name(from)];
            let before: BTreeSet<usize> = self.before(self.name(from), built).into_iter().collect();
            let copies =
                source.parts.iter().filter(|(copy, _)| before.contains(&source.at[**copy]));
            found.extend(copies.map(|(_, parts)| *parts));
        }
        let own = match &operation.partitions {
            Some(Spanned { value: WrittenPartitions::From(text), referenced }) => {
                Some((*referenced, text))
            }
            _ => None,
        };
        self.scope.parts = found.first().copied();
        match (own, found.len()) {
            (None, 0 | 1) => Ok(()),
            (Some((at, text)), 0) => self.tell_parts(name, at, text, built),
            (Some((at, _)), _) => {
                let reason = format!(
                    "what `{name}` takes is spread over `partitions` already: leave them out here, or `aggregate: partitions` first"
                );
                Err(self.wrong(at, reason))
            }
            (None, _) => {
                let reason = format!(
                    "`{name}` takes from operations with different `partitions`: `aggregate: partitions` of one of them first, or as well"
                );
                Err(self.wrong(spanned.referenced, reason))
            }
        }
    }

    /// Has the operation find its part of an output as `params.partition` or `inputs.partition`.
    fn tell_parts(
        &mut self,
        name: &str,
        at: Location,
        text: &str,
        built: &Built<'_>,
    ) -> Result<(), FileError> {
        if self.scope.copy.iter().any(|(axis, _)| *axis == Axis::Partitions) {
            let reason = format!("`{name}` is spread over `partitions` already");
            return Err(self.wrong(at, reason));
        }
        let (from, kind) = self.reference(at, text, built)?;
        let is_file = matches!(kind, Output::File(_) | Output::Metrics(_) | Output::Plot(_));
        if is_file {
            let reason = format!(
                "`{text}` is a file, which has no parts: make a directory of it, such as {{dir: parts}}, or a list, {{json: parts.json}}"
            );
            return Err(self.wrong(at, reason));
        }
        let mut gathered = built.gathered.borrow_mut();
        let Gathered { parts, new, .. } = &mut *gathered;
        let position = *parts.entry(from.clone()).or_insert_with(|| {
            let name = format!("{}{text}{}", self.scope.shown, suffix(&self.scope.copy));
            let params = vec![("of".to_owned(), Given::From(from))];
            new.push(Command { work: Work::Parts, params, ..self.gathering(name, Vec::new()) });
            built.commands.len() + new.len() - 1
        });
        let output = PARTITION.to_owned();
        let part = Reference { from: Maker::Parts(position), output, each: true };
        if kind.as_file().is_none() {
            self.scope.late.insert(PARTITION.to_owned(), part.clone());
        }
        if !matches!(kind, Output::Json { .. }) {
            let (name, to) = (PARTITION.to_owned(), PARTITION.to_owned());
            self.scope.inputs.push(Placed { name, from: Origin::Output(part), to });
        }
        self.scope.parts = Some(position);
        Ok(())
    }

    /// What is done for each partition takes it, and leaves nothing that would be the same place for all.
    fn is_for_parts(
        &self,
        name: &str,
        spanned: &Spanned<Operation>,
        command: &Command,
    ) -> Result<(), FileError> {
        if !command.is_for_each() {
            let reason = format!(
                "`{name}` does not take its partition: name {{{{ params.{PARTITION} }}}}, or write inputs: {{rows: {{from: inputs.{PARTITION}}}}}"
            );
            return Err(self.wrong(spanned.referenced, reason));
        }
        match keeps_artifacts(command) {
            true => {
                let reason = format!(
                    "`{name}` keeps `artifacts` for partitions that only the run tells: write the partitions down, or make it an output"
                );
                Err(self.wrong(spanned.referenced, reason))
            }
            false => Ok(()),
        }
    }

    fn are_not_too_many(&self, name: &str, at: Location, axes: &Axes) -> Result<(), FileError> {
        let all = axes.values().map(|keys| keys.len() as u128).product::<u128>();
        if all <= MOST as u128 {
            return Ok(());
        }
        let of: Vec<_> =
            axes.iter().map(|(axis, keys)| format!("{} {}", keys.len(), axis.word())).collect();
        let reason = format!(
            "`{name}` would be {all} operations ({}); a pipeline may have {MOST}",
            of.join(" × ")
        );
        Err(self.wrong(at, reason))
    }

    fn seeds(&self, operation: &Operation) -> Result<Option<Written>, FileError> {
        let Some(Spanned { value, referenced: at }) = &operation.seeds else { return Ok(None) };
        if let Some(seed) = &operation.seed {
            let reason = "it has `seed` and `seeds`: it may have one of them";
            return Err(self.wrong(seed.referenced, reason));
        }
        let wrong = |why: &str| {
            let reason = format!("`seeds` {why}; it is a list of whole numbers from 0 on");
            self.wrong(*at, reason)
        };
        let seeds = self.listed(*at, value, &wrong)?;
        match seeds.iter().find(|key| key.value.as_u64().and_then(Seed::new).is_none()) {
            Some(key) => Err(wrong(&format!("has {}, which is no seed", key.value))),
            None => Ok(Some((*at, seeds))),
        }
    }

    fn partitions(&self, operation: &Operation) -> Result<Option<Written>, FileError> {
        let Some(Spanned { value: WrittenPartitions::Listed(value), referenced: at }) =
            &operation.partitions
        else {
            return Ok(None);
        };
        let wrong = |why: &str| {
            let reason = format!("`partitions` {why}; it is a list of texts or numbers");
            self.wrong(*at, reason)
        };
        let partitions = self.listed(*at, value, &wrong)?;
        for Key { text, value } in partitions.iter() {
            if value.is_object() || value.is_array() || value.is_null() {
                return Err(wrong(&format!("has {value}, which is neither")));
            }
            if text.is_empty()
                || text.len() > 100
                || [".", ".."].contains(&&**text)
                || text.contains(RESERVED)
                || text.contains(char::is_control)
            {
                let why = format!(
                    "has `{}`, of which no name of a directory can be made",
                    text.escape_debug()
                );
                return Err(wrong(&why));
            }
        }
        if self.scope.values.contains_key(PARTITION) || self.scope.late.contains_key(PARTITION) {
            let reason = format!("there is a param `{PARTITION}` around it: give it another name");
            return Err(self.wrong(*at, reason));
        }
        Ok(Some((*at, partitions)))
    }

    /// Different values, written as a list or as a param that is one.
    fn listed(
        &self,
        at: Location,
        value: &Json,
        wrong: &dyn Fn(&str) -> FileError,
    ) -> Result<Arc<[Key]>, FileError> {
        let filled = self.filled(at, value)?;
        let items = filled.as_array().ok_or_else(|| wrong(&format!("is {filled}")))?;
        if items.is_empty() {
            return Err(wrong("is empty"));
        }
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let keys = items.iter().map(|value| Key { text: text(value), value: value.clone() });
        let keys: Arc<[Key]> = keys.collect();
        let mut seen = BTreeSet::new();
        match keys.iter().find(|key| !seen.insert(&key.text)) {
            Some(twice) => Err(wrong(&format!("has `{}` twice", twice.text))),
            None => Ok(keys),
        }
    }

    /// The check of one copy.
    fn copy(&self, which: &Which, spanned: &Spanned<Operation>, axes: &Axes) -> Check<'a> {
        let mut scope = self.scope.clone();
        for (axis, text) in which {
            let Some(key) = axes[axis].iter().find(|key| key.text == *text) else { continue };
            match axis {
                Axis::Seeds => scope.drawn = key.value.as_u64().and_then(Seed::new),
                Axis::Partitions if spanned.value.partitions.is_some() => {
                    scope.values.insert(PARTITION.to_owned(), key.value.clone());
                }
                Axis::Partitions => {}
            }
        }
        scope.copy.clone_from(which);
        Check { world: self.world, operations: self.operations, scope }
    }

    /// What an output of an operation is for the one that is being checked: that of the copy with
    /// its own seed and partition, or what all copies gave, along what it is not spread itself.
    pub(super) fn taken_of(
        &self,
        name: &str,
        output: &str,
        kind: Output,
        built: &Built<'_>,
    ) -> (Reference, Output) {
        let copies = &built.copies[name];
        let own = self.own(copies);
        // Of partitions that only the run tells: its own, or all of them.
        let each = self.scope.parts.is_some() && !copies.parts.is_empty();
        let reference = |position: usize| Reference {
            from: built.commands[position].maker(position),
            output: output.to_owned(),
            each,
        };
        if own.len() == copies.axes.len() && (each || copies.parts.is_empty()) {
            return (reference(copies.by_key[&own]), kind);
        }
        let kind = match kind.as_file() {
            Some(_) => Output::Directory(String::new()),
            None => kind,
        };
        if own.len() == copies.axes.len() {
            return (reference(copies.by_key[&own]), kind);
        }
        let whole =
            |position| Reference { from: Maker::Whole(position), output: output.to_owned(), each };
        let mut gathered = built.gathered.borrow_mut();
        let known = (format!("{name}.{output}"), own, each);
        if let Some(position) = gathered.known.get(&known) {
            return (whole(*position), kind);
        }
        let agrees = |which: &Which| known.1.iter().all(|key| which.contains(key));
        let all = combinations(&copies.axes).into_iter().zip(&copies.at);
        let parts = all.filter(|(which, _)| agrees(which)).map(|(which, position)| {
            let left = which.into_iter().filter(|key| !known.1.contains(key));
            (left.map(|(_, text)| text).collect(), reference(*position))
        });
        let shown = format!("{}{}{}", self.scope.shown, known.0, suffix(&known.1));
        let command = self.gathering(shown, parts.collect());
        let position = built.commands.len() + gathered.new.len();
        gathered.new.push(command);
        gathered.known.insert(known, position);
        (whole(position), kind)
    }

    /// The copies of an operation that the one that is being checked comes after.
    pub(super) fn before(&self, name: &str, built: &Built<'_>) -> Vec<usize> {
        let copies = &built.copies[name];
        let own = self.own(copies);
        if own.len() == copies.axes.len() {
            return vec![copies.by_key[&own]];
        }
        let agrees = |which: &Which| own.iter().all(|key| which.contains(key));
        let all = copies.by_key.iter().filter(|(which, _)| agrees(which));
        let mut all: Vec<_> = all.map(|(_, position)| *position).collect();
        all.sort_unstable();
        all
    }

    /// The keys of the copy that is being checked, as far as another operation has these axes.
    fn own(&self, copies: &Copies) -> Which {
        let own = self.scope.copy.iter().filter(|(axis, _)| copies.axes.contains_key(axis));
        own.cloned().collect()
    }

    fn gathering(&self, name: String, parts: Vec<(Vec<String>, Reference)>) -> Command {
        let (keys, references): (Vec<Vec<String>>, Vec<_>) = parts.into_iter().unzip();
        let params = references.into_iter().enumerate();
        let params = params.map(|(number, from)| (number.to_string(), Given::From(from)));
        Command {
            operation: format!("{}{name}", self.scope.counted),
            name,
            base: Arc::clone(&self.scope.base),
            work: Work::Gather(keys),
            params: params.collect(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            env: Vec::new(),
            code: Vec::new(),
            programs: Vec::new(),
            tool: None,
            texts: Vec::new(),
            called: Vec::new(),
            assigned: Vec::new(),
            undeclared: Vec::new(),
            absent: Vec::new(),
            needs: Vec::new(),
            cache: Caching::default(),
            seed: None,
            joins: Vec::new(),
            image: None,
            resources: None,
            matrix: None,
            endurance: crate::endurance::Endurance::default(),
            timeout: None,
        }
    }
}

/// What stands behind the name of a copy.
pub(super) fn suffix(which: &Which) -> String {
    if which.is_empty() {
        return String::new();
    }
    let keys: Vec<_> = which.iter().map(|(axis, text)| format!("{}={text}", axis.one())).collect();
    format!("[{}]", keys.join(","))
}

/// Every combination of the keys, the last axis changing fastest; without an axis, one.
fn combinations(axes: &Axes) -> Vec<Which> {
    let mut all = vec![Which::new()];
    for (axis, keys) in axes {
        let with = |before: &Which| {
            let before = before.clone();
            keys.iter()
                .map(move |key| before.iter().cloned().chain([(*axis, key.text.clone())]).collect())
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// Whether it, or a step of it, draws from a seed.
fn draws(command: &Command) -> bool {
    match &command.work {
        Work::Process(process) => process.steps.iter().any(draws),
        Work::Run(_) | Work::Task(_) | Work::Gather(_) | Work::Parts => command.seed.is_some(),
    }
}

fn keeps_artifacts(command: &Command) -> bool {
    match &command.work {
        Work::Process(process) => process.steps.iter().any(keeps_artifacts),
        _ => command.endurance.artifacts.is_some(),
    }
}

/// Whether nothing of a copy depends on its partition.
fn same_for_all(one: &Command, other: &Command, axes: &Axes) -> bool {
    let is_process = matches!(one.work, Work::Process(_));
    axes.len() == 1
        && axes.contains_key(&Axis::Partitions)
        && one.params == other.params
        && one.inputs == other.inputs
        && (is_process
            || (one.work == other.work
                && one.env == other.env
                && one.code == other.code
                && one.outputs == other.outputs))
}
