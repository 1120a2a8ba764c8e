//! Slots: who computes a key right now. A slot's row is never deleted, so fences only grow.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{OptionalExtension, Result, Row};
use thrifty_key::Key;

use super::Sqlite;
use super::lookup::millis;
use super::text::marred_or_none;
use super::write::Write;
use crate::contract::LONGEST_LEASE;
use crate::entry::{Claim, Ended, Held, Holder, Reserved, Scope, Time};
use crate::error::CatalogError;

/// After how many holders in a row without a commit nobody waits for another.
const FAILURES: i64 = 3;
/// For how long nobody does.
pub(super) const ALONE: Duration = Duration::from_secs(60);

/// The columns of `slot` that [`Slot::read`] takes, in their order.
pub(super) const COLUMNS: &str = "slot.epoch, slot.fence, slot.nonce, slot.lease_until, \
     slot.taken_at, slot.operation, slot.host, slot.process, slot.ended, slot.failures, \
     slot.alone_until, slot.failed_fence, slot.failure";

/// How many those are.
pub(super) const WIDTH: usize = 13;

/// The query for the slot of one key.
pub(super) fn by_key() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("SELECT {COLUMNS} FROM slot WHERE key = ?1 AND project = ?2 AND domain = ?3")
    });
    &SQL
}

/// A row of `slot`, or what stands for a missing one.
#[derive(Default)]
pub(super) struct Slot {
    /// The epoch of the key's last invalidation, or the ticket of its last replacement.
    pub(super) epoch: i64,
    fence: i64,
    holder: Option<Holder>,
    lease_until: Time,
    taken_at: Time,
    /// The commit or the reservation that ended last, if nothing has happened since.
    ended: Option<u128>,
    failures: i64,
    alone_until: Time,
    /// The last failure that was shared: fence and message.
    pub(super) failure: Option<(i64, String)>,
}

impl Slot {
    /// Reads the columns, the first of them at `first`.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self> {
        let number =
            |at: usize| row.get::<_, Option<i64>>(first + at).map(Option::unwrap_or_default);
        let text = |at: usize| marred_or_none(row, first + at);
        let nonce: Option<[u8; 16]> = row.get(first + 2)?;
        let ended: Option<[u8; 16]> = row.get(first + 8)?;
        let failed_fence: Option<i64> = row.get(first + 11)?;
        let holder = match nonce {
            None => None,
            Some(nonce) => Some(Holder {
                nonce: u128::from_be_bytes(nonce),
                operation: text(5)?.unwrap_or_default(),
                host: text(6)?.unwrap_or_default(),
                process: text(7)?.unwrap_or_default(),
            }),
        };
        Ok(Self {
            epoch: number(0)?,
            fence: number(1)?,
            holder,
            lease_until: number(3)?,
            taken_at: number(4)?,
            ended: ended.map(u128::from_be_bytes),
            failures: number(9)?,
            alone_until: number(10)?,
            failure: failed_fence.zip(text(12)?),
        })
    }

    /// Whether the reservation is the one the slot was last given to, lapsed or not.
    pub(super) fn is_of(&self, (fence, nonce): (i64, u128)) -> bool {
        self.fence == fence && self.holder.as_ref().is_some_and(|holder| holder.nonce == nonce)
    }

    /// Whether the commit or the reservation of this id was the last thing that happened.
    pub(super) fn was_ended_by(&self, id: u128) -> bool {
        self.holder.is_none() && self.ended == Some(id)
    }

    /// The reservation in force at `now`.
    pub(super) fn held(&self, now: Time) -> Option<Held> {
        let left = within(self.lease_until, now, LONGEST_LEASE)?;
        let holder = self.holder.clone()?;
        Some(Held { fence: self.fence, holder, since: self.taken_at, left })
    }
}

/// The time until `until`, if it is not past, nor further away than anybody writes it: slots have
/// no seal, and one flipped bit would hold a key for ages.
fn within(until: Time, now: Time, longest: Duration) -> Option<Duration> {
    let left = Duration::from_millis(u64::try_from(until.checked_sub(now)?).ok()?);
    (!left.is_zero() && left <= longest).then_some(left)
}

impl Write<'_> {
    /// The slot of a key. One that has no row begins behind every fence that a row which was
    /// lost may have had.
    pub(super) fn slot(&self, scope: &Scope, key: &Key) -> Result<Slot> {
        let slot = self
            .conn
            .prepare_cached(by_key())?
            .query_row((key.as_bytes(), &scope.project, &scope.domain), |row| Slot::read(row, 0))
            .optional()?;
        Ok(slot.unwrap_or_else(|| Slot { fence: self.log_floor(), ..Slot::default() }))
    }

    /// Frees the slot after the commit `id`, if the reservation still has it.
    pub(super) fn free_committed(
        &self,
        scope: &Scope,
        key: &Key,
        (fence, nonce): (i64, u128),
        id: u128,
    ) -> Result<()> {
        self.conn
            .prepare_cached(
                "UPDATE slot SET nonce = NULL, lease_until = NULL, ended = ?6, failures = 0, \
                 failed_fence = NULL, failure = NULL WHERE key = ?1 AND project = ?2 \
                 AND domain = ?3 AND fence = ?4 AND nonce = ?5",
            )?
            .execute((
                key.as_bytes(),
                &scope.project,
                &scope.domain,
                fence,
                nonce.to_be_bytes(),
                id.to_be_bytes(),
            ))?;
        self.holds_up_nobody(nonce)
    }

    /// Frees the slot without a commit, after `failures` in a row.
    fn free(&self, scope: &Scope, key: &Key, nonce: u128, failures: i64) -> Result<()> {
        self.conn
            .prepare_cached(
                "UPDATE slot SET nonce = NULL, lease_until = NULL, ended = ?4, failures = ?5 \
                 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .execute((
                key.as_bytes(),
                &scope.project,
                &scope.domain,
                nonce.to_be_bytes(),
                failures,
            ))?;
        if failures >= FAILURES {
            self.leave_alone(scope, key)?;
        }
        self.holds_up_nobody(nonce)
    }

    /// Gives the slot to nobody for a while.
    fn leave_alone(&self, scope: &Scope, key: &Key) -> Result<()> {
        let until = self.now.saturating_add(millis(ALONE));
        self.conn
            .prepare_cached(
                "UPDATE slot SET failures = 0, alone_until = ?4 \
                 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .execute((key.as_bytes(), &scope.project, &scope.domain, until))?;
        Ok(())
    }

    /// Forgets whom a reservation that ended waited for.
    fn holds_up_nobody(&self, nonce: u128) -> Result<()> {
        self.conn
            .prepare_cached("DELETE FROM waiting WHERE holder = ?1")?
            .execute([nonce.to_be_bytes()])?;
        Ok(())
    }

    fn take(
        &self,
        scope: &Scope,
        key: &Key,
        (fence, failures): (i64, i64),
        holder: &Holder,
        until: Time,
    ) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO slot (key, project, domain, epoch, fence, nonce, lease_until, \
                 taken_at, operation, host, process, failures) \
                 VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO UPDATE \
                 SET fence = ?4, nonce = ?5, lease_until = ?6, taken_at = ?7, operation = ?8, \
                 host = ?9, process = ?10, failures = ?11, ended = NULL",
            )?
            .execute((
                key.as_bytes(),
                &scope.project,
                &scope.domain,
                fence,
                holder.nonce.to_be_bytes(),
                until,
                self.now,
                &holder.operation,
                &holder.host,
                &holder.process,
                failures,
            ))?;
        Ok(())
    }

    fn extend(&self, scope: &Scope, key: &Key, lease: Duration) -> Result<()> {
        self.conn
            .prepare_cached(
                "UPDATE slot SET lease_until = ?4 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .execute((key.as_bytes(), &scope.project, &scope.domain, self.lease_end(lease)))?;
        Ok(())
    }

    fn lease_end(&self, lease: Duration) -> Time {
        self.now.saturating_add(millis(lease.min(LONGEST_LEASE)))
    }

    fn share(&self, scope: &Scope, key: &Key, fence: i64, message: &str) -> Result<()> {
        self.conn
            .prepare_cached(
                "UPDATE slot SET failed_fence = ?4, failure = ?5 \
                 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .execute((key.as_bytes(), &scope.project, &scope.domain, fence, message))?;
        Ok(())
    }

    fn taken(&self, fence: i64, nonce: u128) -> Reserved {
        let (epoch, reservation) = (self.epoch(), Some((fence, nonce)));
        Reserved::Taken(Claim { epoch, reservation, replace: false })
    }
}

impl Sqlite {
    /// See [`crate::Catalog::reserve`]. Asked again with the nonce that holds the slot, it
    /// prolongs the lease and answers as before; with the nonce that held it last, it answers as
    /// before, and nothing is held.
    pub(super) fn take_slot(
        &self,
        scope: &Scope,
        key: &Key,
        holder: &Holder,
        lease: Duration,
    ) -> std::result::Result<Reserved, CatalogError> {
        self.write(|write| {
            let slot = write.slot(scope, key)?;
            let nonce = holder.nonce;
            if slot.is_of((slot.fence, nonce)) {
                write.extend(scope, key, lease)?;
                return Ok(write.taken(slot.fence, nonce));
            }
            if slot.was_ended_by(nonce) {
                return Ok(write.taken(slot.fence, nonce));
            }
            if let Some(held) = slot.held(write.now) {
                return Ok(Reserved::Held(held));
            }
            if let Some(left) = within(slot.alone_until, write.now, ALONE) {
                return Ok(Reserved::Unserialised(left));
            }
            let mut failures = slot.failures;
            if let Some(lapsed) = &slot.holder {
                failures += 1;
                if failures >= FAILURES {
                    // It keeps the slot: nobody takes it over, so it may still commit.
                    write.leave_alone(scope, key)?;
                    return Ok(Reserved::Unserialised(ALONE));
                }
                write.holds_up_nobody(lapsed.nonce)?;
            }
            let fence = slot.fence + 1;
            write.take(scope, key, (fence, failures), holder, write.lease_end(lease))?;
            Ok(write.taken(fence, nonce))
        })
    }

    /// See [`crate::Catalog::draw_ticket`]. Tickets are epochs: what was begun before one was
    /// drawn stands on an earlier epoch.
    pub(super) fn hand_out_ticket(&self) -> std::result::Result<Claim, CatalogError> {
        self.write(|write| {
            Ok(Claim { epoch: write.raise_epoch(), reservation: None, replace: true })
        })
    }

    /// See [`crate::Catalog::heartbeat`].
    pub(super) fn prolong(
        &self,
        scope: &Scope,
        held: &[(Key, Claim)],
        lease: Duration,
    ) -> std::result::Result<Vec<bool>, CatalogError> {
        self.write(|write| {
            let prolong = |(key, claim): &(Key, Claim)| {
                let Some(held) = claim.reservation else { return Ok(false) };
                let holds = write.slot(scope, key)?.is_of(held);
                if holds {
                    write.extend(scope, key, lease)?;
                }
                Ok(holds)
            };
            held.iter().map(prolong).collect()
        })
    }

    /// See [`crate::Catalog::release`].
    pub(super) fn give_back(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
        ended: Ended<'_>,
    ) -> std::result::Result<(), CatalogError> {
        let Some(held) = claim.reservation else {
            return Ok(());
        };
        let (fence, nonce) = held;
        let freed = self.write(|write| {
            let slot = write.slot(scope, key)?;
            if !slot.is_of(held) {
                return write.holds_up_nobody(nonce);
            }
            if let Ended::Shared(message) = ended {
                write.share(scope, key, fence, message)?;
            }
            let failed = ended != Ended::Unused;
            write.free(scope, key, nonce, slot.failures + i64::from(failed))
        });
        self.signal.turn();
        freed
    }
}
