//! Bytes that a run may load until it ends.
//!
//! What was found is in use from its lookup on, and so for the time of grace; a run may take
//! longer. As long as it does, the bytes of what its operations gave are pinned anew now and then,
//! whatever became of their entries.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thrifty_catalog::BlobRef;

use super::{Problem, Schedule};
use crate::compute::Settled;
use crate::evict::GRACE;
use crate::graph::Value;
use crate::lookup::Looked;
use crate::record::reference;
use crate::timer::Beating;

/// How often they are pinned. One time may be missed, and another come late.
const PERIOD: Duration = Duration::from_secs(GRACE.as_secs() / 3);

/// What is kept of a run, until this is dropped.
#[derive(Default)]
pub(super) struct Kept {
    blobs: Arc<Mutex<BTreeSet<BlobRef>>>,
    beat: Option<Box<dyn Beating>>,
}

impl Schedule<'_> {
    /// Says of what was found that it is in use: what has bytes in the store may be loaded much
    /// later.
    pub(super) fn protect(&self, found: &[Looked]) {
        let used = found.iter().filter_map(|looked| match looked {
            Looked::Hit(answer, _) if answer.record.has_blobs() => answer.entry,
            Looked::Hit(..) | Looked::Miss(..) => None,
        });
        let used: Vec<_> = used.collect();
        if self.options.run.is_some() && !used.is_empty() {
            self.cache.recorder().in_use(used);
        }
    }

    /// Keeps the bytes of what an operation gave.
    pub(super) fn keep(&mut self, result: &Result<Settled, Problem>) {
        let Ok(Settled { value: Value::Known(answer), .. }) = result else { return };
        if self.options.run.is_none() || !answer.record.has_blobs() {
            return;
        }
        self.kept.blobs.lock().extend(answer.record.blobs().iter().map(reference));
        if self.kept.beat.is_none() {
            let (blobs, cache) = (Arc::clone(&self.kept.blobs), Arc::downgrade(&self.cache));
            let pin = move || {
                let Some(cache) = cache.upgrade() else { return false };
                let blobs: Vec<_> = blobs.lock().iter().copied().collect();
                cache.recorder().pin(blobs);
                true
            };
            self.kept.beat = Some(self.cache.timer.every(PERIOD, Box::new(pin)));
        }
    }
}
