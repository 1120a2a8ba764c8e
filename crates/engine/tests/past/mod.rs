//! A past to look back on: runs, nodes and entries, written through the catalog's contract.

#![allow(dead_code, reason = "every test program uses its own part of this")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thrifty_engine::catalog::{
    BlobRef, Catalog, Claim, Committed, EntryId, Found, NewEntry, NewRun, Node, Origin, Request,
    Run, RunFilter, RunId, RunStatus, Scope, Sqlite,
};
use thrifty_engine::key::{Digest, Ingredients, Kind, Preview, plain};
use thrifty_engine::record::Record;

pub fn scope() -> Scope {
    Scope { project: "flights".to_owned(), domain: "development".to_owned() }
}

pub fn digest(text: &str) -> Digest {
    plain::digest_text(text)
}

/// Ingredients with text previews: `("code", "clean.LIMIT", "1440")`.
pub fn made_of(parts: &[(Kind, &str, &str)]) -> Ingredients {
    let mut all = Ingredients::new();
    for (kind, name, value) in parts {
        all.add(*kind, *name, digest(value), Preview::text(*value)).unwrap();
    }
    all
}

pub fn record(text: &str) -> Vec<u8> {
    Record::Plain(plain::text(text)).to_bytes()
}

/// An entry without a run, made of its operation and one input, of a commit of its own.
pub fn new_entry(operation: &str, input: &str, blobs: Vec<BlobRef>) -> NewEntry {
    let ingredients = made_of(&[(Kind::Operation, "name", operation), (Kind::Inputs, "x", input)]);
    static COMMITS: AtomicU64 = AtomicU64::new(0);
    NewEntry {
        id: COMMITS.fetch_add(1, Ordering::Relaxed).into(),
        key: ingredients.key(),
        operation: operation.to_owned(),
        ingredients,
        output: record(input),
        output_digest: digest(input),
        blobs,
        cost: Duration::from_secs(1),
        expires_at: None,
        origin: Origin::default(),
        observed: vec![],
        made_of: Default::default(),
        parts: vec![],
    }
}

pub fn commit(catalog: &Sqlite, entry: &NewEntry) -> EntryId {
    let request = Request { key: entry.key, max_age: None };
    let found = catalog.lookup(&scope(), &[request]).unwrap().remove(0);
    let Found::Miss(slot, _) = found else { panic!("{} is there already", entry.operation) };
    let claim = Claim { epoch: slot.epoch, ..Claim::default() };
    match catalog.commit(&scope(), entry, &claim).unwrap() {
        Committed::Stored(id) => id,
        other => panic!("{other:?}"),
    }
}

/// A run under way.
pub struct Past<'a> {
    pub catalog: &'a Sqlite,
    pub id: RunId,
}

impl<'a> Past<'a> {
    pub fn begin(catalog: &'a Sqlite, name: &str) -> Self {
        let run = NewRun { name: name.to_owned(), ..NewRun::default() };
        Self { catalog, id: catalog.begin_run(&scope(), &run).unwrap() }
    }

    pub fn run(&self) -> Run {
        let filter = RunFilter { id_prefix: Some(self.id.0.clone()), ..RunFilter::default() };
        self.catalog.runs(None, &filter).unwrap().remove(0)
    }

    pub fn node(&self, number: u32, operation: &str, ingredients: &Ingredients) -> Node {
        Node {
            number,
            operation: operation.to_owned(),
            key: Some(ingredients.key()),
            ingredients: None,
            outcome: "computed".to_owned(),
            detail: "no entry".to_owned(),
            reason: String::new(),
            rule: "default".to_owned(),
            entry: None,
            source: None,
            output_digest: None,
            count: 1,
            at: self.catalog.now().unwrap(),
            spent: Duration::from_millis(1_500),
            saved: Duration::ZERO,
            upstream: Vec::new(),
            takes: Vec::new(),
            parent: None,
        }
    }

    /// A node that ran and was stored.
    pub fn computed(
        &self,
        number: u32,
        operation: &str,
        parts: &[(Kind, &str, &str)],
        output: &str,
        upstream: &[u32],
    ) -> Node {
        let nodes = self.catalog.nodes(&self.id).unwrap();
        let taken = |value: &str| -> Vec<u32> {
            let output = Some(digest(value));
            let whole =
                |n: &&u32| nodes.iter().any(|it| it.number == **n && it.output_digest == output);
            upstream.iter().filter(whole).copied().collect()
        };
        let inputs = parts.iter().filter(|(kind, ..)| *kind == Kind::Inputs);
        let takes = inputs.map(|(_, name, value)| ((*name).to_owned(), taken(value)));
        let takes = takes.filter(|(_, numbers)| !numbers.is_empty()).collect();
        self.computed_taking(number, operation, parts, output, upstream, takes)
    }

    /// A node that ran and was stored, with what each of its inputs holds.
    pub fn computed_taking(
        &self,
        number: u32,
        operation: &str,
        parts: &[(Kind, &str, &str)],
        output: &str,
        upstream: &[u32],
        takes: Vec<(String, Vec<u32>)>,
    ) -> Node {
        let ingredients = made_of(parts);
        let entry = NewEntry {
            id: 1,
            key: ingredients.key(),
            operation: operation.to_owned(),
            ingredients: ingredients.clone(),
            output: record(output),
            output_digest: digest(output),
            blobs: Vec::new(),
            cost: Duration::from_millis(1_500),
            expires_at: None,
            origin: Origin {
                run: Some(self.id.clone()),
                node: number,
                host: "desk".to_owned(),
                user: "ada".to_owned(),
            },
            observed: vec![],
            made_of: Default::default(),
            parts: vec![],
        };
        let node = Node {
            entry: Some(commit(self.catalog, &entry)),
            output_digest: Some(digest(output)),
            upstream: upstream.to_vec(),
            takes,
            ..self.node(number, operation, &ingredients)
        };
        self.record(&node);
        node
    }

    pub fn record(&self, node: &Node) {
        self.catalog.record(&self.id, std::slice::from_ref(node)).unwrap();
    }

    pub fn finish(&self, status: RunStatus) {
        self.catalog.finish_run(&self.id, status).unwrap();
    }
}
