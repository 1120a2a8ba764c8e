//! Joins: the queries are understood, and what becomes of them has a place.

use super::Check;
use crate::document::Operation;
use crate::error::FileError;
use crate::join::Joined;
use crate::paths;
use crate::pipeline::Placed;

impl Check<'_> {
    /// The joins of an operation that takes and makes this.
    pub(super) fn joins(
        &self,
        operation: &Operation,
        inputs: &[Placed],
    ) -> Result<Vec<Joined>, FileError> {
        let mut all: Vec<Joined> = Vec::new();
        for (name, join) in &operation.joins {
            let at = join.referenced;
            if operation.params.contains_key(name) || operation.inputs.contains_key(name) {
                let reason = format!("`{name}` is a join, and a param or an input as well");
                return Err(self.wrong(at, reason));
            }
            let to = match &join.value.to {
                Some(to) => {
                    let text = self.text(to.referenced, &to.value)?;
                    let below = paths::below(&text).map_err(|why| {
                        self.wrong(to.referenced, format!("join `{name}`: `to: {text}` {why}"))
                    })?;
                    Some(below)
                }
                None => None,
            };
            if let Some(to) = &to {
                let taken = inputs.iter().map(|input| (&input.name, input.to.as_str()));
                let others = all.iter().filter_map(|join| Some((&join.name, join.to.as_deref()?)));
                let clash = taken.chain(others).find(|(_, path)| paths::overlap(path, to));
                if let Some((other, _)) = clash {
                    let reason = format!("`{other}` and join `{name}` both come to {to}");
                    return Err(self.wrong(at, reason));
                }
            }
            let place = |at| self.world.sources.place(at);
            all.push(Joined::read(name, join, to, &place)?);
        }
        Ok(all)
    }
}
