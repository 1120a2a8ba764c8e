//! An operation with everything that its node is made of.

use std::sync::Arc;

use thrifty_engine::graph::{Edge, Input, Node};
use thrifty_engine::{Operation, Policy};
use thrifty_key::{Kind, Preview, plain};

use crate::body::Running;
use crate::copying::Change;
use crate::error::PrepareError;

/// An operation that is ready to become a node, or many of them with other params.
pub(crate) struct Prepared {
    pub(crate) operation: Arc<Operation>,
    pub(crate) policy: Policy,
    pub(crate) inputs: Vec<Input>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) running: Running,
}

impl Prepared {
    /// Its node.
    pub(crate) fn node(self) -> Node {
        let Self { operation, policy, inputs, edges, running } = self;
        Node { operation, policy, inputs, edges, unkeyed: None, body: Arc::new(running) }
    }

    /// The same with attempts of its own.
    pub(crate) fn copy(&self, change: &Change<'_>) -> Self {
        Self {
            operation: change.renamed(&self.operation),
            policy: self.policy,
            inputs: self.inputs.clone(),
            edges: self.edges.clone(),
            running: self.running.copy(change),
        }
    }

    /// The operation with one more input, whose place counts.
    pub(crate) fn operation_with_place(
        &self,
        input: &str,
        to: &str,
    ) -> Result<Operation, PrepareError> {
        let mut fixed = self.operation.ingredients([]);
        let (digest, preview) = (plain::digest_text(to), Preview::text(to));
        let added = fixed.add(Kind::Signature, format!("place of {input}"), digest, preview);
        added.map_err(|twice| PrepareError::Input {
            operation: self.running.command.name.clone(),
            input: input.to_owned(),
            reason: twice.to_string(),
        })?;
        let texts = self.operation.texts().to_vec();
        let operation = Operation::new(self.operation.name(), fixed, texts);
        Ok(operation.with_notes(self.operation.notes().to_vec()))
    }
}
