//! Operations that wait for somebody else.

use std::time::Duration;

use thrifty_catalog::Node;

use super::job::Missed;
use super::{Report, Schedule};
use crate::event::Event;
use crate::flight::Follower;
use crate::parked::{On, Parked, Resumed};

/// The word that a run shows of an operation that waits.
const WAITING: &str = "waiting";

/// An operation that was put aside: what it missed, since when, and the computation of this
/// process that it waits for, if it is one.
pub(super) struct PutAside {
    missed: Missed,
    since: Duration,
    follower: Option<Follower>,
}

impl Schedule<'_> {
    /// Puts an operation aside until there is news of who computes it. Its worker is free.
    pub(super) fn put_aside(&mut self, number: usize, missed: Missed, parked: Parked) {
        let whose = parked.whose();
        // It may be attempted often, whenever something was stored, and find the same one at it.
        if self.behind.insert(number, whose) != Some(whose) {
            let behind = parked.behind(&self.cache);
            self.tell_waiting(number, behind);
        }
        let Parked { since, on } = parked;
        let tell = self.done.0.clone();
        let follower = match on {
            On::Flight(follower) => {
                // Nobody listens if the run is over.
                follower.park(Box::new(move || _ = tell.send(Report::Resumed((number, None)))));
                Some(follower)
            }
            On::Turn(waiting) => {
                self.watch.add(number, waiting, move |resumed| {
                    _ = tell.send(Report::Resumed(resumed));
                });
                None
            }
        };
        self.parked.insert(number, PutAside { missed, since, follower });
    }

    /// Has an operation attempted again, before those that were never attempted.
    pub(super) fn resume(&mut self, (number, waiting): Resumed) {
        let Some(PutAside { missed, since, follower }) = self.parked.remove(&number) else {
            return;
        };
        let on = waiting.map(On::Turn).or(follower.map(On::Flight));
        if let Some(on) = on {
            self.resumed.insert(number, Parked { since, on });
        }
        self.missed.push_front((number, missed));
    }

    /// Tells of a wait, and records it.
    fn tell_waiting(&self, number: usize, behind: String) {
        self.record_waiting(number, format!("for {behind}"));
        let operation = self.nodes[number].node.operation.name().to_owned();
        self.tell(&Event::Waiting { number, operation, behind });
    }

    /// Who looks at the run meanwhile is to see why it does not go on.
    pub(super) fn record_waiting(&self, number: usize, detail: String) {
        let node = &self.nodes[number].node;
        if let (Some(run), Ok(place)) = (&self.options.run, u32::try_from(number)) {
            let upstream = node.upstream().into_iter().filter_map(|from| u32::try_from(from).ok());
            let waiting = Node {
                number: place,
                operation: node.operation.name().to_owned(),
                key: self.nodes[number].key,
                ingredients: None,
                outcome: WAITING.to_owned(),
                detail,
                reason: String::new(),
                rule: node.policy.rule.word().to_owned(),
                entry: None,
                source: None,
                output_digest: None,
                count: 1,
                at: self.now(),
                spent: Duration::ZERO,
                saved: Duration::ZERO,
                upstream: upstream.collect(),
                takes: node.takes(),
                parent: self.parent(number).and_then(|parent| u32::try_from(parent).ok()),
            };
            self.cache.recorder().nodes(run, vec![waiting]);
        }
    }
}
