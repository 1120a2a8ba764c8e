//! A process as the engine runs it: one node that becomes its steps.
//!
//! Its key is made of everything that the keys of its steps are made of, each part under the
//! name of its step, and of how the steps hang together; what a step takes from outside the
//! process is an input of the process. So a process is a hit only where each of its steps would
//! be one, and where it is none, the part that differs says which step began it.

use std::sync::Arc;

use thrifty_engine::graph::{Body, Edge, Expansion, Failure, From, Input, Node, Product, Taken};
use thrifty_engine::record::{Draft, Shape};
use thrifty_engine::{Mode, Operation, Policy, Rule};
use thrifty_key::plain::{self, Container, Reader, Token, Writer};
use thrifty_key::{Ingredients, Kind, Preview};

use crate::copying::Change;
use crate::error::PrepareError;
use crate::graph::{self, Making};
use crate::pipeline::{Command, Process, Reference};

/// The steps of a process, ready to become nodes of a run.
pub(crate) struct Steps {
    nodes: Vec<Node>,
    gives: Vec<(String, Reference)>,
}

impl Making<'_> {
    /// The node of a process.
    pub(crate) fn process(
        &mut self,
        command: &Command,
        process: &Process,
    ) -> Result<Node, PrepareError> {
        let nodes = self.nodes(&process.steps)?;
        let mut edges = graph::edges(command);
        let key = Keyed { command, process, nodes: &nodes };
        let inputs = key.inputs(&mut edges)?;
        let operation = Operation::new(
            graph::shown(self.pipeline, command),
            key.fixed()?,
            nodes.iter().flat_map(|node| node.operation.texts()).cloned().collect(),
        );
        let notes = nodes.iter().flat_map(|node| node.operation.notes()).cloned().collect();
        // What only puts results together counts by what it takes.
        let counted = process.steps.iter().zip(&nodes).filter(|(step, _)| !step.gathers());
        let unkeyed = counted.map(|(_, node)| node).find_map(|node| node.unkeyed.clone());
        Ok(Node {
            operation: Arc::new(operation.with_notes(notes)),
            policy: around(graph::policy(command, self.chosen), &nodes),
            inputs,
            edges,
            unkeyed,
            body: Arc::new(Steps { nodes, gives: process.gives.clone() }),
        })
    }
}

/// How a process uses the cache, around steps that use it so. A hit of the whole skips them: it may
/// be no older than each of them accepts, and there is none around a step that is off, unless
/// that was chosen for the process itself.
fn around(policy: Policy, steps: &[Node]) -> Policy {
    let is_off = |step: &Node| {
        let of_its_own = matches!(step.policy.rule, Rule::Definition | Rule::Within);
        step.policy.mode == Mode::Off && of_its_own
    };
    let ages = steps.iter().filter_map(|step| step.policy.max_age);
    let policy = Policy { max_age: ages.chain(policy.max_age).min(), ..policy };
    let is_chosen = policy.rule <= Rule::Definition;
    match !is_chosen && policy.mode.reads() && steps.iter().any(is_off) {
        true => Policy { mode: Mode::Off, rule: Rule::Within, ..policy },
        false => policy,
    }
}

/// What the key of a process is made of.
struct Keyed<'a> {
    command: &'a Command,
    process: &'a Process,
    nodes: &'a [Node],
}

impl Keyed<'_> {
    /// The name of a step within the process.
    fn step(&self, position: usize) -> &str {
        let name = self.process.steps.get(position).map_or("", |step| step.name.as_str());
        name.strip_prefix(&self.command.name).and_then(|it| it.strip_prefix('.')).unwrap_or(name)
    }

    fn wrong(&self, input: &str, reason: impl ToString) -> PrepareError {
        PrepareError::Input {
            operation: self.command.name.clone(),
            input: input.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Everything but the inputs.
    fn fixed(&self) -> Result<Ingredients, PrepareError> {
        let mut fixed = Ingredients::new();
        let mut add = |kind, name: String, digest, preview| {
            fixed.add(kind, name, digest, preview).map_err(|twice| self.wrong("key", twice))
        };
        let text = |text: &str| (plain::digest_text(text), Preview::text(text));
        let (digest, preview) = text(&self.command.operation);
        add(Kind::Operation, "name".to_owned(), digest, preview)?;
        for (position, node) in self.nodes.iter().enumerate() {
            let step = self.step(position);
            let own = node.operation.ingredients([]);
            for kind in Kind::ALL {
                for (name, part) in own.parts(kind) {
                    add(kind, format!("{step}: {name}"), part.digest, part.preview.clone())?;
                }
            }
        }
        for (name, from) in &self.process.gives {
            let (digest, preview) = text(&self.output(from));
            add(Kind::Signature, format!("output {name}"), digest, preview)?;
        }
        Ok(fixed)
    }

    fn output(&self, reference: &Reference) -> String {
        let step = reference.operation().map_or("", |position| self.step(position));
        format!("{step}.{}", reference.output)
    }

    /// What the steps take, sorted by name: values and files as they are, outputs of other steps
    /// by their names, and what comes from outside as edges of the process.
    fn inputs(&self, edges: &mut Vec<Edge>) -> Result<Vec<Input>, PrepareError> {
        let mut all = Vec::new();
        for (position, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let name = format!("{}.{}", self.step(position), input.name);
                let encoding = self
                    .around(node, &input.encoding, edges)
                    .map_err(|reason| self.wrong(&name, reason))?;
                all.push(Input { name, encoding, preview: input.preview.clone() });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The encoding of what a step takes, as it is seen from outside the process.
    fn around(
        &self,
        node: &Node,
        encoding: &[u8],
        edges: &mut Vec<Edge>,
    ) -> Result<Vec<u8>, plain::PlainError> {
        let (mut reader, mut writer) = (Reader::new(encoding), Writer::new());
        while !reader.is_at_end() {
            let start = reader.position();
            match reader.token()? {
                Token::Edge(number) => {
                    let edge = usize::try_from(number).ok().and_then(|at| node.edges.get(at));
                    let edge = edge.ok_or(plain::PlainError::Edge(number))?;
                    self.edge_around(edge, edges, &mut writer);
                }
                _ => writer.encoded(&encoding[start..reader.position()]),
            }
        }
        Ok(writer.into_bytes())
    }

    fn edge_around(&self, edge: &Edge, edges: &mut Vec<Edge>, writer: &mut Writer) {
        match edge.from {
            From::Argument(number) if edge.steps.is_empty() => writer.edge(number as u64),
            From::Argument(number) => {
                let around = edges.get(number).map_or(From::Argument(number), |edge| edge.from);
                let before = edges.get(number).map(|edge| edge.steps.clone());
                let steps = before.into_iter().flatten().chain(edge.steps.iter().cloned());
                writer.edge(edges.len() as u64);
                edges.push(Edge { from: around, steps: steps.collect() });
            }
            From::Node(position) => {
                writer.typed("thrifty.Step");
                writer.open(Container::Tuple, edge.steps.len() + 1);
                writer.text(self.step(position).as_bytes());
                edge.steps.iter().for_each(|step| writer.encoded(&step.0));
            }
        }
    }
}

impl Body for Steps {
    fn run(&self, _: &[Taken]) -> Result<Product, Failure> {
        Ok(Product::Expanded(self.expansion()))
    }

    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        Some(Ok(self.expansion()))
    }
}

impl Steps {
    /// The same steps, with attempts of their own.
    pub(crate) fn copy(&self, change: &Change<'_>) -> Self {
        let nodes = self.nodes.iter().map(|node| (change.copied)(node, change)).collect();
        Self { nodes, gives: self.gives.clone() }
    }

    /// The steps, and what the process gives of theirs, in the shape in which a command gives.
    fn expansion(&self) -> Expansion {
        let nodes = self.nodes.iter().map(again).collect();
        let mut edges: Vec<Edge> =
            self.gives.iter().map(|(_, reference)| graph::edge(reference)).collect();
        let keys = self.gives.iter().map(|(name, _)| plain::text(name).into()).collect();
        let parts = (0..edges.len() as u64).map(Draft::Edge).collect();
        let outputs = Draft::Composite { container: Shape::Dict(keys), parts };
        let output = Draft::Composite { container: Shape::Tuple, parts: vec![outputs] };
        // Every step is to run, also one that gives nothing.
        let all = (0..self.nodes.len()).map(|at| Edge { from: From::Node(at), steps: Vec::new() });
        edges.extend(all);
        Expansion::new(nodes, edges, output)
    }
}

fn again(node: &Node) -> Node {
    Node {
        operation: Arc::clone(&node.operation),
        policy: node.policy,
        inputs: node.inputs.clone(),
        edges: node.edges.clone(),
        unkeyed: node.unkeyed.clone(),
        body: Arc::clone(&node.body),
    }
}
