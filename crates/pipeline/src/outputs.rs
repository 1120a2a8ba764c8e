//! What operations make.

use schemars::JsonSchema;
use serde::Deserialize;

/// What an operation makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A value of a function: all that it returns, or an entry of it.
    Value,
    /// A file.
    File(String),
    /// A directory.
    Directory(String),
    /// A value in a JSON file, or in a part of it.
    Json {
        /// The file.
        path: String,
        /// JSON pointer (RFC 6901) to the value; the whole file unless given.
        at: String,
    },
    /// A file with measurements.
    Metrics(String),
    /// A file with a picture to look at.
    Plot(String),
}

/// The long form of an output.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LongOutput {
    /// A file.
    #[serde(default)]
    file: Option<String>,
    /// A directory.
    #[serde(default)]
    dir: Option<String>,
    /// A JSON file whose content is the value.
    #[serde(default)]
    json: Option<String>,
    /// JSON pointer to the value within the file, such as `/score/mean`.
    #[serde(default)]
    at: Option<String>,
    /// A file of measurements: JSON, or lines of it, `{name, value, step}` or names and numbers.
    #[serde(default)]
    metrics: Option<String>,
    /// A file with a picture to look at.
    #[serde(default)]
    plot: Option<String>,
}

impl TryFrom<LongOutput> for Output {
    type Error = &'static str;

    fn try_from(long: LongOutput) -> Result<Self, Self::Error> {
        let LongOutput { file, dir, json, at, metrics, plot } = long;
        match (file, dir, json, metrics, plot, at) {
            (Some(path), None, None, None, None, None) => Ok(Self::File(path)),
            (None, Some(path), None, None, None, None) => Ok(Self::Directory(path)),
            (None, None, Some(path), None, None, at) => {
                Ok(Self::Json { path, at: at.unwrap_or_default() })
            }
            (None, None, None, Some(path), None, None) => Ok(Self::Metrics(path)),
            (None, None, None, None, Some(path), None) => Ok(Self::Plot(path)),
            _ => Err("an output has one of `file`, `dir`, `json`, `metrics` and `plot`, and `at` \
                      only with `json`"),
        }
    }
}
