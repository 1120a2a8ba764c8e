//! The answers to joins: what the cache holds now, in the places of params and inputs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tempfile::TempDir;
use thrifty_engine::Cache;
use thrifty_engine::catalog::{CatalogError, Entry, EntryId, RunFilter, RunId, Selector};

use crate::error::PrepareError;
use crate::given;
use crate::join::{Facts, Joined, MOST, Order, Query};
use crate::part;
use crate::pipeline::{Command, Given, Origin, Pipeline, Placed, Work};
use crate::workplace;

/// How many entries are asked for at once.
const PAGE: usize = 500;

/// Pipelines whose joins are answered.
pub(crate) struct Answers<'a> {
    cache: &'a Cache,
    work: &'a Path,
    /// What was found, for people.
    pub(crate) notes: Vec<String>,
    /// Where files of joins are, as long as the run lasts.
    pub(crate) directory: Option<TempDir>,
    made: usize,
}

impl<'a> Answers<'a> {
    pub(crate) const fn new(cache: &'a Cache, work: &'a Path) -> Self {
        Self { cache, work, notes: Vec::new(), directory: None, made: 0 }
    }

    /// The pipeline with what its joins found in their places.
    pub(crate) fn to<'p>(
        &mut self,
        pipeline: &'p Pipeline,
    ) -> Result<Cow<'p, Pipeline>, PrepareError> {
        if !has_joins(&pipeline.commands) {
            return Ok(Cow::Borrowed(pipeline));
        }
        let mut answered = pipeline.clone();
        self.in_all(&mut answered.commands)?;
        Ok(Cow::Owned(answered))
    }

    fn in_all(&mut self, commands: &mut [Command]) -> Result<(), PrepareError> {
        for command in commands {
            for join in std::mem::take(&mut command.joins) {
                self.answer(command, &join)?;
            }
            if let Work::Process(process) = &mut command.work {
                self.in_all(&mut process.steps)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, command: &mut Command, join: &Joined) -> Result<(), PrepareError> {
        let refused = |reason| PrepareError::Refused { place: join.place.clone(), reason };
        let found = self.find(join).map_err(refused)?;
        let (name, of, count) = (&join.name, &command.name, found.len());
        let results = if count == 1 { "result" } else { "results" };
        self.notes.push(format!("join `{name}` of {of}: {count} {results}"));
        match &join.to {
            None => {
                let values: Vec<Json> = found
                    .iter()
                    .map(|facts| facts.value(join))
                    .collect::<Result<_, _>>()
                    .map_err(refused)?;
                command.params.push((join.name.clone(), Given::Value(Json::Array(values))));
                command.params.sort_by(|a, b| a.0.cmp(&b.0));
            }
            Some(to) => {
                let path = self.put(&found, join).map_err(refused)?;
                let from = Origin::Path(path);
                command.inputs.push(Placed { name: join.name.clone(), from, to: to.clone() });
            }
        }
        Ok(())
    }

    /// Puts the files that were found into a directory: one of its own for each, by number.
    fn put(&mut self, found: &[Facts], join: &Joined) -> Result<PathBuf, String> {
        let told = |error: std::io::Error| format!("cannot write {}: {error}", self.work.display());
        if self.directory.is_none() {
            self.directory = Some(workplace::for_joins(self.work).map_err(told)?);
        }
        let above = self.directory.as_ref().map_or(self.work, TempDir::path);
        let directory = above.join(self.made.to_string());
        self.made += 1;
        fs::create_dir(&directory).map_err(told)?;
        for (number, facts) in found.iter().enumerate() {
            let own = directory.join(format!("{number:04}"));
            fs::create_dir(&own).map_err(told)?;
            part::restore_in(&facts.record(join)?, &**self.cache.blobs(), &own)
                .map_err(|reason| format!("`{}` of {}: {reason}", join.from, facts.operation))?;
        }
        Ok(directory)
    }

    /// The results that a join asks for, in its order.
    fn find(&mut self, join: &Joined) -> Result<Vec<Facts>, String> {
        let told = |error: CatalogError| error.to_string();
        let now = self.cache.catalog().now().map_err(told)?;
        let runs = self.runs(&join.query).map_err(told)?;
        let mut found: HashMap<EntryId, Facts> = HashMap::new();
        let mut seen = Vec::new();
        for operation in join.query.operations() {
            self.entries(operation, &mut |entry| {
                let taken_by = runs.get(&entry.id).cloned().unwrap_or_default();
                let facts = Facts::of(entry, taken_by, given::is_of_command);
                if seen.len() < 20 {
                    seen.push(facts.names());
                }
                if facts.is_valid(now) && join.query.admits(&facts, now) {
                    found.entry(facts.id).or_insert(facts);
                }
            })
            .map_err(told)?;
        }
        let mut found: Vec<_> = found.into_values().collect();
        if found.is_empty() {
            join.query.check_names(&seen)?;
        }
        found.sort_by(|a, b| Order::compare(&join.sort, a, b));
        let limit = join.limit.unwrap_or(MOST);
        if found.len() > limit && join.limit.is_none() {
            let more = found.len() - limit;
            self.notes.push(format!(
                "join `{}`: the first {MOST} are taken, and {more} more are left out: ask for fewer, or say `limit`",
                join.name
            ));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Goes through the entries of an operation, newest first.
    fn entries(&self, operation: &str, take: &mut dyn FnMut(Entry)) -> Result<(), CatalogError> {
        let mut before = None;
        loop {
            let operation = Some(operation.to_owned());
            let selector = Selector { operation, before, ..Selector::default() };
            let catalog = self.cache.catalog();
            let page = catalog.entries(Some(self.cache.scope()), &selector, PAGE)?;
            let is_last = page.len() < PAGE;
            before = page.iter().map(|entry| entry.id).min();
            page.into_iter().for_each(&mut *take);
            if is_last {
                return Ok(());
            }
        }
    }

    /// The runs that the query names, by the entries that they computed or took.
    fn runs(&self, query: &Query) -> Result<HashMap<EntryId, Vec<RunId>>, CatalogError> {
        let catalog = self.cache.catalog();
        let mut taken: HashMap<EntryId, Vec<RunId>> = HashMap::new();
        for prefix in query.runs() {
            let filter = RunFilter { id_prefix: Some(prefix.to_owned()), ..RunFilter::default() };
            for run in catalog.runs(Some(self.cache.scope()), &filter)? {
                for entry in catalog.nodes(&run.id)?.into_iter().filter_map(|node| node.entry) {
                    taken.entry(entry).or_default().push(run.id.clone());
                }
            }
        }
        Ok(taken)
    }
}

fn has_joins(commands: &[Command]) -> bool {
    commands.iter().any(|command| match &command.work {
        Work::Process(process) => has_joins(&process.steps),
        _ => !command.joins.is_empty(),
    })
}
