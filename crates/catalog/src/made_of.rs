//! What a result was made of: the operations that its own became, and those that its body called.

use std::collections::{BTreeMap, BTreeSet};

use thrifty_key::Key;

/// How many bytes of a key are kept: those that the results of one call for different
/// surroundings share.
const HALF: usize = 16;

/// The first half of a key.
pub type Half = [u8; HALF];

/// How many calls of one operation are told apart. A chain of results, each made of the one before,
/// would hold its whole length in each of them.
const MOST: usize = 1_000;

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
    by_operation: BTreeMap<String, Calls>,
}

/// Which calls of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Calls {
    /// Those that have these keys: one at least.
    These(BTreeSet<Half>),
    /// Maybe any: it has no key, or there are too many.
    Any,
}

impl MadeOf {
    /// Whether it was made of no other operation.
    pub fn is_empty(&self) -> bool {
        self.by_operation.is_empty()
    }

    /// Adds a call of an operation; without a key if it has none.
    pub fn add(&mut self, operation: &str, key: Option<&Key>) {
        match key {
            Some(key) => self.extend(operation, [half(key)]),
            None => _ = self.by_operation.insert(operation.to_owned(), Calls::Any),
        }
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (operation, calls) in &other.by_operation {
            match calls {
                Calls::These(halves) => self.extend(operation, halves.iter().copied()),
                Calls::Any => self.add(operation, None),
            }
        }
    }

    fn extend(&mut self, operation: &str, halves: impl IntoIterator<Item = Half>) {
        let before = self.by_operation.get_mut(operation);
        let calls = match before {
            Some(calls) => calls,
            None => {
                let none = Calls::These(BTreeSet::new());
                self.by_operation.entry(operation.to_owned()).or_insert(none)
            }
        };
        if let Calls::These(known) = calls {
            known.extend(halves);
            if known.len() > MOST {
                *calls = Calls::Any;
            }
        }
    }

    /// Whether a call of this operation under this key is, or may be, among them.
    pub fn holds(&self, operation: &str, key: &Key) -> bool {
        match self.by_operation.get(operation) {
            Some(Calls::These(halves)) => halves.contains(&half(key)),
            Some(Calls::Any) => true,
            None => false,
        }
    }

    /// Its operations, and for each the halves of the keys of its calls; `None` if it may be any call.
    pub fn calls(&self) -> impl Iterator<Item = (&str, Option<&BTreeSet<Half>>)> {
        self.by_operation.iter().map(|(operation, calls)| match calls {
            Calls::These(halves) => (operation.as_str(), Some(halves)),
            Calls::Any => (operation.as_str(), None),
        })
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let halves = |calls: &Calls| match calls {
            Calls::These(halves) => halves.len(),
            Calls::Any => 0,
        };
        let sizes = self.by_operation.iter();
        sizes.map(|(operation, calls)| operation.len() + halves(calls) * HALF).sum()
    }

    /// Its bytes, as specified in `docs/formats/catalog.md`; none if it is empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = |bytes: &mut Vec<u8>, it: usize| bytes.extend((it as u64).to_le_bytes());
        for (operation, calls) in &self.by_operation {
            number(&mut bytes, operation.len());
            bytes.extend(operation.as_bytes());
            match calls {
                Calls::These(halves) => {
                    number(&mut bytes, halves.len());
                    bytes.extend(halves.iter().flatten());
                }
                Calls::Any => number(&mut bytes, 0),
            }
        }
        bytes
    }

    /// What these bytes say; `None` if they say nothing, or not in this way.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut by_operation = BTreeMap::new();
        for told in told(bytes) {
            let (operation, halves) = told?;
            let is_next = by_operation
                .last_key_value()
                .is_none_or(|(last, _): (&String, _)| last.as_str() < operation);
            if !is_next || !halves.is_sorted_by(|one, other| one < other) {
                return None;
            }
            let calls = match halves {
                [] => Calls::Any,
                halves if halves.len() > MOST => return None,
                halves => Calls::These(halves.iter().copied().collect()),
            };
            by_operation.insert(operation.to_owned(), calls);
        }
        Some(Self { by_operation })
    }
}

/// The operations that bytes name, and for each the halves of its keys; none if it may be any call.
/// Ends with `None` where the bytes say nothing.
pub(crate) fn told(mut bytes: &[u8]) -> impl Iterator<Item = Option<(&str, &[Half])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let next = next(&mut bytes);
        if next.is_none() {
            bytes = &[];
        }
        Some(next)
    })
}

fn next<'a>(bytes: &mut &'a [u8]) -> Option<(&'a str, &'a [Half])> {
    let length = count(bytes)?;
    let operation = std::str::from_utf8(bytes.split_off(..length)?).ok()?;
    let length = count(bytes)?.checked_mul(HALF)?;
    let (halves, _) = bytes.split_off(..length)?.as_chunks::<HALF>();
    Some((operation, halves))
}

/// The first half of a key.
pub fn half(key: &Key) -> Half {
    let mut half = Half::default();
    half.copy_from_slice(&key.as_bytes()[..HALF]);
    half
}

fn count(bytes: &mut &[u8]) -> Option<usize> {
    let number = bytes.split_off(..size_of::<u64>())?;
    usize::try_from(u64::from_le_bytes(number.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use thrifty_key::Digest;

    use super::*;

    #[test]
    fn of_many_calls_any_is_meant() {
        let key = |number: usize| Digest::of_blob(&number.to_le_bytes());
        let mut made_of = MadeOf::default();
        (0..MOST).for_each(|number| made_of.add("day", Some(&key(number))));
        assert!(made_of.holds("day", &key(0)) && !made_of.holds("day", &key(MOST)));
        let before = made_of.to_bytes();
        made_of.add("day", Some(&key(MOST)));
        assert!(made_of.holds("day", &key(MOST + 1)) && !made_of.holds("night", &key(0)));
        assert!(made_of.to_bytes().len() < 100);
        let mut both = MadeOf::from_bytes(&before).unwrap();
        both.merge(&made_of);
        assert_eq!(both, made_of);
        made_of.merge(&MadeOf::from_bytes(&before).unwrap());
        assert_eq!(both, made_of);
        assert_eq!(MadeOf::from_bytes(&made_of.to_bytes()), Some(made_of));
    }
}
