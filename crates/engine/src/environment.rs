//! Where the results of a run were computed: what no key sees and a check wants to compare.
//!
//! Kept as a memo of the run, by what its process had loaded when it ended: a process that was
//! killed leaves none, and nothing but an explanation is lost.

use std::collections::BTreeMap;

use thrifty_catalog::RunId;

use crate::cache::Cache;

/// The memo table of environments.
const ENVIRONMENT: &str = "environment";

/// Facts by name, mostly versions: `python` is `3.12.3`.
pub type Environment = BTreeMap<String, String>;

impl Cache {
    /// Keeps the environment of a run. Trouble with it is no trouble for anybody.
    pub fn remember_environment(&self, run: &RunId, environment: &Environment) {
        if let Ok(body) = rmp_serde::to_vec(environment) {
            _ = self.catalog.remember(ENVIRONMENT, &[(run.0.as_bytes(), &body)]);
        }
    }

    /// The environment of a run, if it is known.
    pub fn environment_of(&self, run: &RunId) -> Option<Environment> {
        let body = self.catalog.recall(ENVIRONMENT, run.0.as_bytes()).ok()??;
        rmp_serde::from_slice(&body).ok()
    }
}
