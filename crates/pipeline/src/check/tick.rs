//! The schedule of a file, and what of a tick its operations name.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Check, World};
use crate::document::Document;
use crate::error::FileError;
use crate::place::Location;
use crate::ticks::Ticks;

impl World<'_> {
    /// The schedule of the operation file; the run is for this tick, or the last that was due, or
    /// the first that will be.
    pub(super) fn schedule(
        &mut self,
        document: &Document,
        tick: Option<Timestamp>,
    ) -> Result<Option<Ticks>, FileError> {
        let Some(said) = &document.schedule else {
            let reason = "a tick was given, and the file has no `schedule`";
            return tick.map_or(Ok(None), |_| Err(self.wrong(Location::UNKNOWN, reason)));
        };
        let ticks =
            Ticks::read(&said.value).map_err(|reason| self.wrong(said.referenced, reason))?;
        let now = Timestamp::now();
        self.tick =
            tick.map(|at| ticks.at(at)).or_else(|| ticks.due(now)).or_else(|| ticks.after(now));
        if self.tick.is_none() {
            return Err(self.wrong(said.referenced, "this schedule has no tick at all"));
        }
        Ok(Some(ticks))
    }
}

impl Check<'_> {
    /// The part of the tick that a command names, as a param of its own.
    pub(super) fn tick_part(&self, at: Location, name: &str) -> Result<(String, Json), FileError> {
        let tick = self.world.tick.as_ref().ok_or_else(|| {
            self.wrong(
                at,
                "`tick` in `run`: the file has no `schedule`, so that there are no ticks",
            )
        })?;
        tick.part(name).map_err(|reason| self.wrong(at, reason))
    }
}
