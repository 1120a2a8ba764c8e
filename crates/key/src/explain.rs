//! Why is this key not that key?
//!
//! A miss is explained by the difference between the ingredients that were looked up and those
//! of the nearest entry of the same operation.

use serde::{Deserialize, Serialize};

use crate::ingredient::{Ingredients, Kind};
use crate::preview::Preview;

/// One part that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The kind of ingredient.
    pub kind: Kind,
    /// The name of the part.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// How a part differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Added {
        /// What may be shown of it.
        new: Preview,
    },
    /// It is no longer there.
    Removed {
        /// What may be shown of it.
        old: Preview,
    },
    /// It is there on both sides, with another digest.
    Changed {
        /// What may be shown of the old one.
        old: Preview,
        /// What may be shown of the new one.
        new: Preview,
    },
}

/// The parts that differ, in key order and by name. Empty if and only if the keys are equal.
pub fn differences(old: &Ingredients, new: &Ingredients) -> Vec<Difference> {
    Kind::ALL.into_iter().flat_map(|kind| of_kind(kind, old, new)).collect()
}

fn of_kind(kind: Kind, old: &Ingredients, new: &Ingredients) -> Vec<Difference> {
    let changed = new.parts(kind).filter_map(|(name, part)| {
        let change = match old.part(kind, name) {
            None => Change::Added { new: part.preview.clone() },
            Some(before) if before.digest != part.digest => {
                Change::Changed { old: before.preview.clone(), new: part.preview.clone() }
            }
            Some(_) => return None,
        };
        Some(Difference { kind, name: name.to_owned(), change })
    });
    let removed = old.parts(kind).filter(|(name, _)| new.part(kind, name).is_none());
    let removed = removed.map(|(name, part)| {
        let change = Change::Removed { old: part.preview.clone() };
        Difference { kind, name: name.to_owned(), change }
    });
    let mut all: Vec<_> = changed.chain(removed).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
