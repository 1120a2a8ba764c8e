//! A process's way to the catalog: every call may be slow, lost, doubled or the last one.

use std::sync::Arc;
use std::time::Duration;

use thrifty_engine::catalog::*;
use thrifty_engine::key::{Digest, Key};

use crate::fate::{Fate, Fault, error_of, fate};
use crate::identity::{At, CellId, ProcessId};
use crate::model::{Meant, Told};
use crate::options::{Micros, SECOND};
use crate::world::{self, World};
use crate::{medium, scheduler};

/// The catalog as one process sees it.
pub struct Handle {
    catalog: Arc<Sqlite>,
    process: ProcessId,
    collects: bool,
}

/// What is written to the log of a call.
type Text<'a> = &'a dyn Fn() -> String;
type Applied<'a, T> = &'a dyn Fn(&Sqlite) -> Result<T, CatalogError>;
/// What the oracle learns of an answer.
type Learned<'a, T> = &'a dyn Fn(&mut World, At, &T);

impl Handle {
    /// The catalog as `process` sees it; one that `collects` may remove what is whole.
    pub fn new(catalog: &Arc<Sqlite>, process: ProcessId, collects: bool) -> Self {
        Self { catalog: Arc::clone(catalog), process, collects }
    }

    fn read<T>(
        &self,
        told: Text<'_>,
        applied: Applied<'_, T>,
        learned: Learned<'_, T>,
    ) -> Result<T, CatalogError> {
        self.call(false, told, applied, learned, None)
    }

    fn write<T>(
        &self,
        told: Text<'_>,
        applied: Applied<'_, T>,
        learned: Learned<'_, T>,
    ) -> Result<T, CatalogError> {
        self.call(true, told, applied, learned, None)
    }

    fn call<T>(
        &self,
        writes: bool,
        told: Text<'_>,
        applied: Applied<'_, T>,
        learned: Learned<'_, T>,
        late: Option<Box<dyn FnOnce()>>,
    ) -> Result<T, CatalogError> {
        self.travel()?;
        let fate = world::with(|world| fate(world, writes, late.is_some()));
        let answer = match fate {
            Fate::Fails(fault) => {
                let time = if fault == Fault::Busy { 5_000_000 } else { 0 };
                scheduler::sleep(time);
                Err(error_of(fault))
            }
            _ => {
                let answer = apply(&self.catalog, self.process, applied, learned);
                if fate == Fate::Twice {
                    world::tell(|| format!("twice: {}", told()));
                    _ = apply(&self.catalog, self.process, applied, learned);
                }
                answer
            }
        };
        if let (Fate::Late, Some(late)) = (fate, late) {
            world::with(|world| {
                let delay = world.rng.u64(1..60_000_000);
                let network = world.process();
                world.spawn(network, delay, late);
            });
        }
        let how = if answer.is_ok() { "ok" } else { "failed" };
        world::tell(|| format!("process {}: {}: {how}", self.process, told()));
        self.travel()?;
        let answer = if fate == Fate::ReplyLost { Err(error_of(Fault::Lost)) } else { answer };
        if answer.is_err() {
            world::with(|world| {
                world.tell(|| format!("process {} hears nothing of {}", self.process, told()));
                world.model.failed(self.process);
            });
        }
        answer
    }

    /// One way of a call: it takes time, and the process may not live to see its end.
    fn travel(&self) -> Result<(), CatalogError> {
        let process = self.process;
        if !scheduler::is_alive(process) {
            return Err(error_of(Fault::Lost));
        }
        let time = world::with(|world| {
            world.count_call(process);
            if world.strikes(|faults| faults.crash) {
                world.kill(process);
            } else if world.strikes(|faults| faults.pause) {
                let most = Micros::try_from(world.options.lease.as_micros()).unwrap_or(Micros::MAX);
                let time = world.rng.u64(..most * 5);
                world.pause(process, time);
            }
            if world.strikes(|faults| faults.jump) {
                world.jump();
            }
            world.latency()
        });
        scheduler::sleep(time);
        Ok(())
    }
}

/// Has a call take effect, and tells the oracle.
fn apply<T>(
    catalog: &Sqlite,
    process: ProcessId,
    applied: Applied<'_, T>,
    learned: Learned<'_, T>,
) -> Result<T, CatalogError> {
    let words = || [catalog.turns(), catalog.commits(), catalog.changes()];
    let before = words();
    let answer = applied(catalog);
    let now = catalog.now()?;
    world::with(|world| {
        let at = At { process, step: world.step(), now };
        let (steady, wall) = (world.steady(), world.wall());
        world.model.ticked(now, steady, wall);
        let after = words();
        world.model.told = Told {
            turns: before[0] != after[0],
            commits: before[1] != after[1],
            changes: before[2] != after[2],
        };
        match &answer {
            Ok(answer) => learned(world, at, answer),
            Err(error) => world.model.violate("S11", || format!("a sound call failed: {error}")),
        }
    });
    answer
}

/// A claim without its nonce, which is no part of the seed.
fn shown(claim: &Claim) -> String {
    let Claim { epoch, reservation, replace } = claim;
    let fence = reservation.map(|(fence, _)| fence);
    format!("epoch {epoch}, fence {fence:?}, replace {replace}")
}

fn millis(duration: Duration) -> Time {
    Time::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(Time::MAX)
}

fn cell(scope: &Scope, key: &Key) -> CellId {
    world::with(|world| world.keys.cell(scope, key))
}

/// Which entries a selector means.
fn meant(scope: Option<&Scope>, selector: &Selector) -> (Meant, bool) {
    let Selector { ids, key_prefix, operation, run, older_than, unused_for, before } = selector;
    let is_plain =
        run.is_none() && older_than.is_none() && unused_for.is_none() && before.is_none();
    assert!(is_plain, "the simulation selects by number, key and operation alone");
    let cells = world::with(|world| {
        world.keys.matching(scope, key_prefix.as_deref(), operation.as_deref())
    });
    let ids: Option<Vec<i64>> = ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
    let is_semantic = ids.is_none();
    (Meant { cells, ids }, is_semantic)
}

impl Catalog for Handle {
    fn now(&self) -> Result<Time, CatalogError> {
        self.catalog.now()
    }

    fn changes(&self) -> u64 {
        self.catalog.changes()
    }

    fn commits(&self) -> u64 {
        world::with(|world| {
            let step = world.step();
            world.model.counts(self.process, step);
        });
        self.catalog.commits()
    }

    fn turns(&self) -> u64 {
        self.catalog.turns()
    }

    fn await_turn(&self, seen: u64, timeout: Duration) {
        let timeout = Micros::try_from(timeout.as_micros()).unwrap_or(Micros::MAX);
        scheduler::await_turn(seen, timeout);
    }

    fn lookup(&self, scope: &Scope, requests: &[Request]) -> Result<Vec<Found>, CatalogError> {
        let cells: Vec<_> = requests.iter().map(|request| cell(scope, &request.key)).collect();
        medium::strike(&self.catalog);
        self.read(
            &|| format!("lookup of {cells:?}"),
            &|catalog| catalog.lookup(scope, requests),
            &|world, at, found| {
                for ((cell, request), found) in cells.iter().zip(requests).zip(found) {
                    world.model.looked(at, *cell, request, found);
                }
            },
        )
    }

    fn slot(&self, scope: &Scope, key: &Key) -> Result<Slot, CatalogError> {
        let cell = cell(scope, key);
        self.read(
            &|| format!("slot of {cell}"),
            &|catalog| catalog.slot(scope, key),
            &|world, at, slot| world.model.saw_epoch(at, slot.epoch),
        )
    }

    fn draw_ticket(&self, scope: &Scope, key: &Key) -> Result<Claim, CatalogError> {
        let cell = cell(scope, key);
        self.write(
            &|| format!("ticket for {cell}"),
            &|catalog| catalog.draw_ticket(scope, key),
            &|world, at, claim| {
                world.tell(|| format!("  {}", shown(claim)));
                world.model.drew(at, cell, claim);
            },
        )
    }

    fn commit(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        claim: &Claim,
    ) -> Result<Committed, CatalogError> {
        let cell = cell(scope, &entry.key);
        let at = self.at();
        world::with(|world| {
            world.model.commits(at, cell);
            if world.strikes(|faults| faults.stall) {
                // Where everybody hurries, hours would never end.
                let is_long = world.options.think >= 20 * SECOND;
                let most = if is_long { 3 * 3600 * SECOND } else { 60 * SECOND };
                let time = world.rng.u64(..most);
                world.pause(at.process, time);
            }
        });
        let late: Box<dyn FnOnce()> = {
            let (catalog, process) = (Arc::clone(&self.catalog), self.process);
            let (scope, entry, claim) = (scope.clone(), entry.clone(), *claim);
            Box::new(move || {
                world::tell(|| format!("late: commit of {cell}"));
                _ = apply(
                    &catalog,
                    process,
                    &|catalog| catalog.commit(&scope, &entry, &claim),
                    &|world, at, how| {
                        let whole = world.keys.whole(&scope, &entry);
                        world.model.committed(at, cell, &entry, &whole, &claim, how);
                    },
                );
            })
        };
        let answer = self.call(
            true,
            &|| format!("commit of {cell} on {}", shown(claim)),
            &|catalog| catalog.commit(scope, entry, claim),
            &|world, at, how| {
                world.tell(|| format!("  {how:?}"));
                let whole = world.keys.whole(scope, entry);
                world.model.committed(at, cell, entry, &whole, claim, how);
            },
            Some(late),
        );
        world::with(|world| world.model.commit_ended(at));
        answer
    }

    fn reserve(
        &self,
        scope: &Scope,
        key: &Key,
        holder: &Holder,
        lease: Duration,
    ) -> Result<Reserved, CatalogError> {
        let cell = cell(scope, key);
        let answer = self.write(
            &|| format!("reserve {cell}"),
            &|catalog| catalog.reserve(scope, key, holder, lease),
            &|world, at, how| {
                world.tell(|| match how {
                    Reserved::Taken(_) => "  taken".to_owned(),
                    Reserved::Held(_) => "  held".to_owned(),
                    Reserved::Unserialised(left) => format!("  left alone for {left:?}"),
                });
                world.model.reserved(at, cell, holder.nonce, millis(lease), how);
            },
        );
        if let Ok(Reserved::Taken(_)) = answer {
            let at = self.at();
            world::with(|world| world.model.granted(at, cell));
        }
        answer
    }

    fn heartbeat(
        &self,
        scope: &Scope,
        held: &[(Key, Claim)],
        lease: Duration,
    ) -> Result<Vec<bool>, CatalogError> {
        let cells: Vec<_> = held.iter().map(|(key, claim)| (cell(scope, key), claim)).collect();
        self.write(
            &|| {
                let cells: Vec<_> = cells.iter().map(|(cell, _)| cell.to_string()).collect();
                format!("heartbeat of {}", cells.join(", "))
            },
            &|catalog| catalog.heartbeat(scope, held, lease),
            &|world, at, alive| {
                for ((cell, claim), alive) in cells.iter().zip(alive) {
                    world.model.beat(at, *cell, claim, millis(lease), *alive);
                }
            },
        )
    }

    fn release(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
        ended: Ended<'_>,
    ) -> Result<(), CatalogError> {
        let cell = cell(scope, key);
        let at = self.at();
        world::with(|world| world.model.gave_up(at, cell));
        self.write(
            &|| format!("release of {cell}: {ended:?}"),
            &|catalog| catalog.release(scope, key, claim, ended),
            &|world, at, ()| world.model.released(at, cell, claim, ended),
        )
    }

    fn standing(&self, scope: &Scope, key: &Key) -> Result<Standing, CatalogError> {
        let cell = cell(scope, key);
        self.read(
            &|| format!("standing of {cell}"),
            &|catalog| catalog.standing(scope, key),
            &|world, at, standing| world.model.stood(at, cell, standing),
        )
    }

    fn wait_for(
        &self,
        scope: &Scope,
        key: &Key,
        holding: &[u128],
    ) -> Result<Standing, CatalogError> {
        let cell = cell(scope, key);
        self.write(
            &|| format!("waiting for {cell}"),
            &|catalog| catalog.wait_for(scope, key, holding),
            &|world, at, standing| world.model.stood(at, cell, standing),
        )
    }

    fn stop_waiting(&self, scope: &Scope, key: &Key, holding: &[u128]) -> Result<(), CatalogError> {
        let cell = cell(scope, key);
        self.write(
            &|| format!("no longer waiting for {cell}"),
            &|catalog| catalog.stop_waiting(scope, key, holding),
            &|_, _, ()| (),
        )
    }

    fn reservations(&self, scope: Option<&Scope>) -> Result<Vec<Reservation>, CatalogError> {
        self.read(
            &|| "reservations".to_owned(),
            &|catalog| catalog.reservations(scope),
            &|_, _, _| (),
        )
    }

    fn invalidate(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Invalidated, CatalogError> {
        let (meant, is_semantic) = meant(scope, selector);
        self.write(
            &|| format!("invalidate {:?} {:?}", meant.cells, meant.ids),
            &|catalog| catalog.invalidate(scope, selector),
            &|world, at, how| world.model.invalidated(at, &meant, is_semantic, *how),
        )
    }

    fn wholes(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Vec<EntryId>, CatalogError> {
        self.read(
            &|| "wholes".to_owned(),
            &|catalog| catalog.wholes(scope, selector),
            &|_, _, _| (),
        )
    }

    fn remove(&self, entries: &[EntryId]) -> Result<Invalidated, CatalogError> {
        let selector = Selector { ids: Some(entries.to_vec()), ..Selector::default() };
        let (meant, is_semantic) = meant(None, &selector);
        if let (Some(ids), false) = (&meant.ids, self.collects) {
            world::with(|world| ids.iter().for_each(|id| world.model.discards(*id)));
        }
        self.write(
            &|| format!("remove {:?}", meant.ids),
            &|catalog| catalog.remove(entries),
            &|world, at, how| world.model.invalidated(at, &meant, is_semantic, *how),
        )
    }

    fn entries(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> Result<Vec<Entry>, CatalogError> {
        self.read(
            &|| "entries".to_owned(),
            &|catalog| catalog.entries(scope, selector, limit),
            &|_, _, _| (),
        )
    }

    fn evict(&self, entries: &[EntryId], chosen: Time) -> Result<Invalidated, CatalogError> {
        self.write(
            &|| format!("evict {entries:?}"),
            &|catalog| catalog.evict(entries, chosen),
            &|world, at, how| world.model.evicted(at, entries, chosen, *how),
        )
    }

    fn pin(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        pinned: bool,
    ) -> Result<u64, CatalogError> {
        self.write(
            &|| "pin".to_owned(),
            &|catalog| catalog.pin(scope, selector, pinned),
            &|_, _, _| (),
        )
    }

    fn shorten(&self, age: Duration) -> Result<Shortened, CatalogError> {
        self.write(&|| "shorten".to_owned(), &|catalog| catalog.shorten(age), &|_, _, _| ())
    }

    fn touch(&self, uses: &[(EntryId, Usage)]) -> Result<(), CatalogError> {
        self.write(&|| "touch".to_owned(), &|catalog| catalog.touch(uses), &|world, at, ()| {
            world.model.touched(at, uses.iter().map(|(id, _)| *id))
        })
    }

    fn find_blob(&self, digest: &Digest, pin: Duration) -> Result<Option<BlobRef>, CatalogError> {
        self.write(
            &|| "find blob".to_owned(),
            &|catalog| catalog.find_blob(digest, pin),
            &|world, at, found| world.model.pinned(at, digest, millis(pin), found.as_ref()),
        )
    }

    fn keep_blobs(&self, blobs: &[BlobRef], pin: Duration) -> Result<(), CatalogError> {
        self.write(
            &|| "keep blobs".to_owned(),
            &|catalog| catalog.keep_blobs(blobs, pin),
            &|world, at, ()| {
                for blob in blobs {
                    world.model.kept(at, blob, millis(pin));
                }
            },
        )
    }

    fn condemn(&self, grace: Duration, dry_run: bool) -> Result<Vec<BlobRef>, CatalogError> {
        self.write(
            &|| "condemn".to_owned(),
            &|catalog| catalog.condemn(grace, dry_run),
            &|world, at, blobs| {
                if !dry_run {
                    world.model.condemned(at, millis(grace), blobs);
                }
            },
        )
    }

    fn disown(&self, blobs: &[BlobRef]) -> Result<Vec<BlobRef>, CatalogError> {
        self.write(
            &|| format!("disown {} blobs", blobs.len()),
            &|catalog| catalog.disown(blobs),
            &|world, at, disowned| {
                disowned.iter().for_each(|blob| world.check_age(blob));
                world.model.disowned(at, disowned);
            },
        )
    }

    fn forget(&self, blobs: &[BlobRef]) -> Result<(), CatalogError> {
        self.write(
            &|| format!("forget {} blobs", blobs.len()),
            &|catalog| catalog.forget(blobs),
            &|_, _, ()| (),
        )
    }

    fn blobs(&self) -> Result<Vec<BlobRef>, CatalogError> {
        self.read(&|| "blobs".to_owned(), &|catalog| catalog.blobs(), &|_, _, _| ())
    }

    fn begin_run(&self, scope: &Scope, run: &NewRun) -> Result<RunId, CatalogError> {
        self.catalog.begin_run(scope, run)
    }

    fn record(&self, run: &RunId, nodes: &[Node]) -> Result<(), CatalogError> {
        self.catalog.record(run, nodes)
    }

    fn finish_run(&self, run: &RunId, status: RunStatus) -> Result<(), CatalogError> {
        self.catalog.finish_run(run, status)
    }

    fn resume_run(&self, run: &RunId, before: &str, now: &str) -> Result<bool, CatalogError> {
        self.catalog.resume_run(run, before, now)
    }

    fn runs(&self, scope: Option<&Scope>, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
        self.catalog.runs(scope, filter)
    }

    fn nodes(&self, run: &RunId) -> Result<Vec<Node>, CatalogError> {
        self.catalog.nodes(run)
    }

    fn totals(&self, scope: Option<&Scope>) -> Result<Vec<Totals>, CatalogError> {
        self.catalog.totals(scope)
    }

    fn put_texts(&self, texts: &[(Digest, &str)]) -> Result<(), CatalogError> {
        self.catalog.put_texts(texts)
    }

    fn text(&self, digest: &Digest) -> Result<Option<String>, CatalogError> {
        self.catalog.text(digest)
    }

    fn recall(&self, table: &str, name: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.catalog.recall(table, name)
    }

    fn remember(&self, table: &str, memos: &[(&[u8], &[u8])]) -> Result<(), CatalogError> {
        self.catalog.remember(table, memos)
    }

    fn check(&self) -> Result<Vec<Problem>, CatalogError> {
        self.catalog.check()
    }

    fn mend(&self, problems: &[Problem]) -> Result<u64, CatalogError> {
        self.catalog.mend(problems)
    }

    fn compact(&self) -> Result<(), CatalogError> {
        self.write(&|| "compact".to_owned(), &|catalog| catalog.compact(), &|_, _, ()| ())
    }
}

impl Handle {
    fn at(&self) -> At {
        let now = self.catalog.now().unwrap_or(0);
        At { process: self.process, step: world::with(|world| world.step()), now }
    }
}
