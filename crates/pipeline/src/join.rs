//! Joins: lists of what earlier runs gave.
//!
//! A join asks for results that the cache holds, each of them once however many runs took it, in an
//! order of its own. It is answered once, when a run begins, and what it found enters keys
//! like any other param or input: the same values from other runs are a hit.

mod facts;
mod query;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use thrifty_engine::record::Record;

pub(crate) use self::facts::Facts;
pub(crate) use self::query::{Order, Query};
use crate::error::{FileError, Place};
use crate::place::{Location, Spanned};

/// The most results that one join takes.
pub(crate) const MOST: usize = 5_000;

/// A list of what earlier runs gave.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Which results, such as `operation:train params.lr:>0.01 started:>-7d`.
    #[schemars(with = "String")]
    pub query: Spanned<String>,
    /// In which order: names of fields, `-` before one for the largest first. The newest first unless given.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub sort: Option<Spanned<String>>,
    /// How many at most; 5000 unless given, and never more.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub limit: Option<Spanned<u64>>,
    /// The output, or `result` for the whole value of a task.
    pub from: String,
    /// A directory to put files in, relative to the command's; without it, the outputs are values.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub to: Option<Spanned<String>>,
}

/// A join whose query was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The name of the param or input that it becomes.
    pub name: String,
    pub(crate) query: Query,
    pub(crate) sort: Vec<Order>,
    pub(crate) limit: Option<usize>,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) place: Place,
}

impl Joined {
    /// What a section of a file says; `place` is where a value in it stands.
    pub(crate) fn read(
        name: &str,
        join: &Spanned<Join>,
        to: Option<String>,
        place: &dyn Fn(Location) -> Place,
    ) -> Result<Self, FileError> {
        let Join { query, sort, limit, from, .. } = &join.value;
        let wrong = |at, reason| FileError::Meaning { place: place(at), reason };
        let parsed =
            Query::parse(&query.value).map_err(|reason| wrong(query.referenced, reason))?;
        let sort = match sort {
            Some(text) => {
                Order::parse(&text.value).map_err(|reason| wrong(text.referenced, reason))?
            }
            None => Order::newest_first(),
        };
        let limit = match limit {
            Some(limit) if limit.value == 0 || limit.value > MOST as u64 => {
                let reason = format!("`limit: {}`: a join takes 1 to {MOST} results", limit.value);
                return Err(wrong(limit.referenced, reason));
            }
            Some(limit) => usize::try_from(limit.value).ok(),
            None => None,
        };
        let (query, place) = (parsed, place(join.referenced));
        Ok(Self { name: name.to_owned(), query, sort, limit, from: from.clone(), to, place })
    }
}

impl Facts {
    /// The output that a join is about.
    pub(crate) fn record(&self, join: &Joined) -> Result<Record, String> {
        self.output(&join.from).ok_or_else(|| {
            let known = self.outputs();
            let hint = thrifty_engine::did_you_mean(&join.from, known.iter().map(String::as_str));
            format!(
                "join `{}`: {} has no output `{}`; {hint}",
                join.name, self.operation, join.from
            )
        })
    }

    pub(crate) fn value(&self, join: &Joined) -> Result<Json, String> {
        match self.record(join)? {
            Record::Plain(encoding) => crate::json::decode(&encoding).ok_or_else(|| {
                format!(
                    "join `{}`: `{}` of {} is no value of JSON",
                    join.name, join.from, self.operation
                )
            }),
            _ => Err(format!(
                "join `{}`: `{}` of {} is a file: say in `to` where to put it",
                join.name, join.from, self.operation
            )),
        }
    }
}
