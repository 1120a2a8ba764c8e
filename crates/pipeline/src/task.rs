//! Operations that are functions of a language: `task: module:function`.

use thrifty_engine::graph::{Edge, From, Node};
use thrifty_engine::{Mode, Policy, Seeding};

use crate::error::PrepareError;
use crate::graph::{self, Making};
use crate::json;
use crate::language::{Call, Overrides, Passed};
use crate::pipeline::{Caching, Command, Function, Given, Origin};

impl Making<'_> {
    /// The node of a call.
    pub(crate) fn call(
        &mut self,
        command: &Command,
        function: &Function,
    ) -> Result<Node, PrepareError> {
        let Function { target, at, .. } = function;
        let refused = |reason| PrepareError::Refused { place: at.clone(), reason };
        let language = self.shared.language.as_ref().ok_or_else(|| {
            refused(format!("`{target}` is a function: run the file with the thrifty of Python"))
        })?;
        let arguments = arguments(command).map_err(&refused)?;
        let word = |off: Option<bool>| off.map(|off| if off { Mode::Off } else { Mode::On });
        let seed = graph::seed_of(command, self.chosen)?;
        let call = Call {
            base: &command.base,
            target,
            arguments,
            caching: overrides(&command.cache, word(command.cache.disable)),
            mode: self.chosen.mode,
            refresh: graph::is_refreshed(command, self.chosen),
            around: word(command.cache.disable_all),
            seeding: seed.map_or(Seeding::Off, Seeding::With),
        };
        language.check(&call).map_err(&refused)?;
        let node = language.node(&call).map_err(&refused)?;
        let around = graph::edges(command);
        let needs = around.iter().skip(command.takes().count()).cloned();
        let own = node.edges.iter().map(|edge| placed(edge, &around)).collect::<Option<Vec<_>>>();
        let own = own.ok_or_else(|| refused(format!("`{target}` takes what it was not given")))?;
        let policy = Policy { now: self.chosen.now, ..node.policy };
        Ok(Node { edges: own.into_iter().chain(needs).collect(), policy, ..node })
    }
}

/// What is handed to a function: first its params, then its inputs, as [`Command::takes`] counts.
fn arguments(command: &Command) -> Result<Vec<(String, Passed)>, String> {
    let mut edges = 0..;
    let mut edge = || Passed::Edge(edges.next().unwrap_or(usize::MAX));
    let mut all = Vec::new();
    for (name, given) in &command.params {
        let passed = match given {
            Given::Value(value) => Passed::Value(json::encode(value)?),
            Given::From(_) => edge(),
        };
        all.push((name.clone(), passed));
    }
    for input in &command.inputs {
        let passed = match &input.from {
            Origin::Path(path) => Passed::Path(path.clone()),
            Origin::Output(_) => edge(),
        };
        all.push((input.name.clone(), passed));
    }
    Ok(all)
}

fn overrides(caching: &Caching, mode: Option<Mode>) -> Overrides<'_> {
    Overrides {
        mode,
        max_age: caching.ttl,
        expires: caching.expires,
        version: caching.version.as_deref(),
        salt: caching.salt.as_deref(),
        inputs: caching.io.as_deref(),
        serialize: caching.serialize,
    }
}

/// The same edge, with its beginning in the graph: those of a call begin at its arguments.
fn placed(edge: &Edge, arguments: &[Edge]) -> Option<Edge> {
    match edge.from {
        From::Node(_) => Some(edge.clone()),
        From::Argument(number) => {
            let Edge { from, steps } = arguments.get(number)?.clone();
            Some(Edge {
                from,
                steps: steps.into_iter().chain(edge.steps.iter().cloned()).collect(),
            })
        }
    }
}
