//! What a result was made of: the operations that its own became, and those that its body called.

use std::collections::{BTreeMap, BTreeSet};

use thrifty_key::Key;

/// How many bytes of a key are kept: those that the results of one call for different
/// surroundings share.
const HALF: usize = 16;

/// The first half of a key.
type Half = [u8; HALF];

/// The operations that a result was made of, and those that these were made of, and so on: their
/// names, and for each the halves of the keys under which it was called. Whoever removes the
/// result of one of them means the whole, too.
///
/// ```
/// use thrifty_catalog::MadeOf;
/// use thrifty_key::Digest;
///
/// let mut made_of = MadeOf::default();
/// made_of.add("lab.clean", Some(&Digest::of_blob(b"one")));
/// made_of.add("lab.look", None);
/// assert_eq!(MadeOf::from_bytes(&made_of.to_bytes()), Some(made_of));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeOf {
    /// An operation that has no key has none here.
    by_operation: BTreeMap<String, BTreeSet<Half>>,
}

impl MadeOf {
    /// Whether it was made of no other operation.
    pub fn is_empty(&self) -> bool {
        self.by_operation.is_empty()
    }

    /// Adds a call of an operation; without a key if it has none.
    pub fn add(&mut self, operation: &str, key: Option<&Key>) {
        self.halves(operation).extend(key.map(half));
    }

    /// Whether a call of this operation under this key is among them.
    pub fn holds(&self, operation: &str, key: &Key) -> bool {
        self.by_operation.get(operation).is_some_and(|halves| halves.contains(&half(key)))
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (operation, more) in &other.by_operation {
            self.halves(operation).extend(more);
        }
    }

    fn halves(&mut self, operation: &str) -> &mut BTreeSet<Half> {
        self.by_operation.entry(operation.to_owned()).or_default()
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let sizes = self.by_operation.iter();
        sizes.map(|(operation, halves)| operation.len() + halves.len() * HALF).sum()
    }

    /// Its bytes, as specified in `docs/formats/catalog.md`; none if it is empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (operation, halves) in &self.by_operation {
            bytes.extend((operation.len() as u64).to_le_bytes());
            bytes.extend(operation.as_bytes());
            bytes.extend((halves.len() as u64).to_le_bytes());
            bytes.extend(halves.iter().flatten());
        }
        bytes
    }

    /// What these bytes say; `None` if they say nothing, or not in this way.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut by_operation = BTreeMap::new();
        while !bytes.is_empty() {
            let length = count(&mut bytes)?;
            let operation = String::from_utf8(bytes.split_off(..length)?.to_vec()).ok()?;
            let length = count(&mut bytes)?.checked_mul(HALF)?;
            let (halves, _) = bytes.split_off(..length)?.as_chunks::<HALF>();
            let is_next = by_operation.last_key_value().is_none_or(|(last, _)| *last < operation);
            if !is_next || !halves.is_sorted_by(|one, other| one < other) {
                return None;
            }
            by_operation.insert(operation, halves.iter().copied().collect());
        }
        Some(Self { by_operation })
    }

    /// The names, and for each the keys between which all keys of one call lie.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&str, &BTreeSet<Half>)> {
        self.by_operation.iter().map(|(operation, halves)| (operation.as_str(), halves))
    }
}

/// The first half of a key.
pub(crate) fn half(key: &Key) -> Half {
    let mut half = Half::default();
    half.copy_from_slice(&key.as_bytes()[..HALF]);
    half
}

fn count(bytes: &mut &[u8]) -> Option<usize> {
    let number = bytes.split_off(..size_of::<u64>())?;
    usize::try_from(u64::from_le_bytes(number.try_into().ok()?)).ok()
}
