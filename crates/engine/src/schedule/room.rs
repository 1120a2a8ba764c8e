//! Misses for which there is no room beside what runs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Schedule;
use super::job::Missed;
use crate::pool::{ClaimOn, Pool};

/// Misses held aside, by the pool that is too full for them: each in the queue of one.
#[derive(Default)]
pub(super) struct Aside(HashMap<usize, VecDeque<(usize, Missed)>>);

impl Aside {
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = usize> + use<> {
        std::mem::take(&mut self.0).into_values().flatten().map(|(number, _)| number)
    }
}

impl Schedule<'_> {
    fn claims(&self, number: usize) -> &[ClaimOn] {
        self.nodes[number].node.body.claims()
    }

    /// The first miss for which there is room. Others before it are held aside.
    pub(super) fn next_with_room(&mut self) -> Option<(usize, Missed)> {
        loop {
            let (number, missed) = self.missed.pop_front()?;
            let full = self.claims(number).iter().find(|(pool, amount)| !pool.has_room(*amount));
            let Some((full, _)) = full.cloned() else {
                return Some((number, missed));
            };
            self.aside.0.entry(name_of(&full)).or_default().push_back((number, missed));
            // The room this one leaves in its other pools is for those behind it.
            let others: Vec<_> = self.claims(number).to_vec();
            others.iter().filter(|(pool, _)| !Arc::ptr_eq(pool, &full)).for_each(|(pool, _)| {
                self.call_back(pool);
            });
        }
    }

    /// An operation begins to run.
    pub(super) fn take_room(&self, number: usize) {
        self.claims(number).iter().for_each(|(pool, amount)| pool.take(*amount));
    }

    /// It has ended: those go on for which there is room now.
    pub(super) fn release_room(&mut self, number: usize) {
        let claims: Vec<_> = self.claims(number).to_vec();
        claims.iter().for_each(|(pool, amount)| pool.release(*amount));
        claims.iter().for_each(|(pool, _)| self.call_back(pool));
    }

    /// Puts as many of those that wait for a pool back among the missed as it has room for.
    fn call_back(&mut self, pool: &Arc<Pool>) {
        let Some(mut waiting) = self.aside.0.remove(&name_of(pool)) else {
            return;
        };
        let (mut called, mut promised) = (Vec::new(), 0_u64);
        while let Some((number, _)) = waiting.front() {
            let claims = self.claims(*number).iter();
            let amount: u64 = claims
                .filter(|(other, _)| Arc::ptr_eq(other, pool))
                .map(|(_, amount)| amount)
                .sum();
            if !pool.has_room_beside(promised, amount) {
                break;
            }
            promised = promised.saturating_add(amount);
            called.extend(waiting.pop_front());
        }
        // In their order, before what has not waited yet.
        called.into_iter().rev().for_each(|missed| self.missed.push_front(missed));
        if !waiting.is_empty() {
            self.aside.0.insert(name_of(pool), waiting);
        }
    }
}

/// What tells a pool from others: nodes keep it alive as long as the schedule lasts.
fn name_of(pool: &Arc<Pool>) -> usize {
    Arc::as_ptr(pool).addr()
}
