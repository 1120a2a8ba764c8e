//! Operations that become other operations.

use std::collections::HashSet;

use thrifty_catalog::Time;

use super::{Closing, Expanded, Problem, Schedule, Slate, State};
use crate::answer::{Terms, shared};
use crate::compute::{Task, Unfinished};
use crate::event::Event;
use crate::expansion::Gathered;
use crate::graph::{Edge, Expansion, Failure, From, Loss, Value};
use crate::reason::Reason;

impl Schedule<'_> {
    /// Takes the operations that another one became into the graph, and waits for them.
    pub(super) fn expand(&mut self, number: usize, expansion: Expansion, unfinished: Unfinished) {
        let Expansion { mut nodes, mut edges, output, .. } = expansion;
        let (base, count) = (self.nodes.len(), nodes.len());
        let parent = std::sync::Arc::clone(&self.nodes[number].node);
        let mut every = nodes.iter_mut().flat_map(|node| node.edges.iter_mut()).chain(&mut edges);
        if !every.all(|edge| place(edge, base, count, &parent.edges)) {
            let message = format!(
                "{} became operations that take from one that is not there",
                parent.operation.name()
            );
            let cause = std::sync::Arc::new(message.clone());
            let failure = Failure::raised(message, cause);
            return self.close(number, Err(Problem::Failed(failure)));
        }
        self.nodes[number].ran = Some(self.cache.since(unfinished.began));
        self.labels.blocks.push(base);
        let child = |node| Slate { parent: Some(number), ..Slate::new(node) };
        self.nodes.extend(nodes.into_iter().map(child));
        self.tell(&Event::Expanded { number, operations: count });
        let expanded = Box::new(Expanded { output, edges, unfinished });
        if let Some((number, result)) = self.await_parts(number, expanded) {
            self.close(number, result);
        }
    }

    /// Waits for what the value of an expanded operation takes and is not settled.
    fn await_parts(&mut self, number: usize, expanded: Box<Expanded>) -> Option<Closing> {
        let mut needed: Vec<_> = expanded.edges.iter().filter_map(Edge::node).collect();
        needed.sort_unstable();
        needed.dedup();
        for child in &needed {
            self.demand(*child);
        }
        needed.retain(|child| !self.is_closed(*child));
        for child in &needed {
            self.nodes[*child].dependents.push(number);
        }
        self.nodes[number].state = State::Expanded(needed.len(), expanded);
        if needed.is_empty() { self.collapse(number) } else { None }
    }

    /// All operations that an expanded one became are settled: so is it. One that was opened
    /// again meanwhile is waited for once more.
    pub(super) fn collapse(&mut self, number: usize) -> Option<Closing> {
        let state = std::mem::replace(&mut self.nodes[number].state, State::Open);
        let State::Expanded(_, expanded) = state else {
            return None;
        };
        let children: Vec<_> = expanded.edges.iter().filter_map(Edge::node).collect();
        // What was lost of it may be what one of them has stored.
        if self.has_lost(number) {
            self.reopen_lost(&children);
        }
        let mut needed = children.into_iter();
        if needed.clone().any(|child| !self.is_closed(child)) {
            return self.await_parts(number, expanded);
        }
        if let Some(child) = needed.find(|child| self.has_failed(*child)) {
            let Unfinished { observed, expires_at, made_of, .. } = expanded.unfinished;
            let (observed, made_of) = (shared(observed), made_of.shared());
            self.nodes[number].fell = Some(Terms { observed, expires_at, made_of });
            return Some((number, Err(self.problem_behind(child))));
        }
        let Expanded { output, edges, mut unfinished } = *expanded;
        let taken = self.take_all(&edges)?;
        let mut parts: Vec<_> = self.parts_of(number, &edges).into_iter().collect();
        parts.sort_unstable();
        let too_old = parts.iter().filter_map(|part| self.too_old_at(*part)).min();
        self.take_parts(parts.iter().copied(), &mut unfinished.made_of);
        let values: Vec<_> = parts.into_iter().filter_map(|part| self.value_of(part)).collect();
        let observed = values.iter().flat_map(|value| value.observed());
        unfinished.observed.extend(observed.cloned());
        unfinished.observed.sort_unstable();
        unfinished.observed.dedup();
        let expiries = values.iter().filter_map(|value| value.expires_at());
        unfinished.expires_at = expiries.chain(unfinished.expires_at).chain(too_old).min();
        // Its operations may have taken the new value, and its key stands for the old one.
        if self.is_keyed_by_the_past(number) {
            unfinished.is_not_stored(Reason::Changed, "what it takes was computed again meanwhile");
        }
        let finish =
            |task: &Task<'_>| self.cache.finish(task, unfinished, Gathered { output, taken });
        let settled = self.job(number).with_task(&|| false, finish);
        Some((number, Ok(settled)))
    }

    /// Whether a value was lost that an operation gave, or one that it is a part of.
    fn has_lost(&self, number: usize) -> bool {
        let above = std::iter::successors(Some(number), |number| self.nodes[*number].parent);
        let mut above = above.map(|number| self.nodes[number].losses);
        above.any(|losses| losses > 0)
    }

    /// What the value of an expanded operation was made of. A hit of the whole never looks at
    /// these: it lives no longer than any of them, and holds only if all that they observed does.
    fn parts_of(&self, number: usize, edges: &[Edge]) -> HashSet<usize> {
        let mut parts = HashSet::new();
        let mut stack: Vec<_> = edges.iter().filter_map(Edge::node).collect();
        while let Some(part) = stack.pop() {
            // What was there before it expanded was given to it, and stands in its key.
            if part > number && parts.insert(part) {
                stack.extend(self.nodes[part].node.upstream());
            }
        }
        parts
    }

    /// When an operation would no longer take the result that it has, for its age.
    pub(super) fn too_old_at(&self, number: usize) -> Option<Time> {
        let max_age = self.nodes[number].node.policy.max_age?;
        Some(self.value_of(number)?.too_old_at(max_age, || self.cache.wall_clock()))
    }

    fn value_of(&self, number: usize) -> Option<&Value> {
        match &self.nodes[number].state {
            State::Closed(Ok(settled)) => Some(&settled.value),
            _ => None,
        }
    }

    /// Opens those again whose values are in the store no longer.
    fn reopen_lost(&mut self, children: &[usize]) {
        for child in children {
            let lost = match &self.nodes[*child].state {
                State::Closed(Ok(settled)) => match &settled.value {
                    Value::Known(answer) => !self.cache.is_whole(answer),
                    Value::Live { .. } => false,
                },
                _ => false,
            };
            if lost {
                self.reopen(*child, Loss::Bytes, "a part of it is in the store no longer");
            }
        }
    }
}

/// Gives an edge of an expansion its place in the whole graph, if it has one: its own operations
/// begin at `base`.
pub(crate) fn place(edge: &mut Edge, base: usize, count: usize, arguments: &[Edge]) -> bool {
    match edge.from {
        From::Node(number) => {
            edge.from = From::Node(base.saturating_add(number));
            number < count
        }
        From::Argument(number) => match arguments.get(number) {
            Some(argument) => {
                edge.from = argument.from;
                edge.steps.splice(0..0, argument.steps.iter().cloned());
                true
            }
            None => false,
        },
    }
}
