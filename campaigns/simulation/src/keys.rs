//! The keys of a simulation: one for each operation and scope.

use std::sync::Arc;

use thrifty_engine::Operation;
use thrifty_engine::catalog::{NewEntry, Scope};
use thrifty_engine::key::{Ingredients, Key, Kind, Preview, plain};

use crate::identity::CellId;
use crate::model::{Part, Whole};
use crate::options::Options;

/// The keys, by the number of their cell.
pub struct Keys(Vec<Place>);

/// A key, its scope and its operation.
#[derive(Clone)]
pub struct Place {
    /// Who shares its entries.
    pub scope: Scope,
    /// What is called.
    pub operation: Arc<Operation>,
    /// The key of its call.
    pub key: Key,
    /// The number of the operation among the options.
    pub number: usize,
}

impl Keys {
    /// The keys that the options ask for.
    pub fn new(options: &Options) -> Self {
        let scopes = (0..options.scopes).map(|number| Scope {
            project: format!("project-{number}"),
            domain: "development".to_owned(),
        });
        let operations: Vec<_> =
            (0..options.operations.len()).map(|n| (n, Arc::new(named(n)))).collect();
        let places = scopes.flat_map(|scope| {
            let of = move |(number, operation): &(usize, Arc<Operation>)| Place {
                scope: scope.clone(),
                operation: Arc::clone(operation),
                key: operation.key([].into_iter()),
                number: *number,
            };
            operations.iter().map(of).collect::<Vec<_>>()
        });
        Self(places.collect())
    }

    /// Where a cell is.
    pub fn place(&self, cell: CellId) -> &Place {
        &self.0[cell]
    }

    /// How many cells there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The cell of a key in a scope.
    pub fn cell(&self, scope: &Scope, key: &Key) -> CellId {
        self.0
            .iter()
            .position(|place| place.key == *key && place.scope == *scope)
            .expect("every key that is asked for is one of the simulation's")
    }

    /// What an entry says it was made of.
    pub fn whole(&self, scope: &Scope, entry: &NewEntry) -> Whole {
        let is_part = |place: &Place| {
            place.scope == *scope && entry.made_of.holds(place.operation.name(), &place.key)
        };
        let taken = entry.parts.iter().filter_map(|part| {
            let (cell, entry) = (self.cell(scope, &part.key?), part.entry.map(|entry| entry.0));
            Some(Part { cell, entry, since: part.since })
        });
        Whole {
            made_of: (0..self.len()).filter(|cell| is_part(&self.0[*cell])).collect(),
            taken: taken.collect(),
        }
    }

    /// The cells that a prefix of a key and the name of an operation mean.
    pub fn matching(
        &self,
        scope: Option<&Scope>,
        prefix: Option<&str>,
        name: Option<&str>,
    ) -> Vec<CellId> {
        let is_meant = |place: &Place| {
            scope.is_none_or(|scope| place.scope == *scope)
                && name.is_none_or(|name| place.operation.name() == name)
                && prefix.is_none_or(|prefix| place.key.to_string().starts_with(prefix))
        };
        (0..self.0.len()).filter(|cell| is_meant(&self.0[*cell])).collect()
    }
}

fn named(number: usize) -> Operation {
    let name = format!("operation-{number}");
    let mut fixed = Ingredients::new();
    fixed
        .add(Kind::Operation, "name", plain::digest_text(&name), Preview::text(&name))
        .expect("there is one ingredient of this name");
    Operation::new(name, fixed, Vec::new())
}
