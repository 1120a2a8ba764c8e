//! What an operation does about failures, and what of it outlasts an attempt.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// The longest wait between attempts, whatever is written.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The variable in which a command finds what its earlier attempts left.
pub(crate) const CHECKPOINTS: &str = "THRIFTY_CHECKPOINTS";
/// The variable that says where it leaves what is for people.
pub(crate) const ARTIFACTS: &str = "THRIFTY_ARTIFACTS";

/// What an operation does about failures, and what of it outlasts an attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Endurance {
    /// When it is attempted again.
    pub retries: Retries,
    /// Whether nothing begins any more once it has failed.
    pub fail_fast: bool,
    /// The directory, relative to that of the command, that holds what its earlier attempts in the
    /// run left there.
    pub checkpoints: Option<String>,
    /// The directory whose content stays with the run.
    pub artifacts: Option<String>,
    /// Words by which its results are found.
    pub tags: Vec<String>,
}

/// When an operation is attempted again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retries {
    /// How often at most.
    pub limit: u32,
    /// How long to wait before.
    pub delay: Duration,
    /// How the wait grows.
    pub backoff: Backoff,
    /// The longest it grows to.
    pub max_delay: Option<Duration>,
    /// By which share of it the wait is made longer or shorter at random.
    pub jitter: f64,
}

/// How the wait between attempts grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// It stays the same.
    #[default]
    Constant,
    /// It doubles each time.
    Exponential,
}

/// What becomes of the rest of a run when an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing begins any more; what runs goes on to its end.
    Stop,
    /// What does not need it goes on.
    Continue,
}

/// What becomes of those who wait for an operation that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Waiters {
    /// One of them computes.
    Next,
    /// They fail with it.
    Share,
}

/// `retries` as it is written: a number, or a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenRetries {
    /// How often at most.
    pub limit: u32,
    /// The rest, if it is a mapping.
    pub more: Option<LongRetries>,
}

/// The long form of `retries`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongRetries {
    /// How often it is tried again at most.
    limit: u32,
    /// How long to wait before, such as `10s`; nothing unless given.
    #[serde(default)]
    pub(crate) delay: Option<String>,
    /// Whether the wait stays the same or doubles each time.
    #[serde(default)]
    pub(crate) backoff: Backoff,
    /// The longest it grows to, such as `10m`.
    #[serde(default)]
    pub(crate) max_delay: Option<String>,
    /// By which share of it, from 0 to 1, it is made longer or shorter at random.
    #[serde(default)]
    pub(crate) jitter: Option<f64>,
}

impl<'de> Deserialize<'de> for WrittenRetries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = WrittenRetries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("how often, or {limit, delay, backoff, max_delay, jitter}")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<WrittenRetries, E> {
                let limit = u32::try_from(number)
                    .map_err(|_| E::custom(format!("{number} is too often")))?;
                Ok(WrittenRetries { limit, more: None })
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<WrittenRetries, E> {
                let number = u64::try_from(number)
                    .map_err(|_| E::custom(format!("{number} is less than none")))?;
                self.visit_u64(number)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<WrittenRetries, A::Error> {
                let long = LongRetries::deserialize(MapAccessDeserializer::new(table))?;
                Ok(WrittenRetries { limit: long.limit, more: Some(long) })
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl Retries {
    /// How long to wait after so many failed attempts, the first being 1; `lot` is drawn evenly
    /// from 0 to 1.
    pub(crate) fn wait(&self, failed: u32, lot: f64) -> Duration {
        let grown = match self.backoff {
            Backoff::Constant => self.delay,
            Backoff::Exponential => {
                self.delay.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)))
            }
        };
        let wait = grown.min(self.max_delay.unwrap_or(LONGEST)).min(LONGEST);
        wait.mul_f64(1.0 + self.jitter * (2.0 * lot - 1.0))
    }
}

/// A number from 0 to 1, drawn evenly enough to keep many from coming at once.
pub(crate) fn lot() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(std::process::id()) >> 12;
    bits as f64 / (1_u64 << 52) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_as_it_is_written() {
        let seconds = |retries: &Retries, lot: f64| -> Vec<f64> {
            (1..=5).map(|failed| retries.wait(failed, lot).as_secs_f64()).collect()
        };
        let constant = Retries { delay: Duration::from_secs(3), ..Retries::default() };
        assert_eq!(seconds(&constant, 0.5), [3.0; 5]);
        let exponential = Retries { backoff: Backoff::Exponential, ..constant.clone() };
        assert_eq!(seconds(&exponential, 0.0), [3.0, 6.0, 12.0, 24.0, 48.0]);
        let cut = Retries { max_delay: Some(Duration::from_secs(10)), ..exponential.clone() };
        assert_eq!(seconds(&cut, 0.0), [3.0, 6.0, 10.0, 10.0, 10.0]);
        assert_eq!(exponential.wait(u32::MAX, 0.5), LONGEST);
        let jittery = Retries { jitter: 0.5, ..constant };
        assert_eq!((seconds(&jittery, 0.0)[0], seconds(&jittery, 1.0)[0]), (1.5, 4.5));
        assert!((0..100).map(|_| lot()).all(|lot| (0.0..1.0).contains(&lot)));
    }
}
