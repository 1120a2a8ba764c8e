//! The number that one call of a command draws from.

use std::sync::Arc;

use thrifty_engine::graph::{Input, Taken};
use thrifty_engine::{Cache, Operation, Seed};
use thrifty_key::{Digest, plain};

use crate::error::PrepareError;
use crate::pipeline::Command;

/// What the number of a call is made of: the seed in force, the operation, and what it takes.
#[derive(Clone)]
pub(crate) struct Drawing {
    seed: Seed,
    operation: String,
    pub(crate) inputs: Vec<Input>,
}

impl Drawing {
    /// The operation under its seed, if it draws from one, and how its numbers are made.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if the operation has a seed already.
    pub(crate) fn of(
        operation: Operation,
        command: &Command,
        inputs: &[Input],
        seed: Option<Seed>,
    ) -> Result<(Operation, Option<Self>), PrepareError> {
        let Some(seed) = seed else { return Ok((operation, None)) };
        let seeded = operation.seeded(seed, []).map_err(|twice| PrepareError::Input {
            operation: command.name.clone(),
            input: "seed".to_owned(),
            reason: twice.to_string(),
        })?;
        // The name that counts: what has the same key draws the same.
        let operation = command.operation.clone();
        Ok((seeded, Some(Self { seed, operation, inputs: inputs.to_vec() })))
    }

    /// The number of a call that takes this, as a task in Python would get it.
    pub(crate) fn number(&self, taken: &[Taken], cache: &Arc<Cache>) -> u32 {
        let mut contribution = |edge| {
            let taken = usize::try_from(edge).ok().and_then(|edge| taken.get(edge));
            let found = taken.and_then(|it| it.value.input_at(&it.steps, cache.class_code()));
            found.ok_or(plain::PlainError::Edge(edge))
        };
        let digests: Option<Vec<(&str, Digest)>> = self
            .inputs
            .iter()
            .map(|input| {
                let digest = plain::fold(&input.encoding, &mut contribution).ok()?;
                Some((input.name.as_str(), digest))
            })
            .collect();
        let digests = digests.unwrap_or_default();
        self.seed.stream(&self.operation, digests.into_iter()).number()
    }
}
