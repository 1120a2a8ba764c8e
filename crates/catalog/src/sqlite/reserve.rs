//! Slots: who computes a key right now. A slot's row is never deleted, so fences only grow.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result};
use thrifty_key::Key;

use super::Sqlite;
use super::lookup::millis;
use super::write::Write;
use crate::entry::{Claim, Reserved, Scope, Time};
use crate::error::CatalogError;

/// A row of `slot`, or what stands for a missing one.
#[derive(Default)]
pub(super) struct Held {
    /// The catalog's epoch when the key was last invalidated or replaced.
    pub(super) epoch: i64,
    fence: i64,
    nonce: Option<[u8; 16]>,
    lease_until: Time,
}

impl Held {
    /// Whether the reservation is the one the slot was last given to, lapsed or not.
    pub(super) fn is_of(&self, (fence, nonce): (i64, u128)) -> bool {
        self.fence == fence && self.nonce == Some(nonce.to_be_bytes())
    }
}

impl Write<'_> {
    /// The slot of a key.
    pub(super) fn slot(&self, scope: &Scope, key: &Key) -> Result<Held> {
        let slot = self
            .conn
            .prepare_cached(
                "SELECT epoch, fence, nonce, coalesce(lease_until, 0) FROM slot \
                 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .query_row((key.as_bytes(), &scope.project, &scope.domain), |row| {
                Ok(Held {
                    epoch: row.get(0)?,
                    fence: row.get(1)?,
                    nonce: row.get(2)?,
                    lease_until: row.get(3)?,
                })
            })
            .optional()?;
        Ok(slot.unwrap_or_default())
    }

    /// Frees the slot if the reservation still has it; says whether it had.
    pub(super) fn free(&self, scope: &Scope, key: &Key, held: (i64, u128)) -> Result<bool> {
        let freed = self
            .conn
            .prepare_cached(
                "UPDATE slot SET nonce = NULL, lease_until = NULL WHERE key = ?1 \
                 AND project = ?2 AND domain = ?3 AND fence = ?4 AND nonce = ?5",
            )?
            .execute((
                key.as_bytes(),
                &scope.project,
                &scope.domain,
                held.0,
                held.1.to_be_bytes(),
            ))?;
        Ok(freed == 1)
    }

    fn take(&self, scope: &Scope, key: &Key, fence: i64, nonce: u128, until: Time) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO slot (key, project, domain, epoch, fence, nonce, lease_until) \
                 VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6) ON CONFLICT DO UPDATE \
                 SET fence = ?4, nonce = ?5, lease_until = ?6",
            )?
            .execute((
                key.as_bytes(),
                &scope.project,
                &scope.domain,
                fence,
                nonce.to_be_bytes(),
                until,
            ))?;
        Ok(())
    }
}

impl Sqlite {
    /// See [`crate::Catalog::reserve`]. Asked again with the nonce that holds the slot, it
    /// prolongs the lease and answers as before, so a call whose answer was lost can be repeated.
    pub(super) fn take_slot(
        &self,
        scope: &Scope,
        key: &Key,
        nonce: u128,
        lease: Duration,
    ) -> std::result::Result<Reserved, CatalogError> {
        self.write(|write| {
            let slot = write.slot(scope, key)?;
            let until = write.now.saturating_add(millis(lease));
            let mine = slot.nonce == Some(nonce.to_be_bytes());
            if slot.nonce.is_some() && !mine && slot.lease_until > write.now {
                let left = slot.lease_until.saturating_sub(write.now);
                return Ok(Reserved::Held(Duration::from_millis(left.unsigned_abs())));
            }
            let fence = slot.fence + i64::from(!mine);
            write.take(scope, key, fence, nonce, until)?;
            Ok(Reserved::Taken(Claim {
                epoch: write.epoch(),
                reservation: Some((fence, nonce)),
                replace: false,
            }))
        })
    }

    /// See [`crate::Catalog::heartbeat`].
    pub(super) fn prolong(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
        lease: Duration,
    ) -> std::result::Result<bool, CatalogError> {
        let Some(held) = claim.reservation else {
            return Ok(false);
        };
        self.write(|write| {
            if !write.slot(scope, key)?.is_of(held) {
                return Ok(false);
            }
            let until = write.now.saturating_add(millis(lease));
            write.take(scope, key, held.0, held.1, until)?;
            Ok(true)
        })
    }

    /// See [`crate::Catalog::release`].
    pub(super) fn give_back(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
    ) -> std::result::Result<(), CatalogError> {
        let Some(held) = claim.reservation else {
            return Ok(());
        };
        let freed = self.write(|write| write.free(scope, key, held)).map(drop);
        self.signal.turn();
        freed
    }
}
