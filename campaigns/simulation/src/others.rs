//! Who removes: the collector and the invalidator.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use thrifty_engine::catalog::{Catalog, Selector, Sqlite};
use thrifty_engine::evict::{self, Goal, HISTORY, Means};

use crate::bytes::Bytes;
use crate::handle::Handle;
use crate::options::{Collector, Micros};
use crate::scheduler;
use crate::world;

/// Collects now and then. A collection that fails is tried again at the next.
pub fn collect(catalog: &Arc<Sqlite>, collector: &Collector) {
    let process = world::with(|world| world.process());
    let handle = Handle::new(catalog, process, true);
    let blobs = Bytes::new(process);
    let collector = collector.clone();
    let work = move || {
        loop {
            scheduler::sleep(world::with(|world| world.rng.u64(1..=collector.period)));
            collect_once(&handle, &blobs, &collector);
        }
    };
    world::with(|world| {
        world.removers.push(process);
        world.spawn(process, 0, work);
    });
}

/// One collection.
pub fn collect_once(handle: &Handle, blobs: &Bytes, collector: &Collector) {
    let Collector { grace, older_than, budget, period: _ } = *collector;
    let goal = Goal { budget, older_than, ..Goal::default() };
    let wall = world::with(|world| world.wall());
    let now = UNIX_EPOCH + Duration::from_millis(wall.unsigned_abs());
    let means = Means { grace, now, files: None, history: HISTORY, dry_run: false };
    let collected = evict::plan(handle, &goal)
        .map_err(evict::CollectError::from)
        .and_then(|victims| evict::collect(handle, blobs, &victims, &means));
    world::tell(|| match collected {
        Ok(done) => format!("collected {} entries and {} blobs", done.entries, done.blobs),
        Err(error) => format!("the collection failed: {error}"),
    });
}

/// Changes the world that bodies read and invalidates what was made of it.
pub fn invalidate(catalog: &Arc<Sqlite>, rest: Micros) {
    let process = world::with(|world| world.process());
    let handle = Handle::new(catalog, process, true);
    let work = move || {
        loop {
            scheduler::sleep(world::with(|world| world.rng.u64(1..=rest)));
            invalidate_once(&handle);
        }
    };
    world::with(|world| {
        world.removers.push(process);
        world.spawn(process, 0, work);
    });
}

fn invalidate_once(handle: &Handle) {
    let (place, how) = world::with(|world| {
        let cell = world.rng.usize(..world.keys.len());
        (world.keys.place(cell).clone(), world.rng.u32(..8))
    });
    let by_key = Selector { key_prefix: Some(place.key.to_string()), ..Selector::default() };
    let by_name =
        Selector { operation: Some(place.operation.name().to_owned()), ..Selector::default() };
    let (scope, selector) = match how {
        0 => (None, Selector::default()),
        1..4 => (None, by_name),
        _ => (Some(&place.scope), by_key),
    };
    let changed = world::with(|world| {
        let (prefix, name) = (selector.key_prefix.as_deref(), selector.operation.as_deref());
        let cells = world.keys.matching(scope, prefix, name);
        cells.iter().for_each(|cell| world.model.cells[*cell].version += 1);
        let versions = cells.iter().map(|cell| (*cell, world.model.cells[*cell].version));
        versions.collect::<Vec<_>>()
    });
    for _ in 0..3 {
        if handle.invalidate(scope, &selector).is_ok() {
            world::with(|world| {
                let now = world.step();
                for (cell, version) in changed {
                    let cell = &mut world.model.cells[cell];
                    if version > cell.required {
                        (cell.required, cell.required_since) = (version, now);
                    }
                }
            });
            return;
        }
    }
}
