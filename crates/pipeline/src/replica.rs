//! Copies of nodes: what they keep of an attempt is their own.

use std::any::Any;
use std::sync::Arc;

use thrifty_engine::graph::{Body, Node};

use crate::body::Running;
use crate::copying::Change;
use crate::rounds::Round;
use crate::steps::Steps;

/// A copy of a node.
pub(crate) fn node(node: &Node, change: &Change<'_>) -> Node {
    let body: &dyn Any = &*node.body;
    let body: Arc<dyn Body> = if let Some(running) = body.downcast_ref::<Running>() {
        Arc::new(running.copy(change))
    } else if let Some(steps) = body.downcast_ref::<Steps>() {
        Arc::new(steps.copy(change))
    } else if let Some(round) = body.downcast_ref::<Round>() {
        Arc::new(round.copy(change))
    } else {
        // The others keep nothing.
        Arc::clone(&node.body)
    };
    Node {
        operation: change.renamed(&node.operation),
        policy: node.policy,
        inputs: node.inputs.clone(),
        edges: node.edges.clone(),
        unkeyed: node.unkeyed.clone(),
        body,
    }
}
