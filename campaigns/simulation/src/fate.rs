//! What becomes of a call on its way.

use std::path::PathBuf;

use thrifty_engine::catalog::CatalogError;

use crate::world::World;

/// What becomes of a call besides taking effect once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Sound,
    Fails(Fault),
    ReplyLost,
    Twice,
    Late,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lost,
    Busy,
    Full,
    ReadOnly,
    Unreadable,
}

/// Draws what becomes of a call.
pub(crate) fn fate(world: &mut World, writes: bool, may_be_late: bool) -> Fate {
    if world.is_chaos && world.outage > world.now {
        return Fate::Fails(Fault::Lost);
    }
    if world.strikes(|faults| faults.outage) {
        let time = world.rng.u64(..120_000_000);
        world.outage = world.now + time;
        world.tell(|| format!("nothing gets through for {} ms", time / 1000));
    }
    if world.strikes(|faults| faults.lost) {
        Fate::Fails(Fault::Lost)
    } else if world.strikes(|faults| faults.busy) {
        Fate::Fails(Fault::Busy)
    } else if world.strikes(|faults| faults.unreadable) {
        Fate::Fails(Fault::Unreadable)
    } else if writes && world.strikes(|faults| faults.full) {
        Fate::Fails(Fault::Full)
    } else if writes && world.strikes(|faults| faults.read_only) {
        Fate::Fails(Fault::ReadOnly)
    } else if world.strikes(|faults| faults.reply_lost) {
        Fate::ReplyLost
    } else if writes && world.strikes(|faults| faults.twice) {
        Fate::Twice
    } else if may_be_late && world.strikes(|faults| faults.late) {
        Fate::Late
    } else {
        Fate::Sound
    }
}

/// What the caller is told of it.
pub(crate) fn error_of(fault: Fault) -> CatalogError {
    let path = PathBuf::from("simulated");
    let reason = "simulated".to_owned();
    match fault {
        Fault::Lost => CatalogError::Failed { path, reason },
        Fault::Busy => CatalogError::Busy { path },
        Fault::Full => CatalogError::Full { path },
        Fault::ReadOnly => CatalogError::ReadOnly { path, reason },
        Fault::Unreadable => CatalogError::Unreadable { path, reason },
    }
}
