//! What is known about a result.

use serde_json::Value as Json;
use thrifty_engine::catalog::{Entry, EntryId, RunId, Time};
use thrifty_engine::record::{Record, Shape, Step};
use thrifty_key::plain;
use thrifty_key::{Kind, Preview};

use crate::json;

/// What is known about a result.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) id: EntryId,
    pub(crate) operation: String,
    /// The run that computed it, and those of the query that took it.
    pub(crate) runs: Vec<RunId>,
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) started: Time,
    pub(crate) finished: Time,
    pub(crate) used: Time,
    /// Milliseconds.
    pub(crate) took: i64,
    /// By name, in the order of the key; `None` where nothing may be shown, or too little.
    pub(crate) params: Vec<(String, Option<Json>)>,
    expires: Option<Time>,
    output: Option<Record>,
    /// Whether that is what a command gave: its outputs by name, and the log.
    is_command: bool,
}

impl Facts {
    /// What is known about an entry that these runs took.
    pub(crate) fn of(entry: Entry, taken_by: Vec<RunId>, is_command: fn(&Record) -> bool) -> Self {
        // What cannot be read is no result.
        let output = Record::from_bytes(&entry.output).ok();
        let inputs = entry.ingredients.parts(Kind::Inputs);
        let params = inputs.map(|(name, part)| (name.to_owned(), shown(&part.preview))).collect();
        let took = i64::try_from(entry.cost.as_millis()).unwrap_or(i64::MAX);
        Self {
            id: entry.id,
            operation: entry.operation,
            runs: entry.origin.run.into_iter().chain(taken_by).collect(),
            host: entry.origin.host,
            user: entry.origin.user,
            started: entry.created_at.saturating_sub(took),
            finished: entry.created_at,
            used: entry.used_at,
            took,
            params,
            expires: entry.expires_at,
            is_command: output.as_ref().is_some_and(is_command),
            output,
        }
    }

    /// Whether it may still be handed over.
    pub(crate) fn is_valid(&self, now: Time) -> bool {
        self.output.is_some() && self.expires.is_none_or(|at| at > now)
    }

    /// A param, if it may be compared.
    pub(crate) fn param(&self, name: &str) -> Option<&Json> {
        self.params.iter().find(|(known, _)| known == name)?.1.as_ref()
    }

    /// An output of a command, a part of what a task gave, or all of it.
    pub(crate) fn output(&self, name: &str) -> Option<Record> {
        let whole = self.output.as_ref()?;
        let of_command = whole
            .select(&[Step(plain::int(0)), Step(plain::text(name))])
            .filter(|_| self.is_command);
        let of_task = || whole.select(&[Step(plain::text(name))]).filter(|_| !self.is_command);
        of_command.or_else(of_task).or_else(|| (name == "result").then(|| whole.clone()))
    }

    /// The value of an output, if it is one.
    pub(crate) fn value_of(&self, name: &str) -> Option<Json> {
        match self.output(name)? {
            Record::Plain(encoding) => json::decode(&encoding),
            _ => None,
        }
    }

    /// The names of its outputs.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let whole = self.output.as_ref();
        let table = match self.is_command {
            true => whole.and_then(|record| record.select(&[Step(plain::int(0))])),
            false => whole.cloned(),
        };
        match table {
            Some(Record::Composite { container: Shape::Dict(names), .. }) => names
                .iter()
                .filter_map(|name| Some(json::decode(name)?.as_str()?.to_owned()))
                .collect(),
            Some(Record::Plain(encoding)) => match json::decode(&encoding) {
                Some(Json::Object(table)) => table.keys().cloned().collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The names that a query may ask of it.
    pub(crate) fn names(&self) -> Vec<String> {
        let params = self.params.iter().map(|(name, _)| format!("params.{name}"));
        params.chain(self.outputs().into_iter().map(|name| format!("outputs.{name}"))).collect()
    }
}

/// The value behind a preview: as JSON where it is, a text without quotes otherwise.
fn shown(preview: &Preview) -> Option<Json> {
    let Preview::Text(text) = preview else { return None };
    // It was cut, so that two different values may look the same.
    if text.ends_with('…') {
        return None;
    }
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    Some(match (serde_json::from_str(text), text.as_str(), quoted) {
        (Ok(value), ..) => value,
        (_, "True", _) => Json::Bool(true),
        (_, "False", _) => Json::Bool(false),
        (_, "None", _) => Json::Null,
        (.., Some(quoted)) => Json::from(quoted),
        _ => Json::from(text.clone()),
    })
}
