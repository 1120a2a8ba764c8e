//! An operation with everything that its node is made of.

use std::sync::Arc;

use serde_json::Value as Json;
use thrifty_engine::graph::{Body, Edge, Failure, From, Input, Node, Product, Taken};
use thrifty_engine::record::Step;
use thrifty_engine::{ClaimOn, Operation, Policy};
use thrifty_key::{Key, Kind, Preview, plain};

use crate::body::{Running, Shared};
use crate::copying::{Change, Copied};
use crate::error::PrepareError;
use crate::expand::Point;
use crate::given;
use crate::json;
use crate::language;
use crate::pipeline::{Command, Work};

/// The argument that params of a trial come by, until there is one.
pub(crate) const OF_TRIAL: usize = usize::MAX;

/// An operation that is ready to become a node, or many of them with other params.
pub(crate) struct Prepared {
    pub(crate) operation: Arc<Operation>,
    pub(crate) policy: Policy,
    pub(crate) inputs: Vec<Input>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) tried: Tried,
}

/// What is tried.
pub(crate) enum Tried {
    /// A command.
    Command(Box<Running>),
    /// A process or a function: the params of a trial come by edges from [`OF_TRIAL`].
    Other(Box<Template>),
}

/// An operation whose trials differ in edges alone.
pub(crate) struct Template {
    pub(crate) command: Command,
    pub(crate) shared: Arc<Shared>,
    pub(crate) body: Arc<dyn Body>,
    /// Where its outputs stand in what it gives.
    pub(crate) gives: Vec<Vec<Step>>,
    pub(crate) copied: Copied,
}

/// A body that holds something more while it runs.
struct Claiming {
    body: Arc<dyn Body>,
    claims: Vec<ClaimOn>,
}

impl Prepared {
    pub(crate) fn command(&self) -> &Command {
        match &self.tried {
            Tried::Command(running) => &running.command,
            Tried::Other(template) => &template.command,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match &self.tried {
            Tried::Command(running) => &running.shared,
            Tried::Other(template) => &template.shared,
        }
    }

    /// What it takes whichever trial it is.
    pub(crate) fn outside(&self) -> Vec<Edge> {
        self.edges.iter().filter(|edge| edge.from != From::Argument(OF_TRIAL)).cloned().collect()
    }

    /// The steps that lead to an output.
    pub(crate) fn steps(&self, output: &str) -> Vec<Step> {
        match &self.tried {
            Tried::Command(_) => given::steps(output),
            Tried::Other(template) => {
                let place = template.command.outputs.iter().position(|(name, _)| name == output);
                place.and_then(|at| template.gives.get(at)).cloned().unwrap_or_default()
            }
        }
    }

    /// A value that a trial gave.
    pub(crate) fn value(&self, trial: &Taken, output: &str) -> Option<Json> {
        let taken = Taken { value: trial.value.clone(), steps: self.steps(output) };
        language::value(&taken, self.shared().language.as_deref()).ok()
    }

    /// The same with attempts of its own.
    pub(crate) fn copy(&self, change: &Change<'_>) -> Self {
        Self {
            operation: change.renamed(&self.operation),
            policy: self.policy,
            inputs: self.inputs.clone(),
            edges: self.edges.clone(),
            tried: match &self.tried {
                Tried::Command(running) => Tried::Command(Box::new(running.copy(change))),
                Tried::Other(template) => Tried::Other(Box::new(self.template(template, change))),
            },
        }
    }

    fn template(&self, template: &Template, change: &Change<'_>) -> Template {
        let mut command = template.command.clone();
        command.name = (change.name)(&command.name);
        Template {
            command,
            shared: Arc::clone(&template.shared),
            body: self.node_of(template, change).body,
            gives: template.gives.clone(),
            copied: template.copied,
        }
    }

    fn node_of(&self, template: &Template, change: &Change<'_>) -> Node {
        let node = Node {
            operation: Arc::clone(&self.operation),
            policy: self.policy,
            inputs: self.inputs.clone(),
            edges: self.edges.clone(),
            unkeyed: None,
            body: Arc::clone(&template.body),
        };
        (template.copied)(&node, change)
    }

    /// A trial of what is no command. Its params come from the item of this number of what a node
    /// of this number gives.
    pub(crate) fn trial_of(
        &self,
        template: &Template,
        point: &Point,
        (item, points): (usize, usize),
        pool: Option<&ClaimOn>,
    ) -> Result<Node, String> {
        let claims: Vec<ClaimOn> = pool.cloned().into_iter().collect();
        let name = |name: &str| name.to_owned();
        let change = Change { name: &name, claims: &claims, copied: template.copied };
        let mut node = self.node_of(template, &change);
        if matches!(template.command.work, Work::Task(_)) && !claims.is_empty() {
            node.body = Arc::new(Claiming { body: node.body, claims });
        }
        for (number, edge) in self.edges.iter().enumerate() {
            let [Step(name)] = edge.steps.as_slice() else { continue };
            let own = point.iter().find(|(it, _)| plain::text(it) == *name);
            if let (From::Argument(OF_TRIAL), Some((_, value))) = (edge.from, own) {
                written(&mut node.inputs, number as u64, value)?;
            }
        }
        let mut outside = 0..;
        for edge in &mut node.edges {
            *edge = match edge.from {
                From::Argument(OF_TRIAL) => {
                    let item = std::iter::once(Step(plain::int(item as i64)));
                    let steps = item.chain(edge.steps.iter().cloned()).collect();
                    Edge { from: From::Node(points), steps }
                }
                _ => Edge {
                    from: From::Argument(outside.next().unwrap_or_default()),
                    steps: Vec::new(),
                },
            };
        }
        Ok(node)
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
            operation: self.command().name.clone(),
            input: input.to_owned(),
            reason: twice.to_string(),
        })?;
        let texts = self.operation.texts().to_vec();
        let operation = Operation::new(self.operation.name(), fixed, texts);
        Ok(operation.with_notes(self.operation.notes().to_vec()))
    }
}

/// Writes a value down where an input is the edge of this number and nothing else: it counts as
/// much, and can be shown.
fn written(inputs: &mut [Input], edge: u64, value: &Json) -> Result<(), String> {
    let mut writer = plain::Writer::new();
    writer.edge(edge);
    for input in inputs.iter_mut().filter(|input| input.encoding == writer.as_bytes()) {
        input.encoding = json::encode(value)?;
        input.preview = Preview::text(value.to_string());
    }
    Ok(())
}

impl Body for Claiming {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        self.body.run(inputs)
    }

    fn run_under(&self, key: Option<&Key>, inputs: &[Taken]) -> Result<Product, Failure> {
        self.body.run_under(key, inputs)
    }

    fn claims(&self) -> &[ClaimOn] {
        &self.claims
    }

    fn takes_failures(&self) -> bool {
        self.body.takes_failures()
    }
}
