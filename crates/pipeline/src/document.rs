//! What may stand in an operation file.
//!
//! These types are the format: the parser reads into them, and the published JSON schema is made
//! of them. What they mean together is checked in `check.rs`.

mod forms;
mod matrix;
mod outputs;
mod spread;

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::endurance::{LongRetries, OnFailure, WrittenRetries};
use crate::outputs::LongOutput;
pub use crate::outputs::Output;
use crate::place::Spanned;
pub use crate::section::Cache;

use crate::container::{ImageText, LongImage};
use crate::join::Join;
use crate::resources::Machine;
use crate::ticks::Schedule;
pub use matrix::{EarlyStopping, GoalWord, Matrix, MatrixKind, ResourceOf, Sought};
pub use spread::{Axis, WrittenPartitions};

/// A table by name, in the order of the file.
pub type Table<T> = IndexMap<String, Spanned<T>>;

/// A pipeline: operations, and what they take from each other.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What the pipeline is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Operation files whose fields hold where this one and those named later say nothing.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub include: Vec<Spanned<String>>,
    /// Changes that `--preset NAME` makes.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Preset>")]
    pub presets: Table<Preset>,
    /// Parameters that `-p NAME=VALUE` may set: a default, or a mapping with `type` and more.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, ParamForms>")]
    pub params: Table<Param>,
    /// Environment variables of all operations; `null` passes on the caller's. Those an operation gets are part of its key.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, VariableForms>")]
    pub env: Table<Option<String>>,
    /// How all operations use the cache, where they do not say it themselves.
    #[serde(default)]
    pub cache: Cache,
    /// The seed from which each operation that asks for one gets a number of its own.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub seed: Option<Spanned<u64>>,
    /// Files and directories that operations take as `{from: inputs.NAME}`; `null` must be given by the file that uses this one.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Option<InputForms>>")]
    pub inputs: Table<Option<Input>>,
    /// What becomes of the rest of a run when an operation fails; `continue` unless given.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
    /// When `thrifty schedule` runs it.
    #[serde(default)]
    #[schemars(with = "Option<Schedule>")]
    pub schedule: Option<Spanned<Schedule>>,
    /// The operations, by name.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Operation>")]
    pub operations: Table<Operation>,
    /// What the pipeline gives; without it, every output that no operation takes.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, DeliveryForms>")]
    pub outputs: Table<Delivery>,
}

/// Changes to a pipeline, by the fields that they change.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Other defaults of parameters.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, ParamForms>")]
    pub params: Table<Param>,
    /// Environment variables of all operations.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, VariableForms>")]
    pub env: Table<Option<String>>,
    /// How operations use the cache.
    #[serde(default)]
    pub cache: Cache,
    /// Fields of operations.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Operation>")]
    pub operations: Table<Operation>,
}

/// A command with everything it takes and gives; or a process: operations that are one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What the operation is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The command: a list of words, or a text for the shell `sh`.
    #[serde(default)]
    #[schemars(with = "Option<RunForms>")]
    pub run: Option<Spanned<Run>>,
    /// A function of a project module beside the file, as `module:function`: a task, or a plain one. `params` and
    /// `inputs` are its arguments.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub task: Option<Spanned<String>>,
    /// The steps of a process, by name. They see its `params` and `inputs`, and nothing else.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Operation>")]
    pub operations: Table<Operation>,
    /// Another operation file, whose operations are the steps of this process.
    #[serde(default, rename = "use")]
    #[schemars(with = "Option<String>")]
    pub uses: Option<Spanned<String>>,
    /// Values for the command or the steps: written here, or `{from: operation.output}`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, ArgumentForms>")]
    pub params: Table<Argument>,
    /// Files and directories it reads: a path, or `{from: operation.output}`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, InputForms>")]
    pub inputs: Table<Input>,
    /// What it makes: a path of a file (or, with a final `/`, of a directory), or a mapping; of a process, `step.output`.
    #[serde(default, deserialize_with = "outputs::table_or_names")]
    #[schemars(with = "OutputsForms")]
    pub outputs: Table<Output>,
    /// Files it runs beside those that its command names, as paths.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub code: Vec<Spanned<String>>,
    /// Environment variables; `null` passes on the caller's. All are part of the key.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, VariableForms>")]
    pub env: Table<Option<String>>,
    /// Operations that must have succeeded before, whatever they give.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub needs: Vec<Spanned<String>>,
    /// How it uses the cache.
    #[serde(default)]
    pub cache: Cache,
    /// `true`: it draws random numbers, from the seed in force; a number: from this seed. A command that names
    /// `{{ seed }}` or `THRIFTY_SEED` need not say it.
    #[serde(default)]
    #[schemars(with = "Option<SeedForms>")]
    pub seed: Option<Spanned<Seeded>>,
    /// Lists of what earlier runs gave: params, or with `to` inputs.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Join>")]
    pub joins: Table<Join>,
    /// The image of a container in which the command runs: a name, or a mapping.
    #[serde(default)]
    #[schemars(with = "Option<ImageForms>")]
    pub image: Option<Spanned<ImageText>>,
    /// What of the machine it needs while it runs. Not part of the key.
    #[serde(default)]
    #[schemars(with = "Option<Machine>")]
    pub resources: Option<Spanned<Machine>>,
    /// Tries it many times, with other values of some params.
    #[serde(default)]
    #[schemars(with = "Option<Matrix>")]
    pub matrix: Option<Spanned<Matrix>>,
    /// Seeds, or one param that is a list of them: it and all that takes what it gives are done once for each, up to
    /// an operation with `aggregate: seeds`.
    #[serde(default)]
    #[schemars(with = "Option<SeedsForms>")]
    pub seeds: Option<Spanned<Json>>,
    /// Texts or numbers, or one param that is a list of them: it and all that takes what it gives are done once for
    /// each, up to an operation with `aggregate: partitions`; as `{{ params.partition }}`.
    #[serde(default)]
    #[schemars(with = "Option<PartitionsForms>")]
    pub partitions: Option<Spanned<WrittenPartitions>>,
    /// Over what it takes all copies of an operation at once: `seeds`, `partitions`, or both. What it takes is then a
    /// mapping, or a directory of directories, by seed or partition.
    #[serde(default, deserialize_with = "spread::one_or_more")]
    #[schemars(with = "AxesForms")]
    pub aggregate: Vec<Spanned<Axis>>,
    /// How often it is tried again after a failure: a number, or a mapping that says how long to wait before.
    #[serde(default)]
    #[schemars(with = "Option<RetriesForms>")]
    pub retries: Option<Spanned<WrittenRetries>>,
    /// What becomes of the rest of the run when it fails: `stop` lets nothing begin any more, `continue` lets
    /// everything go on that does not need it.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
    /// A directory in which its attempts in one run find what those before them left.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub checkpoints: Option<Spanned<String>>,
    /// A directory whose content stays with the run, for people and for `thrifty restart --copy`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub artifacts: Option<Spanned<String>>,
    /// Words that are kept with its result.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How long one attempt may take, such as `90s` or `2h`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Spanned<String>>,
}

/// A parameter of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its type, if that was said.
    pub kind: Option<Kind>,
    /// Its value unless set; without one it must be set.
    pub default: Option<Json>,
    /// The values it may have, if not all.
    pub choices: Option<Vec<Json>>,
    /// What it is for.
    pub help: Option<String>,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A list.
    List,
    /// A mapping.
    Map,
}

/// The command of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// A text for the shell.
    Shell(String),
    /// The program and its arguments.
    Words(Vec<String>),
}

/// What an operation says about its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// Whether it draws from the seed in force.
    Used(bool),
    /// It draws from this one.
    Pinned(u64),
}

/// A value for a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// The value; texts are templates.
    Value(Json),
    /// An output of another operation.
    From(String),
}

/// A file or directory that a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it comes from.
    pub source: Source,
    /// Where the command finds it, relative to its directory; where it was, unless given.
    pub to: Option<String>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, relative to the operation file; a template.
    Path(String),
    /// An output of another operation.
    From(String),
}

/// What a pipeline gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The output, as `operation.output`.
    pub from: String,
    /// Where to put it when the run has succeeded, relative to the operation file.
    pub to: Option<String>,
}

impl<'de> Deserialize<'de> for Param {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        let described = value.as_object().is_some_and(|table| {
            !table.is_empty() && table.keys().all(|key| LongParam::FIELDS.contains(&key.as_str()))
        });
        if !described {
            return Ok(Self { kind: None, default: Some(value), choices: None, help: None });
        }
        let LongParam { kind, default, choices, help } =
            serde_json::from_value(value).map_err(serde::de::Error::custom)?;
        Ok(Self { kind, default, choices, help })
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        match value.as_object().filter(|table| table.len() == 1).and_then(|table| table.get("from"))
        {
            Some(Json::String(from)) => Ok(Self::From(from.clone())),
            Some(other) => {
                let message = format!("`from` must be operation.output, not {other}");
                Err(serde::de::Error::custom(message))
            }
            None => Ok(Self::Value(value)),
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or::<D, Self, LongInput>(deserializer, "a path, or {from: operation.output}", |path| {
            Self { source: Source::Path(path), to: None }
        })
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let forms = "a path, or {file: path}, {dir: path}, {json: path, at: /pointer}, {metrics: path} or {plot: path}";
        text_or::<D, Self, LongOutput>(deserializer, forms, |path| match path.strip_suffix('/') {
            Some(directory) => Self::Directory(directory.to_owned()),
            None => Self::File(path),
        })
    }
}

impl<'de> Deserialize<'de> for ImageText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let forms = "the name of an image, or {name, network}";
        text_or::<D, Self, LongImage>(deserializer, forms, Self::from)
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let forms = "operation.output, or {from: operation.output, to: path}";
        text_or::<D, Self, LongDelivery>(deserializer, forms, |from| Self { from, to: None })
    }
}

/// Reads a text as the short form of a value, and a mapping as its long form.
fn text_or<'de, D, T, L>(
    deserializer: D,
    forms: &'static str,
    short: fn(String) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    L: Deserialize<'de> + TryInto<T, Error = &'static str>,
{
    struct Forms<T, L> {
        forms: &'static str,
        short: fn(String) -> T,
        long: PhantomData<L>,
    }
    impl<'de, T, L: Deserialize<'de> + TryInto<T, Error = &'static str>> Visitor<'de> for Forms<T, L> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.forms)
        }

        fn visit_str<E>(self, text: &str) -> Result<T, E> {
            Ok((self.short)(text.to_owned()))
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
            let long = L::deserialize(MapAccessDeserializer::new(table))?;
            long.try_into().map_err(serde::de::Error::custom)
        }
    }
    deserializer.deserialize_any(Forms { forms, short, long: PhantomData::<L> })
}

/// The long form of a parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongParam {
    /// Its type: `text`, `int`, `float`, `bool`, `list` or `map`.
    #[serde(default, rename = "type")]
    kind: Option<Kind>,
    /// Its value unless set; without one it must be set.
    #[serde(default)]
    default: Option<Json>,
    /// The values it may have.
    #[serde(default)]
    choices: Option<Vec<Json>>,
    /// What it is for.
    #[serde(default)]
    help: Option<String>,
}

impl LongParam {
    const FIELDS: [&'static str; 4] = ["type", "default", "choices", "help"];
}

/// The long form of an input.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongInput {
    /// A path, relative to the operation file.
    #[serde(default)]
    path: Option<String>,
    /// An output of another operation, as `operation.output`.
    #[serde(default)]
    from: Option<String>,
    /// Where the command finds it, relative to its directory.
    #[serde(default)]
    to: Option<String>,
}

impl TryFrom<LongInput> for Input {
    type Error = &'static str;

    fn try_from(LongInput { path, from, to }: LongInput) -> Result<Self, Self::Error> {
        let source = match (path, from) {
            (Some(path), None) => Source::Path(path),
            (None, Some(from)) => Source::From(from),
            _ => return Err("an input has either `path` or `from`"),
        };
        Ok(Self { source, to })
    }
}

/// The long form of what a pipeline gives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongDelivery {
    /// The output, as `operation.output`.
    from: String,
    /// Where to put it when the run has succeeded.
    #[serde(default)]
    to: Option<String>,
}

impl TryFrom<LongDelivery> for Delivery {
    type Error = &'static str;

    fn try_from(LongDelivery { from, to }: LongDelivery) -> Result<Self, Self::Error> {
        Ok(Self { from, to })
    }
}

/// Declares the forms of a value for the schema alone.
macro_rules! forms {
    ($($name:ident { $($variant:ident($form:ty)),* })*) => {$(
        #[derive(JsonSchema)]
        #[serde(untagged)]
        #[expect(dead_code, reason = "only its schema is used")]
        enum $name { $($variant($form)),* }
    )*};
}

forms! {
    ParamForms { Described(LongParam), Default(Json) }
    RunForms { Shell(String), Words(Vec<String>) }
    ImageForms { Name(String), Long(LongImage) }
    SeedForms { Used(bool), Pinned(u64) }
    VariableForms { Text(Option<String>), Number(f64), Flag(bool) }
    OutputsForms { Table(IndexMap<String, OutputForms>), Names(Vec<String>) }
    ArgumentForms { Taken(LongArgument), Value(Json) }
    InputForms { Path(String), Long(LongInput) }
    OutputForms { Path(String), Long(LongOutput) }
    SeedsForms { Listed(Vec<u64>), Param(String) }
    PartitionsForms { Listed(Vec<Json>), Param(String) }
    AxesForms { One(Axis), Several(Vec<Axis>) }
    RetriesForms { Limit(u32), Long(LongRetries) }
    DeliveryForms { Output(String), Long(LongDelivery) }
}

/// The long form of a value for a command.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct LongArgument {
    /// An output of another operation, as `operation.output`.
    from: String,
}
