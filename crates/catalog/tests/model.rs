//! Random sequences of operations, against a model of a few lines.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use thrifty_catalog::conformance::{entry, holder, key, scope};
use thrifty_catalog::{
    Catalog, Claim, Clock, Committed, Ended, Found, Held, NewEntry, Request, Reserved, Selector,
    Sqlite, Why,
};

#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn wall(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn steady(&self) -> i64 {
        self.wall()
    }
}

/// One step. Keys are 0 to 2; keys 0 and 1 belong to one operation, key 2 to another. Claims are
/// those handed out so far, counted from the last one.
#[derive(Debug, Clone)]
enum Step {
    Lookup {
        key: usize,
        max_age: Option<u64>,
    },
    Commit {
        key: usize,
        claim: usize,
        output: u8,
        expires: Option<u64>,
    },
    /// A ticket, with the reservation of a claim if it is to have one.
    Draw {
        key: usize,
        claim: Option<usize>,
    },
    /// One of the last commits again, counted from the last one.
    Repeat {
        back: usize,
    },
    InvalidateKey {
        key: usize,
    },
    InvalidateOperation {
        of: usize,
    },
    InvalidateOlder {
        than: u64,
    },
    Reserve {
        key: usize,
        nonce: u128,
        lease: u64,
    },
    Heartbeat {
        key: usize,
        claim: usize,
        lease: u64,
    },
    Release {
        key: usize,
        claim: usize,
        failed: bool,
    },
    Pass {
        millis: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (key, claim, short) = (0..3_usize, 0..4_usize, 0..4_u64);
    prop_oneof![
        3 => (key.clone(), prop::option::of(short.clone()))
            .prop_map(|(key, max_age)| Step::Lookup { key, max_age }),
        6 => (key.clone(), claim.clone(), 0..2_u8, prop::option::of(short.clone()))
            .prop_map(|(key, claim, output, expires)| Step::Commit { key, claim, output, expires }),
        2 => (key.clone(), prop::option::of(claim.clone()))
            .prop_map(|(key, claim)| Step::Draw { key, claim }),
        3 => (0..4_usize).prop_map(|back| Step::Repeat { back }),
        1 => key.clone().prop_map(|key| Step::InvalidateKey { key }),
        1 => key.clone().prop_map(|of| Step::InvalidateOperation { of }),
        1 => short.clone().prop_map(|than| Step::InvalidateOlder { than }),
        4 => (key.clone(), 1..4_u128, short.clone())
            .prop_map(|(key, nonce, lease)| Step::Reserve { key, nonce, lease }),
        2 => (key.clone(), claim.clone(), short)
            .prop_map(|(key, claim, lease)| Step::Heartbeat { key, claim, lease }),
        2 => (key, claim, any::<bool>())
            .prop_map(|(key, claim, failed)| Step::Release { key, claim, failed }),
        3 => (1..4_i64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Pass { millis: 59_999 }),
    ]
}

#[derive(Default)]
struct Slot {
    /// How many invalidations and tickets there were when this key was last invalidated, or when
    /// its last replacement drew.
    epoch: i64,
    fence: i64,
    owner: Option<(u128, i64)>,
    since: i64,
    /// The reservation that was released last, if nothing happened since.
    released: Option<u128>,
    /// Holders in a row without a commit.
    failures: u32,
    alone_until: i64,
    entry: Option<Kept>,
}

impl Slot {
    fn leave_alone(&mut self, now: i64) {
        (self.failures, self.alone_until) = (0, now + 60_000);
    }
}

struct Kept {
    output: u8,
    created: i64,
    expires: Option<i64>,
    nondeterministic: bool,
}

#[derive(Default)]
struct Model {
    now: i64,
    epoch: i64,
    slots: BTreeMap<usize, Slot>,
}

impl Model {
    fn slot(&mut self, key: usize) -> &mut Slot {
        self.slots.entry(key).or_default()
    }

    /// Invalidates keys, with an entry or without.
    fn invalidate(&mut self, keys: &[usize]) -> u64 {
        self.epoch += 1;
        let epoch = self.epoch;
        let mut removed = 0;
        for key in keys {
            let slot = self.slot(*key);
            slot.epoch = epoch;
            if slot.entry.take().is_some() {
                slot.owner = None;
                slot.released = None;
                removed += 1;
            }
        }
        removed
    }

    fn holds(&mut self, key: usize, claim: &Claim) -> bool {
        let slot = self.slot(key);
        claim.reservation.is_some_and(|(fence, nonce)| {
            fence == slot.fence && slot.owner.is_some_and(|(owner, _)| owner == nonce)
        })
    }

    fn commit(&mut self, key: usize, claim: &Claim, kept: Kept) -> &'static str {
        let now = self.now;
        let held = self.holds(key, claim);
        let slot = self.slot(key);
        let is_stale = claim.epoch < slot.epoch || claim.replace && claim.epoch == slot.epoch;
        if is_stale || claim.reservation.is_some() && !held {
            return "fenced";
        }
        if held {
            slot.owner = None;
            slot.released = None;
            slot.failures = 0;
        }
        if let Some(there) = &mut slot.entry
            && there.expires.is_none_or(|at| at > now)
            && !claim.replace
        {
            if there.output == kept.output {
                return "same";
            }
            there.nondeterministic = true;
            return "different";
        }
        if claim.replace {
            slot.epoch = claim.epoch;
            // Another value, or nobody knows: what was made of the one before is stale.
            let is_same = slot.entry.as_ref().is_some_and(|there| there.output == kept.output);
            self.epoch += i64::from(!is_same);
        }
        let slot = self.slot(key);
        slot.entry = Some(kept);
        "stored"
    }
}

fn operation(key: usize) -> &'static str {
    if key < 2 { "m.pair" } else { "m.single" }
}

struct World {
    catalog: Sqlite,
    clock: Hand,
    model: Model,
    claims: Vec<Claim>,
    /// Commits that took effect, and what they were answered.
    commits: Vec<(NewEntry, Claim, Committed)>,
}

impl World {
    fn claim(&self, back: usize) -> Option<Claim> {
        let index = self.claims.len().checked_sub(back + 1)?;
        Some(self.claims[index])
    }

    fn take(&mut self, step: Step) {
        let before = self.catalog.changes();
        let is_told = match step {
            Step::Lookup { key, max_age } => self.lookup(key, max_age),
            Step::Commit { key, claim, output, expires } => {
                self.commit(key, claim, output, expires)
            }
            Step::Draw { key, claim } => self.draw(key, claim),
            Step::Repeat { back } => self.repeat(back),
            Step::InvalidateKey { key: of } => {
                let selector = Selector {
                    key_prefix: Some(name(of).to_string()[..10].to_owned()),
                    ..Selector::default()
                };
                self.invalidate(&selector, &[of])
            }
            Step::InvalidateOperation { of } => {
                let selector =
                    Selector { operation: Some(operation(of).to_owned()), ..Selector::default() };
                self.invalidate(&selector, if of < 2 { &[0, 1] } else { &[2] })
            }
            Step::InvalidateOlder { than } => {
                let selector = Selector {
                    older_than: Some(Duration::from_millis(than)),
                    ..Selector::default()
                };
                let oldest = self.model.now - than as i64;
                let old = |slot: &Slot| slot.entry.as_ref().is_some_and(|e| e.created < oldest);
                let slots = self.model.slots.iter();
                let keys: Vec<_> = slots.filter(|(_, s)| old(s)).map(|(k, _)| *k).collect();
                self.invalidate(&selector, &keys)
            }
            Step::Reserve { key, nonce, lease } => self.reserve(key, nonce, lease),
            Step::Heartbeat { key, claim, lease } => self.heartbeat(key, claim, lease),
            Step::Release { key, claim, failed } => self.release(key, claim, failed),
            Step::Pass { millis } => {
                self.model.now = self.clock.0.fetch_add(millis, Ordering::SeqCst) + millis;
                false
            }
        };
        assert_eq!(self.catalog.changes() != before, is_told, "changes are told");
    }

    fn lookup(&mut self, of: usize, max_age: Option<u64>) -> bool {
        let max_age = max_age.map(Duration::from_millis);
        let request = Request { key: name(of), max_age };
        let found = self.catalog.lookup(&scope("lab"), &[request]).unwrap().remove(0);
        let now = self.model.now;
        let expected = match &self.model.slot(of).entry {
            None => Err(Why::Absent),
            Some(kept) if kept.expires.is_some_and(|at| at <= now) => Err(Why::Expired),
            Some(kept)
                if max_age.is_some_and(|age| now - kept.created > age.as_millis() as i64) =>
            {
                Err(Why::TooOld)
            }
            Some(kept) => Ok(kept.output),
        };
        match found {
            Found::Hit(hit) => assert_eq!(Ok(hit.output[0] - b'0'), expected),
            Found::Miss(slot, why) => {
                assert_eq!(Err(why), expected);
                self.claims.push(Claim { epoch: slot.epoch, ..Claim::default() });
            }
        }
        false
    }

    fn draw(&mut self, of: usize, back: Option<usize>) -> bool {
        let drawn = self.catalog.draw_ticket(&scope("lab"), &name(of)).unwrap();
        self.model.epoch += 1;
        let expected = Claim { epoch: self.model.epoch, reservation: None, replace: true };
        assert_eq!(drawn, expected);
        let reservation = back.and_then(|back| self.claim(back)?.reservation);
        self.claims.push(Claim { reservation, ..drawn });
        false
    }

    fn commit(&mut self, of: usize, back: usize, output: u8, expires: Option<u64>) -> bool {
        let Some(claim) = self.claim(back) else {
            return false;
        };
        let mut new = entry(&of.to_string(), &output.to_string());
        new.operation = operation(of).to_owned();
        new.expires_at = expires.map(|after| self.model.now + after as i64);
        let kept = Kept {
            output,
            created: self.model.now,
            expires: new.expires_at,
            nondeterministic: false,
        };
        let there = self.model.slot(of).entry.is_some();
        let expected = self.model.commit(of, &claim, kept);
        let committed = self.catalog.commit(&scope("lab"), &new, &claim).unwrap();
        let word = match &committed {
            Committed::Stored(_) => "stored",
            Committed::Same(_) => "same",
            Committed::Different(_) => "different",
            Committed::Fenced => "fenced",
            Committed::BlobGone(_) => "blob gone",
        };
        assert_eq!(word, expected);
        if word != "fenced" {
            self.commits.push((new, claim, committed));
        }
        word == "stored" && (there || claim.replace)
    }

    fn repeat(&mut self, back: usize) -> bool {
        if let Some(at) = self.commits.len().checked_sub(back + 1) {
            let (new, claim, committed) = &self.commits[at];
            let again = self.catalog.commit(&scope("lab"), new, claim).unwrap();
            assert_eq!(again, *committed);
        }
        false
    }

    /// Told whether or not there was an entry.
    fn invalidate(&mut self, selector: &Selector, keys: &[usize]) -> bool {
        let removed = self.catalog.invalidate(None, selector).unwrap().entries;
        assert_eq!(removed, self.model.invalidate(keys));
        true
    }

    fn reserve(&mut self, of: usize, nonce: u128, lease: u64) -> bool {
        let (now, epoch) = (self.model.now, self.model.epoch);
        let lease_time = Duration::from_millis(lease);
        let reserved =
            self.catalog.reserve(&scope("lab"), &name(of), &holder(nonce), lease_time).unwrap();
        let slot = self.model.slot(of);
        let taken = |fence| {
            let reservation = Some((fence, nonce));
            Reserved::Taken(Claim { epoch, reservation, replace: false })
        };
        let left = |until: i64| Duration::from_millis((until - now) as u64);
        let expected = match slot.owner {
            Some((owner, _)) if owner == nonce => {
                slot.owner = Some((nonce, now + lease as i64));
                taken(slot.fence)
            }
            Some((owner, until)) if until > now => Reserved::Held(Held {
                fence: slot.fence,
                holder: holder(owner),
                since: slot.since,
                left: left(until),
            }),
            None if slot.released == Some(nonce) => taken(slot.fence),
            _ if slot.alone_until > now => Reserved::Unserialised(left(slot.alone_until)),
            Some(_) if slot.failures == 2 => {
                slot.leave_alone(now);
                Reserved::Unserialised(left(slot.alone_until))
            }
            owner => {
                slot.failures += u32::from(owner.is_some());
                slot.fence += 1;
                slot.owner = Some((nonce, now + lease as i64));
                (slot.since, slot.released) = (now, None);
                taken(slot.fence)
            }
        };
        assert_eq!(reserved, expected);
        if let Reserved::Taken(claim) = reserved {
            self.claims.push(claim);
        }
        false
    }

    fn heartbeat(&mut self, of: usize, back: usize, lease: u64) -> bool {
        let Some(claim) = self.claim(back) else {
            return false;
        };
        let time = Duration::from_millis(lease);
        let held = self.catalog.heartbeat(&scope("lab"), &[(name(of), claim)], time).unwrap()[0];
        assert_eq!(held, self.model.holds(of, &claim));
        if held {
            let until = self.model.now + lease as i64;
            self.model.slot(of).owner = claim.reservation.map(|(_, nonce)| (nonce, until));
        }
        false
    }

    fn release(&mut self, of: usize, back: usize, failed: bool) -> bool {
        let Some(claim) = self.claim(back) else {
            return false;
        };
        let ended = if failed { Ended::Failed } else { Ended::Unused };
        self.catalog.release(&scope("lab"), &name(of), &claim, ended).unwrap();
        if self.model.holds(of, &claim) {
            let now = self.model.now;
            let slot = self.model.slot(of);
            slot.owner = None;
            slot.released = claim.reservation.map(|(_, nonce)| nonce);
            slot.failures += u32::from(failed);
            if slot.failures == 3 {
                slot.leave_alone(now);
            }
        }
        false
    }

    fn finish(&mut self) {
        assert_eq!(self.catalog.check().unwrap(), []);
        let entries = self.catalog.entries(None, &Selector::default(), 10).unwrap();
        let kept = self.model.slots.values().filter(|slot| slot.entry.is_some());
        assert_eq!(entries.len(), kept.count());
        for entry in entries {
            let of = (0..3).find(|of| name(*of) == entry.key).unwrap();
            let kept = self.model.slot(of).entry.as_ref().unwrap();
            assert_eq!(entry.output[0] - b'0', kept.output);
            assert_eq!(entry.created_at, kept.created);
            assert_eq!(entry.nondeterministic, kept.nondeterministic);
        }
    }
}

fn name(of: usize) -> thrifty_key::Key {
    key(&of.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_catalog_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let clock = Hand::default();
        let mut world = World {
            catalog: Sqlite::in_memory_with_clock(Arc::new(clock.clone())).unwrap(),
            clock,
            model: Model::default(),
            claims: Vec::new(),
            commits: Vec::new(),
        };
        for step in steps {
            world.take(step);
        }
        world.finish();
    }
}
