//! Searches as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Table;
use crate::place::Spanned;

/// What an operation is tried with: many times, with other values of some params.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Where the trials come from.
    #[serde(default)]
    #[schemars(with = "Option<MatrixKind>")]
    pub kind: Option<Spanned<MatrixKind>>,
    /// The params it varies, each with its values: a list, or one of `{range: [start, end, step]}`, `linspace`, `logspace`, `geomspace`, `choice`, `pchoice`, `uniform`, `loguniform`, `normal`, `lognormal` and the same with `q` and a step.
    #[serde(default)]
    #[schemars(with = "indexmap::IndexMap<String, Json>")]
    pub params: Table<Json>,
    /// The trials themselves, of `mapping`: a list of params by name.
    #[serde(default)]
    #[schemars(with = "Option<Json>")]
    pub values: Option<Spanned<Json>>,
    /// Who suggests trials, of `iterative`: a function of Python, as `module:function`. It is given a list of `{params, metric, status}`, the trials so far, and returns the next ones as a list of params by name; an empty one ends the search.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub tuner: Option<Spanned<String>>,
    /// How many trials; of a grid and of `iterative`, at most so many.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub runs: Option<Spanned<u64>>,
    /// What is drawn with; 0 unless given.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub seed: Option<Spanned<u64>>,
    /// How many trials run at once.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub concurrency: Option<Spanned<u64>>,
    /// What is sought.
    #[serde(default)]
    #[schemars(with = "Option<Sought>")]
    pub metric: Option<Spanned<Sought>>,
    /// When the search is over before its time: any of these.
    #[serde(default)]
    #[schemars(with = "Vec<EarlyStopping>")]
    pub early_stopping: Vec<Spanned<EarlyStopping>>,
    /// What trials get more and more of, of `hyperband`.
    #[serde(default)]
    #[schemars(with = "Option<ResourceOf>")]
    pub resource: Option<Spanned<ResourceOf>>,
    /// How many trials compete for one promotion, of `hyperband`; 3 unless given.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub eta: Option<Spanned<u64>>,
    /// The output that a promoted trial goes on from, as `{{ inputs.resume }}`, of `hyperband`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub resume: Option<Spanned<String>>,
}

/// Where the trials of a search come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatrixKind {
    /// Every combination.
    Grid,
    /// Drawn by lot.
    Random,
    /// Written one by one.
    Mapping,
    /// Many with little of a resource, the best of them with more.
    Hyperband,
    /// Suggested by tree-structured Parzen estimators.
    Tpe,
    /// Suggested by a Gaussian process.
    Bayes,
    /// Suggested by a function.
    Iterative,
}

impl MatrixKind {
    /// The word it is written with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Mapping => "mapping",
            Self::Hyperband => "hyperband",
            Self::Tpe => "tpe",
            Self::Bayes => "bayes",
            Self::Iterative => "iterative",
        }
    }
}

/// What a search seeks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sought {
    /// The output, a number.
    pub name: String,
    /// Which of its values are good.
    pub goal: GoalWord,
}

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GoalWord {
    /// Small ones.
    Minimize,
    /// Large ones.
    Maximize,
}

/// When a search is over before its time: one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// The metric of a trial is this good.
    #[serde(default)]
    pub metric: Option<f64>,
    /// So many trials failed.
    #[serde(default)]
    pub failures: Option<u64>,
}

/// What trials get more and more of.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceOf {
    /// The param.
    pub name: String,
    /// How much the first trials have; 1 unless given.
    #[serde(default)]
    pub min: Option<Json>,
    /// How much the last trials have.
    pub max: Json,
}
