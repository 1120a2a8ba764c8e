//! The walk: which rule a part falls under, cycles, sharing and bounds.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use thrifty_key::{Context, Digest, Hasher, plain};

use super::class::Facts;
use super::unhashable::{Outcome, Reason, Unhashable};
use super::{DEPTH, NODES, StandIn, Surroundings};
use crate::value::registry::Hooks;

/// Encodings shorter than this are written again rather than looked up.
const SHARED: usize = 64;
/// How often parts of cycles may be taken apart again.
const AGAIN: u64 = 200_000;
/// Below this many bytes the other cores, and letting other Python threads run, cost more than
/// they bring.
const LARGE: usize = 128 << 10;
/// How much of what lies in many places is gathered at once.
const STAGE: usize = 4 << 20;

/// An object that was taken apart before.
enum Before<'py> {
    /// Its encoding stands in the writer, and its digest was not needed yet.
    Written(
        Range<usize>,
        #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>,
    ),
    /// Its digest.
    Known(Digest, #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
    /// The digest of a head.
    KnownHead(Digest, #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
    /// As [`Before::Written`], of an object that begins a cycle which leads to nothing around it:
    /// seen from outside of the cycle, it always is the same.
    Head(Range<usize>, #[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
    /// It is part of a cycle or holds an edge: its encoding depends on where it stands.
    Placed(#[expect(dead_code, reason = "keeps the address taken")] Bound<'py, PyAny>),
}

/// Writes the encoding of one value, or of several that may share parts, to one writer.
pub struct Encoder<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) writer: &'a mut plain::Writer,
    pub(super) surroundings: &'a mut dyn Surroundings,
    pub(super) classes: HashMap<*mut ffi::PyTypeObject, Facts<'py>>,
    /// Digest hooks and the digest of their code, by a class among `classes`.
    pub(super) hooks: HashMap<*mut ffi::PyTypeObject, (Arc<Hooks>, Digest)>,
    /// The objects being taken apart, outermost first.
    open: Vec<*mut ffi::PyObject>,
    /// How many of `open` had been found to be parts of cycles before they were opened. All that a
    /// head leads to was found with it, so it stands in its own cycle only below one of these.
    within: usize,
    /// Where in `open` there are values that a digest hook stands for.
    hooked: Vec<usize>,
    before: HashMap<*mut ffi::PyObject, Before<'py>>,
    /// The outermost of `open` that the innermost one has referred back to, so far.
    reached: usize,
    edges: u64,
    nodes: u64,
    again: u64,
}

impl<'a, 'py> Encoder<'a, 'py> {
    /// An encoder that appends to `writer`, which must not be cleared while it is in use.
    pub fn new(
        py: Python<'py>,
        writer: &'a mut plain::Writer,
        surroundings: &'a mut dyn Surroundings,
    ) -> Self {
        Self {
            py,
            writer,
            surroundings,
            classes: HashMap::new(),
            hooks: HashMap::new(),
            open: Vec::new(),
            within: 0,
            hooked: Vec::new(),
            before: HashMap::new(),
            reached: usize::MAX,
            edges: 0,
            nodes: NODES,
            again: AGAIN,
        }
    }

    /// Appends the encoding of one value.
    ///
    /// # Errors
    ///
    /// [`Unhashable`]; its path begins below the value.
    pub fn encode(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        self.spend(value, 1)?;
        if self.builtin(value)? {
            return Ok(());
        }
        let stand_in = self.surroundings.stand_in(value);
        match stand_in.map_err(|error| Unhashable::raised(value, error))? {
            Some(StandIn::Edge(number)) => {
                self.edges += 1;
                self.writer.edge(number);
                Ok(())
            }
            Some(StandIn::Encoding(encoding)) => {
                // It may hold edges.
                self.edges += 1;
                self.writer.encoded(&encoding);
                Ok(())
            }
            None => self.object(value),
        }
    }

    /// Encodes a part under the step that leads to it.
    pub(super) fn part(&mut self, value: &Bound<'py, PyAny>, step: &str) -> Outcome {
        self.encode(value).map_err(|unhashable| unhashable.below(step))
    }

    /// Runs `write`, which appends exactly one container or typed value: the encoding of
    /// `object`. Not at all if `object` encloses itself here, or was written before.
    pub(super) fn once(
        &mut self,
        object: &Bound<'py, PyAny>,
        write: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let id = object.as_ptr();
        if let Some(level) = self.open.iter().rposition(|open| *open == id) {
            if self.hooked.last().is_some_and(|hooked| *hooked >= level) {
                return Err(Unhashable::new(object, Reason::Circular));
            }
            self.reached = self.reached.min(level);
            self.writer.typed("cycle");
            self.writer.int((self.open.len() - 1 - level) as i64);
            return Ok(());
        }
        if self.again(object)? {
            return Ok(());
        }
        if self.open.len() >= DEPTH {
            return Err(Unhashable::new(object, Reason::Depth));
        }
        let level = self.open.len();
        let (start, edges) = (self.writer.as_bytes().len(), self.edges);
        let outside = std::mem::replace(&mut self.reached, usize::MAX);
        let is_placed = usize::from(self.before.contains_key(&id));
        self.open.push(id);
        self.within += is_placed;
        let outcome = write(self);
        self.within -= is_placed;
        self.open.pop();
        let reached = std::mem::replace(&mut self.reached, outside);
        if reached < level {
            self.reached = self.reached.min(reached);
        }
        outcome?;
        let written = start..self.writer.as_bytes().len();
        let before = match reached.cmp(&level) {
            Ordering::Greater if edges == self.edges && written.len() < SHARED => return Ok(()),
            Ordering::Greater if edges == self.edges => Before::Written(written, object.clone()),
            Ordering::Equal if edges == self.edges => Before::Head(written, object.clone()),
            // What once was a head is one wherever it is seen from outside.
            _ if is_placed > 0 => return Ok(()),
            _ => Before::Placed(object.clone()),
        };
        self.before.insert(id, before);
        Ok(())
    }

    /// Runs `write` for what a digest hook gave in the place of the innermost open object. A way
    /// from there back to the object is refused: nothing would be left of what tells it from
    /// others.
    pub(super) fn below_hook(&mut self, write: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.hooked.push(self.open.len().saturating_sub(1));
        let outcome = write(self);
        self.hooked.pop();
        outcome
    }

    /// Writes the digest of an object that was written before; whether it did.
    fn again(&mut self, object: &Bound<'py, PyAny>) -> Outcome<bool> {
        let is_outside = self.within == 0;
        let digest = match self.before.get(&object.as_ptr()) {
            None => return Ok(false),
            Some(Before::Known(digest, _)) => *digest,
            Some(Before::KnownHead(digest, _)) if is_outside => *digest,
            Some(Before::Written(range, _)) => {
                let digest = self.digest_of(object, range.clone())?;
                self.before.insert(object.as_ptr(), Before::Known(digest, object.clone()));
                digest
            }
            Some(Before::Head(range, _)) if is_outside => {
                let digest = self.digest_of(object, range.clone())?;
                self.before.insert(object.as_ptr(), Before::KnownHead(digest, object.clone()));
                digest
            }
            Some(Before::Placed(_) | Before::Head(..) | Before::KnownHead(..)) => {
                self.again = self
                    .again
                    .checked_sub(1)
                    .ok_or_else(|| Unhashable::new(object, Reason::Entangled))?;
                return Ok(false);
            }
        };
        self.writer.digest(&digest);
        Ok(true)
    }

    /// The digest of an object that stands in the writer.
    fn digest_of(&self, object: &Bound<'py, PyAny>, written: Range<usize>) -> Outcome<Digest> {
        plain::digest(&self.writer.as_bytes()[written])
            .map_err(|_| Unhashable::new(object, Reason::Depth))
    }

    /// Takes parts from the number that is left.
    pub(super) fn spend(&mut self, value: &Bound<'py, PyAny>, parts: u64) -> Outcome {
        let left = self.nodes.checked_sub(parts);
        self.nodes = left.ok_or_else(|| Unhashable::new(value, Reason::Size))?;
        Ok(())
    }

    /// Whether so many more parts are too many.
    pub(super) fn is_spent(&self, count: usize) -> bool {
        count as u64 > self.nodes
    }

    /// Appends a bytes leaf without copying a long one: its digest stands for it.
    pub(super) fn leaf(&mut self, bytes: &[u8]) {
        const HEAD: usize = 9;
        if bytes.len() + HEAD <= plain::SHORT {
            return self.writer.bytes(bytes);
        }
        let mut hasher = bytes_leaf(bytes.len());
        self.feed(&mut hasher, bytes);
        self.writer.digest(&hasher.finish());
    }

    /// Appends slices as one bytes leaf.
    pub(super) fn joined(&mut self, slices: &[&[u8]]) {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        match slices {
            [only] => return self.leaf(only),
            _ if length < STAGE => return self.leaf(&slices.concat()),
            _ => {}
        }
        let mut hasher = bytes_leaf(length);
        // Short slices are gathered: hashed one by one, each would cost as much as many.
        let mut stage = Vec::with_capacity(STAGE);
        for slice in slices {
            if stage.len() + slice.len() > STAGE {
                self.feed(&mut hasher, &stage);
                stage.clear();
            }
            if slice.len() > STAGE {
                self.feed(&mut hasher, slice);
            } else {
                stage.extend_from_slice(slice);
            }
        }
        self.feed(&mut hasher, &stage);
        self.writer.digest(&hasher.finish());
    }

    /// Adds bytes to a hasher, other Python threads running meanwhile if there are many.
    pub(super) fn feed(&self, hasher: &mut Hasher, bytes: &[u8]) {
        if bytes.len() < LARGE {
            hasher.raw(bytes);
            return;
        }
        self.py.detach(|| thrifty_store::parallel::raw(hasher, bytes));
    }
}

/// The beginning of the digest of a bytes leaf of this length.
pub(super) fn bytes_leaf(length: usize) -> Hasher {
    let mut hasher = Hasher::new(Context::Value);
    hasher.tag(plain::tag::BYTES).count(length);
    hasher
}
