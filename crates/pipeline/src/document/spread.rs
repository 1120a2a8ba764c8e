//! What an operation says about being done many times over.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, IntoDeserializer, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::place::Spanned;

/// Along what an operation is done many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Once with each seed.
    Seeds,
    /// Once with each part of what there is.
    Partitions,
}

impl Axis {
    /// The field it is written with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::Partitions => "partitions",
        }
    }

    /// What one of them is called in names of operations.
    pub(crate) const fn one(self) -> &'static str {
        match self {
            Self::Seeds => "seed",
            Self::Partitions => "partition",
        }
    }
}

/// The partitions of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum WrittenPartitions {
    /// These: a list, or a text that is a param.
    Listed(Json),
    /// The parts of an output of another operation.
    From(String),
}

impl<'de> Deserialize<'de> for WrittenPartitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        match value.as_object() {
            None => Ok(Self::Listed(value)),
            Some(table) => match (table.len(), table.get("from")) {
                (1, Some(Json::String(from))) => Ok(Self::From(from.clone())),
                _ => Err(serde::de::Error::custom(
                    "`partitions` is a list of texts or numbers, or {from: operation.output}",
                )),
            },
        }
    }
}

/// Reads one axis, or a list of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Spanned<Axis>>, D::Error> {
    struct Forms;
    impl<'de> Visitor<'de> for Forms {
        type Value = Vec<Axis>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`seeds`, `partitions`, or a list of both")
        }

        fn visit_str<E: serde::de::Error>(self, one: &str) -> Result<Self::Value, E> {
            Axis::deserialize(one.into_deserializer()).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    struct Axes(Vec<Axis>);
    impl<'de> Deserialize<'de> for Axes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Forms).map(Self)
        }
    }
    let Spanned { value: Axes(axes), referenced } = Spanned::deserialize(deserializer)?;
    Ok(axes.into_iter().map(|axis| Spanned::new(axis, referenced)).collect())
}
