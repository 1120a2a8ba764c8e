//! What a computation tells besides its value: metrics, plots, tags.
//!
//! They are kept with the entry, so that a hit shows what the run showed that computed it. They
//! are no part of the value: two results that differ in them alone are the same.

use serde::{Deserialize, Serialize};

use crate::record::Draft;

/// What a computation told besides its value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Annotations {
    /// Measurements, in the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// The names of the outputs that are pictures to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<String>,
    /// Words by which it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Which attempt it was that succeeded, where it was not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// The value.
    pub value: f64,
    /// At which step of a series, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
}

// Values that are no numbers are equal to nothing, as in `f64`.
impl Eq for Metric {}
impl Eq for Annotations {}

impl Annotations {
    /// Whether nothing was told.
    pub const fn is_empty(&self) -> bool {
        let Self { metrics, plots, tags, attempt } = self;
        metrics.is_empty() && plots.is_empty() && tags.is_empty() && attempt.is_none()
    }
}

impl Draft {
    /// The same value, with what was told besides.
    #[must_use]
    pub fn annotated(self, notes: Annotations) -> Self {
        if notes.is_empty() {
            return self;
        }
        Self::Annotated { notes: Box::new(notes), value: Box::new(self) }
    }
}
