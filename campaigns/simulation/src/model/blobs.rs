//! Bytes: what is referred to, pinned or young stays.

use thrifty_engine::catalog::{BlobRef, EntryId, Time};
use thrifty_engine::key::Digest;
use thrifty_engine::store::BlobName;

use super::{Bytes, Model};
use crate::identity::At;
use crate::mark::Mark;

impl Model {
    /// Somebody had this very blob pinned.
    pub fn kept(&mut self, at: At, blob: &BlobRef, pin: Time) {
        if let Some(bytes) = self.blobs.get_mut(blob).filter(|bytes| !bytes.is_condemned) {
            bytes.pinned = bytes.pinned.max(at.now.saturating_add(pin));
            bytes.used = at.now;
        }
    }

    /// Somebody asked for a blob of this content, and had it pinned.
    pub fn pinned(&mut self, at: At, digest: &Digest, pin: Time, answer: Option<&BlobRef>) {
        let known = self.blobs.iter().filter(|(blob, _)| blob.digest == *digest);
        let states: Vec<_> = known.map(|(_, bytes)| bytes.is_condemned).collect();
        let is_live = states.contains(&false);
        if !states.is_empty() && !is_live {
            self.marks.hit(Mark::CondemnedWanted);
        }
        let Some(blob) = answer else {
            return self.require(!is_live, "S6", || format!("a blob of {digest} is not found"));
        };
        let known = self.blobs.get_mut(blob).filter(|bytes| !bytes.is_condemned);
        let Some(bytes) = known else {
            return self.violate("S7", || format!("blob {blob:?} is offered, and is condemned"));
        };
        bytes.pinned = bytes.pinned.max(at.now.saturating_add(pin));
        bytes.used = at.now;
    }

    /// Entries were used.
    pub fn touched(&mut self, at: At, entries: impl Iterator<Item = EntryId>) {
        for id in entries {
            if let Some(kept) = self.entries.get_mut(&id.0) {
                kept.used = at.now;
            }
        }
    }

    /// Blobs are condemned now.
    pub fn condemned(&mut self, at: At, grace: Time, condemned: &[BlobRef]) {
        for blob in condemned {
            let Some(bytes) = self.blobs.get(blob).copied() else {
                continue;
            };
            if bytes.is_condemned {
                continue;
            }
            let is_needed = self.is_referenced(blob);
            self.require(!is_needed, "S7", || format!("{blob:?} is needed, and condemned"));
            self.require(bytes.pinned <= at.now, "S7", || {
                format!("{blob:?} is pinned, and condemned")
            });
            let age = at.now - bytes.used;
            self.require(age >= grace, "S7", || {
                format!("{blob:?} was used {age} ms ago, and condemned with a grace of {grace} ms")
            });
            self.blobs.insert(*blob, Bytes { is_condemned: true, ..bytes });
        }
        let held = self.blobs.iter().any(|(blob, bytes)| {
            let is_idle = !bytes.is_condemned && at.now - bytes.used >= grace;
            is_idle && bytes.pinned > at.now && !self.is_referenced(blob)
        });
        if held {
            self.marks.hit(Mark::PinHeld);
        }
    }

    /// Blobs that no entry ever named are gone: none may name them now.
    pub fn disowned(&mut self, at: At, disowned: &[BlobRef]) {
        for blob in disowned {
            let is_live = self.blobs.get(blob).is_some_and(|bytes| !bytes.is_condemned);
            self.require(!is_live, "S7", || format!("{blob:?} is known, and disowned"));
            self.blobs.insert(*blob, Bytes { is_condemned: true, used: at.now, pinned: 0 });
        }
    }

    fn is_referenced(&self, blob: &BlobRef) -> bool {
        self.entries.values().any(|kept| kept.blobs.contains(blob))
    }

    /// The bytes of a blob are deleted now.
    pub fn deleted(&mut self, name: &BlobName) {
        let BlobName { digest, generation, length } = *name;
        let blob = BlobRef { digest, generation, length };
        let is_needed = self.is_referenced(&blob) && !self.damaged.contains(name);
        self.require(!is_needed, "S7", || format!("{blob:?} is needed, and deleted"));
        let known = self.blobs.get(&blob);
        let is_condemned = known.is_some_and(|bytes| bytes.is_condemned);
        self.require(is_condemned, "S7", || format!("{blob:?} is deleted, and not condemned"));
        self.marks.hit(Mark::Collected);
    }
}
