//! What the catalog stands on: now and then it changes what was written.

use thrifty_engine::catalog::{EntryId, Sqlite, conformance};

use crate::world;

/// Damages the row of an entry, if the seed says so now.
pub fn strike(catalog: &Sqlite) {
    let struck = world::with(|world| {
        let whole: Vec<_> = world.model.whole().collect();
        let strikes = !whole.is_empty() && world.strikes(|faults| faults.row);
        strikes.then(|| (whole[world.rng.usize(..whole.len())], world.rng.u8(..3)))
    });
    let Some((entry, which)) = struck else { return };
    let damaged = conformance::damage(catalog, EntryId(entry), which);
    world::with(|world| {
        world.tell(|| format!("the row of entry {entry} is damaged: {damaged:?}"));
        world.model.spoiled(entry);
    });
}
