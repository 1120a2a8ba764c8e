//! What of the machine an operation needs while it runs.
//!
//! It says how many operations run at once, and nothing else: it is no part of a key, and nobody
//! keeps a command from taking more.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use thrifty_engine::units::{parse_size, show_size};
use thrifty_engine::{ClaimOn, Pool};

use crate::error::{FileError, Place, PrepareError};

/// What of the machine an operation needs while it runs. Not part of the key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Processors, such as `2` or `0.5`.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Memory, such as `4GiB`.
    #[serde(default)]
    pub memory: Option<String>,
    /// Graphics processors; which ones is told in `CUDA_VISIBLE_DEVICES`.
    #[serde(default)]
    pub gpus: Option<u32>,
}

/// So much of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a processor.
    pub millicpus: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Graphics processors.
    pub gpus: u64,
}

/// What an operation needs, and where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// How much.
    pub amount: Resources,
    /// Where that is said.
    pub place: Place,
}

/// Thousandths in a whole.
const MILLI: f64 = 1000.0;
/// More processors than any machine has.
const MOST_CPUS: f64 = 1e6;

impl Needed {
    /// What a section of a file says.
    pub(crate) fn read(place: Place, said: &Machine) -> Result<Self, FileError> {
        let wrong = |reason: String| FileError::Meaning { place: place.clone(), reason };
        let Machine { cpus, memory, gpus } = said;
        let millicpus = match cpus {
            Some(cpus) => millicpus(*cpus).map_err(|why| wrong(format!("`cpus: {cpus}` {why}")))?,
            None => 0,
        };
        let memory = match memory {
            Some(text) => parse_size(text).map_err(|error| wrong(format!("`memory`: {error}")))?,
            None => 0,
        };
        let gpus = u64::from(gpus.unwrap_or(0));
        Ok(Self { amount: Resources { millicpus, memory, gpus }, place })
    }

    /// An operation that needs more than there is would never run.
    pub(crate) fn check(&self, operation: &str, there: &Resources) -> Result<(), PrepareError> {
        let (wanted, found) = (self.amount.parts(), there.parts());
        if wanted.iter().zip(found).all(|(wanted, found)| *wanted <= found) {
            return Ok(());
        }
        let reason = format!(
            "operation `{operation}` needs {}, and there are {}: ask for less, or say what there is with \
             --cpus, --memory and --gpus",
            shown(&self.amount),
            shown(there)
        );
        Err(PrepareError::Refused { place: self.place.clone(), reason })
    }
}

impl Resources {
    /// As if there were no end of them.
    pub const BOUNDLESS: Self = Self { millicpus: u64::MAX, memory: u64::MAX, gpus: u64::MAX };

    const fn parts(&self) -> [u64; 3] {
        [self.millicpus, self.memory, self.gpus]
    }
}

/// The resources that the commands of a run share.
pub(crate) struct Pools([Arc<Pool>; 3]);

impl Pools {
    pub(crate) fn new(there: &Resources) -> Self {
        Self(there.parts().map(Pool::new))
    }

    /// What a command holds of them while it runs.
    pub(crate) fn claims(&self, needed: Option<&Needed>) -> Vec<ClaimOn> {
        let parts = needed.map_or([0; 3], |needed| needed.amount.parts());
        let parts = self.0.iter().zip(parts).filter(|(_, amount)| *amount > 0);
        parts.map(|(pool, amount)| (Arc::clone(pool), amount)).collect()
    }
}

/// Thousandths of processors.
///
/// # Errors
///
/// What is wrong with the number.
pub fn millicpus(cpus: f64) -> Result<u64, &'static str> {
    let milli = (cpus * MILLI).ceil();
    // In this range the conversion keeps the value.
    if (1.0..=MOST_CPUS * MILLI).contains(&milli) {
        Ok(milli as u64)
    } else {
        Err("is no number of processors: write one such as `2` or `0.5`")
    }
}

fn shown(amount: &Resources) -> String {
    let Resources { millicpus, memory, gpus } = amount;
    format!("{} cpus, {} of memory and {gpus} gpus", *millicpus as f64 / MILLI, show_size(*memory))
}
