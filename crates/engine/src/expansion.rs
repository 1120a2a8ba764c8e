//! The value of an operation that became other operations.

use std::sync::Arc;

use thrifty_key::plain::{self, PlainError};

use crate::graph::{Made, Taken, Value};
use crate::record::{Draft, RecordError, Shape};

/// A value made of the outputs of other operations, at least one of which is not stored.
pub struct Gathered {
    /// The value, with edges.
    pub output: Draft,
    /// What the edges lead to.
    pub taken: Vec<Taken>,
}

/// Puts what the edges lead to in their places. If all of it is stored, so can the value be,
/// without loading anything.
pub(crate) fn gather(output: Draft, taken: Vec<Taken>) -> Made {
    let contribution = contribution(&output, &taken).ok();
    match fill(output, &taken) {
        Ok(draft) => Made {
            object: Arc::new(()),
            contribution,
            draft: Ok(draft),
        },
        Err(output) => Made {
            object: Arc::new(Gathered { output, taken }),
            contribution,
            draft: Err("it takes a value that is not stored".to_owned()),
        },
    }
}

fn contribution(output: &Draft, taken: &[Taken]) -> Result<Vec<u8>, RecordError> {
    Ok(match output {
        Draft::Edge(number) => {
            let taken = usize::try_from(*number)
                .ok()
                .and_then(|number| taken.get(number));
            taken
                .and_then(|taken| taken.value.contribution_at(&taken.steps))
                .ok_or(PlainError::Edge(*number))?
        }
        Draft::Composite { container, parts } => {
            let parts: Result<Vec<_>, _> =
                parts.iter().map(|part| contribution(part, taken)).collect();
            plain::contribution(&Shape::encode(container, &parts?))?
        }
        other => other.contribution()?,
    })
}

/// The draft without edges; or as it was, if one of them leads to nothing that is stored.
fn fill(output: Draft, taken: &[Taken]) -> Result<Draft, Draft> {
    if can_fill(&output, taken) {
        Ok(replace(output, taken))
    } else {
        Err(output)
    }
}

fn can_fill(output: &Draft, taken: &[Taken]) -> bool {
    match output {
        Draft::Edge(number) => stored(*number, taken).is_some(),
        Draft::Composite { parts, .. } => parts.iter().all(|part| can_fill(part, taken)),
        Draft::Hashed { value, .. } => can_fill(value, taken),
        Draft::Plain(_) | Draft::Object { .. } | Draft::Stored(_) => true,
    }
}

fn replace(output: Draft, taken: &[Taken]) -> Draft {
    match output {
        Draft::Edge(number) => stored(number, taken).unwrap_or(Draft::Edge(number)),
        Draft::Composite { container, parts } => {
            let parts = parts.into_iter().map(|part| replace(part, taken)).collect();
            Draft::Composite { container, parts }
        }
        Draft::Hashed { digest, value } => Draft::Hashed {
            digest,
            value: Box::new(replace(*value, taken)),
        },
        other => other,
    }
}

fn stored(number: u64, taken: &[Taken]) -> Option<Draft> {
    let taken = taken.get(usize::try_from(number).ok()?)?;
    let Value::Known(answer) = &taken.value else {
        return None;
    };
    Some(Draft::Stored(answer.record.select(&taken.steps)?))
}
