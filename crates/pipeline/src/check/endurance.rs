//! Retries, and the directories that outlast an attempt.

use thrifty_engine::units::parse_duration;

use super::Check;
use crate::document::{Operation, Output};
use crate::endurance::{Backoff, Endurance, OnFailure, Retries, WrittenRetries};
use crate::error::FileError;
use crate::paths;
use crate::pipeline::Placed;
use crate::place::{Location, Spanned};

impl Check<'_> {
    /// What the operation does about failures. Its directories have places of their own.
    pub(super) fn endurance(
        &self,
        operation: &Operation,
        inputs: &[Placed],
        outputs: &[(String, Output)],
    ) -> Result<Endurance, FileError> {
        let retries = match &operation.retries {
            Some(retries) => self.retries(retries)?,
            None => Retries::default(),
        };
        let mut taken: Vec<(String, String)> =
            inputs.iter().map(|it| (format!("input `{}`", it.name), it.to.clone())).collect();
        let made = outputs.iter();
        taken.extend(made.map(|(name, it)| (format!("output `{name}`"), it.path().to_owned())));
        let checkpoints =
            self.directory("checkpoints", operation.checkpoints.as_ref(), &mut taken)?;
        let artifacts = self.directory("artifacts", operation.artifacts.as_ref(), &mut taken)?;
        Ok(Endurance {
            retries,
            fail_fast: self.ends_the_run(operation),
            checkpoints,
            artifacts,
            tags: operation.tags.clone(),
        })
    }

    pub(super) fn ends_the_run(&self, operation: &Operation) -> bool {
        operation.on_failure.or(self.scope.on_failure) == Some(OnFailure::Stop)
    }

    fn retries(&self, written: &Spanned<WrittenRetries>) -> Result<Retries, FileError> {
        let at = written.referenced;
        let limit = written.value.limit;
        let Some(long) = &written.value.more else {
            return Ok(Retries { limit, ..Retries::default() });
        };
        let duration = |field: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_duration(text)
                .map(Some)
                .map_err(|error| self.wrong(at, format!("`retries.{field}`: {error}"))),
        };
        let delay = duration("delay", &long.delay)?.unwrap_or_default();
        let max_delay = duration("max_delay", &long.max_delay)?;
        let jitter = long.jitter.unwrap_or_default();
        if !(0.0..=1.0).contains(&jitter) {
            let reason = format!("`retries.jitter` is {jitter}; it is a share from 0 to 1");
            return Err(self.wrong(at, reason));
        }
        let grows = long.backoff == Backoff::Exponential || max_delay.is_some() || jitter > 0.0;
        if grows && delay.is_zero() {
            let reason = "`retries` has no `delay` that could grow: write one, such as `delay: 5s`";
            return Err(self.wrong(at, reason));
        }
        Ok(Retries { limit, delay, backoff: long.backoff, max_delay, jitter })
    }

    /// A directory of the command that is no input and no output.
    fn directory(
        &self,
        field: &str,
        written: Option<&Spanned<String>>,
        taken: &mut Vec<(String, String)>,
    ) -> Result<Option<String>, FileError> {
        let Some(Spanned { value, referenced }) = written else { return Ok(None) };
        let at: Location = *referenced;
        let text = self.text(at, value)?;
        let path = paths::below(&text)
            .map_err(|why| self.wrong(at, format!("`{field}: {text}` {why}")))?;
        if let Some((what, other)) = taken.iter().find(|(_, other)| paths::overlap(other, &path)) {
            let reason = format!("`{field}: {path}` is where {what} is ({other}): choose another");
            return Err(self.wrong(at, reason));
        }
        taken.push((format!("`{field}`"), path.clone()));
        Ok(Some(path))
    }
}
