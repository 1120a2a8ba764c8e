//! What is different in a copy of a node that is made while a run goes on.

use std::sync::Arc;

use thrifty_engine::graph::Node;
use thrifty_engine::{ClaimOn, Operation};

/// The differences between a node and a copy of it.
pub(crate) struct Change<'a> {
    /// The new name of what is called so.
    pub(crate) name: &'a dyn Fn(&str) -> String,
    /// What commands hold besides, while they run.
    pub(crate) claims: &'a [ClaimOn],
    /// Makes the copies of nodes within.
    pub(crate) copied: Copied,
}

/// Makes a copy of a node, which has attempts of its own.
pub(crate) type Copied = fn(&Node, &Change<'_>) -> Node;

impl Change<'_> {
    /// The same operation, by its new name. The name that counts is an ingredient, and stays.
    pub(crate) fn renamed(&self, operation: &Arc<Operation>) -> Arc<Operation> {
        let Some((file, name)) = operation.name().split_once(':') else {
            return Arc::clone(operation);
        };
        let new = (self.name)(name);
        if new == name {
            return Arc::clone(operation);
        }
        let (fixed, texts) = (operation.ingredients([]), operation.texts().to_vec());
        let renamed = Operation::new(format!("{file}:{new}"), fixed, texts);
        Arc::new(renamed.with_notes(operation.notes().to_vec()))
    }
}
