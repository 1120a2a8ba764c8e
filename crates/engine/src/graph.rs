//! The graph of a run: operations, what they take from each other, and what they give.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::Time;
use thrifty_key::{Digest, Ingredients, Key, Part, Preview, plain};

use crate::answer::{Answer, Terms};
use crate::classes::{ClassCode, contribution_with_code};
use crate::made_of::Parts;
use crate::observed::Observation;
use crate::operation::Operation;
use crate::policy::Policy;
use crate::pool::ClaimOn;
use crate::reason::Reason;
use crate::record::{Draft, Record, Step, contribution_of_part};

/// One call of an operation.
pub struct Node {
    /// What is called.
    pub operation: Arc<Operation>,
    /// How it uses the cache.
    pub policy: Policy,
    /// The arguments that enter the key, sorted by name.
    pub inputs: Vec<Input>,
    /// What it takes from other operations. An edge leaf in the encoding of an input stands for
    /// the edge of that number.
    pub edges: Vec<Edge>,
    /// Why it has no key, if it has none.
    pub unkeyed: Option<String>,
    /// The code.
    pub body: Arc<dyn Body>,
}

/// An argument that enters the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The name of the parameter.
    pub name: String,
    /// The canonical encoding of the value (`thrifty_key::plain`).
    pub encoding: Vec<u8>,
    /// What may be shown of it.
    pub preview: Preview,
}

/// The output of an operation, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The operation.
    pub from: From,
    /// Subscripts that lead to the part.
    pub steps: Vec<Step>,
}

/// Where an edge begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the node of this number, in the same graph.
    Node(usize),
    /// In an expansion: at the edge of this number of the node that expanded.
    Argument(usize),
}

/// The code of an operation, in whatever language.
pub trait Body: Any + Send + Sync {
    /// Runs it. The inputs are what its edges lead to, in their order.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the operation failed, or an input could not be loaded.
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure>;

    /// As [`Body::run`], for a body that keeps something by the key it runs under.
    ///
    /// # Errors
    ///
    /// As [`Body::run`].
    fn run_under(&self, _key: Option<&Key>, inputs: &[Taken]) -> Result<Product, Failure> {
        self.run(inputs)
    }

    /// The operations that it becomes, where that can be told without running it or knowing its
    /// inputs: those of a nested workflow.
    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        None
    }

    /// What it holds while it runs; always the same. A hit holds nothing.
    fn claims(&self) -> &[ClaimOn] {
        &[]
    }

    /// Whether it notices by itself that the user interrupts. One that does not is never run on the
    /// thread that settles the graph, which asks for interrupts meanwhile.
    fn notices_interrupts(&self) -> bool {
        true
    }

    /// Whether it runs also if something fails that it takes: what [`Value::is_failed`] stands in
    /// the place of what is not there, so that it has no key and is not stored.
    fn takes_failures(&self) -> bool {
        false
    }
}

/// What stands in the place of the output of an operation that failed, or never ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed;

/// What an edge leads to.
#[derive(Clone)]
pub struct Taken {
    /// The output of the operation at its beginning.
    pub value: Value,
    /// Subscripts that lead to the part.
    pub steps: Vec<Step>,
}

/// The output of an operation.
#[derive(Clone)]
pub enum Value {
    /// It can be loaded from a record.
    Known(Arc<Answer>),
    /// It exists only in memory. Without a contribution it has no digest, and nothing that takes
    /// it can be cached.
    Live {
        /// The value.
        object: Arc<dyn Any + Send + Sync>,
        /// What it contributes to a container; without an outline, with the code of its classes.
        contribution: Option<Vec<u8>>,
        /// What its parts contribute, and which classes they hold: its record without bytes.
        outline: Option<Arc<Record>>,
        /// What it depends on besides its key.
        terms: Terms,
    },
}

impl Value {
    /// What stands in the place of an output that there is none of.
    pub(crate) fn failed() -> Self {
        let terms = Terms::default();
        Self::Live { object: Arc::new(Failed), contribution: None, outline: None, terms }
    }

    /// Whether the operation at the beginning of the edge failed, or never ran.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Live { object, .. } if object.is::<Failed>())
    }

    /// What the part at the end of the steps contributes to the key of an operation that takes
    /// it, the code of its classes included; `None` if it has no digest.
    pub fn input_at(&self, steps: &[Step], language: Option<&dyn ClassCode>) -> Option<Vec<u8>> {
        contribution_with_code(self.contribution_at(steps)?, &self.classes_at(steps), language)
    }

    /// The classes whose instances the part at the end of the steps holds, or may hold.
    pub(crate) fn classes_at(&self, steps: &[Step]) -> Vec<String> {
        match self {
            Self::Known(answer) => answer.classes_at(steps),
            Self::Live { outline: None, .. } => Vec::new(),
            Self::Live { outline: Some(outline), .. } => {
                outline.select(steps).map_or_else(|| outline.classes(), |part| part.classes())
            }
        }
    }

    /// What the part at the end of the steps contributes to a container it stands in; `None` if
    /// it has no digest.
    pub fn contribution_at(&self, steps: &[Step]) -> Option<Vec<u8>> {
        match self {
            Self::Known(answer) => Some(answer.contribution_at(steps)),
            Self::Live { contribution, outline, .. } => {
                let whole = contribution.as_ref()?;
                if steps.is_empty() {
                    return Some(whole.clone());
                }
                let part =
                    outline.as_ref().and_then(|outline| outline.select(steps)?.contribution().ok());
                Some(part.unwrap_or_else(|| contribution_of_part(whole, steps)))
            }
        }
    }

    /// What was observed while it was computed, by its body and those of the operations it was
    /// made of; also if it is a hit.
    pub fn observed(&self) -> &[Observation] {
        match self {
            Self::Known(answer) => &answer.observed,
            Self::Live { terms, .. } => &terms.observed,
        }
    }

    /// When the value ceases to be valid, also if it is a hit.
    pub fn expires_at(&self) -> Option<Time> {
        match self {
            Self::Known(answer) => answer.expires_at,
            Self::Live { terms, .. } => terms.expires_at,
        }
    }

    /// When it is too old for who takes none that is older than this.
    pub fn too_old_at(&self, max_age: Duration, now: impl FnOnce() -> Time) -> Time {
        let created_at = match self {
            Self::Known(answer) if answer.created_at > 0 => answer.created_at,
            Self::Known(_) | Self::Live { .. } => now(),
        };
        let max_age = Time::try_from(max_age.as_millis()).unwrap_or(Time::MAX);
        created_at.saturating_add(max_age)
    }

    /// What it was made of, also if it is a hit.
    pub fn made_of(&self) -> &Parts {
        match self {
            Self::Known(answer) => &answer.made_of,
            Self::Live { terms, .. } => &terms.made_of,
        }
    }

    /// The value digest, if it has one.
    pub fn digest(&self) -> Option<Digest> {
        Some(plain::digest_of_contribution(&self.contribution_at(&[])?))
    }
}

/// What a body gives.
pub enum Product {
    /// A value.
    Made(Made),
    /// More operations, and a value made of their outputs.
    Expanded(Expansion),
    /// More operations that stand in its place: each is looked up for itself whenever this one
    /// comes up, and the value made of their outputs is not stored again.
    Became(Expansion),
}

/// A value a body made.
pub struct Made {
    /// The value itself.
    pub object: Arc<dyn Any + Send + Sync>,
    /// What it contributes to keys, if it has a digest.
    pub contribution: Option<Vec<u8>>,
    /// How to store it, or why it is not stored.
    pub draft: Result<Draft, Unstored>,
    /// What the body observed, in any order. What it wrote itself before reading it is no part.
    pub observed: Vec<Observation>,
    /// When the first of the results expires that the body took by calling other operations.
    pub expires_at: Option<Time>,
    /// The operations that the body called.
    pub made_of: Parts,
}

impl Made {
    /// A value with a draft, which says what it contributes. Nothing was observed.
    pub fn new(object: Arc<dyn Any + Send + Sync>, draft: Draft) -> Self {
        let contribution = draft.contribution().ok();
        let (draft, observed, made_of) = (Ok(draft), Vec::new(), Parts::default());
        Self { object, contribution, draft, observed, expires_at: None, made_of }
    }
}

/// Why a value is not to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstored {
    /// In one word.
    pub reason: Reason,
    /// For people: which value, or which input.
    pub text: String,
}

impl Unstored {
    /// The same of a value of a kind that no codec can keep.
    pub const fn unstorable(text: String) -> Self {
        Self { reason: Reason::Unstorable, text }
    }
}

/// Operations that a body adds to the run.
pub struct Expansion {
    /// The operations; their numbers count from this list's beginning.
    pub nodes: Vec<Node>,
    /// What the body's value takes from them. An edge in the output stands for the edge of that
    /// number.
    pub edges: Vec<Edge>,
    /// The body's value, with edges.
    pub output: Draft,
    /// What the body itself observed, in any order.
    pub observed: Vec<Observation>,
    /// As in [`Made`].
    pub expires_at: Option<Time>,
    /// As in [`Made`].
    pub made_of: Parts,
    /// Why the value is not stored, if the body alone decides that: what it was made of changed.
    pub unstored: Option<Unstored>,
}

impl Expansion {
    /// Of these operations, with nothing that the body itself observed.
    pub fn new(nodes: Vec<Node>, edges: Vec<Edge>, output: Draft) -> Self {
        let (observed, made_of) = (Vec::new(), Parts::default());
        Self { nodes, edges, output, observed, expires_at: None, made_of, unstored: None }
    }
}

/// Why a value that an entry keeps cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its bytes could not be read: gone, damaged, or out of reach for now.
    Bytes,
    /// Its bytes are there, and make no sense here.
    Sense,
}

/// Why a body gave nothing.
#[derive(Clone)]
pub enum Failure {
    /// The operation failed.
    Raised {
        /// One line for records and logs.
        message: String,
        /// The error itself.
        cause: Arc<dyn Any + Send + Sync>,
        /// What it depends on, as a value does, for whoever makes a value of it all the same.
        terms: Terms,
    },
    /// The input of this number is in the cache no longer, or damaged.
    Lost {
        /// The number of the edge.
        edge: usize,
        /// In what way.
        loss: Loss,
        /// What was found.
        reason: String,
    },
    /// This attempt failed, and another one is to be made after this time. Nobody waits on a thread
    /// until then, and nothing is reserved.
    Again {
        /// How long to wait.
        after: Duration,
        /// One line about the attempt that failed.
        message: String,
    },
    /// The run was cancelled while it ran.
    Cancelled,
}

impl Failure {
    /// The operation failed, which depends on nothing that is known.
    pub fn raised(message: impl Into<String>, cause: Arc<dyn Any + Send + Sync>) -> Self {
        Self::Raised { message: message.into(), cause, terms: Terms::default() }
    }

    /// The same, depending on this.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        match self {
            Self::Raised { message, cause, .. } => Self::Raised { message, cause, terms },
            other => other,
        }
    }

    /// What it depends on, if the operation failed.
    pub const fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Raised { terms, .. } => Some(terms),
            Self::Lost { .. } | Self::Again { .. } | Self::Cancelled => None,
        }
    }

    /// That of somebody else, for whoever shares it.
    pub(crate) fn shared(self) -> Self {
        match self.terms().cloned() {
            Some(Terms { observed, expires_at, made_of }) => {
                let made_of = Parts::clone(&made_of).of_others().shared();
                self.on(Terms { observed, expires_at, made_of })
            }
            None => self,
        }
    }

    /// One line for records and logs.
    pub fn message(&self) -> &str {
        match self {
            Self::Raised { message, .. } | Self::Again { message, .. } => message,
            Self::Lost { reason, .. } => reason,
            Self::Cancelled => "cancelled",
        }
    }
}

impl Input {
    /// The numbers of the edges that stand in the value.
    fn edges(&self) -> Vec<usize> {
        let mut reader = plain::Reader::new(&self.encoding);
        let mut edges = Vec::new();
        while let Ok(token) = reader.token() {
            if let plain::Token::Edge(number) = token {
                edges.extend(usize::try_from(number));
            }
        }
        edges
    }
}

impl Node {
    /// The operations of its graph that it takes from, each once.
    pub(crate) fn upstream(&self) -> Vec<usize> {
        let mut upstream: Vec<_> = self.edges.iter().filter_map(Edge::node).collect();
        upstream.sort_unstable();
        upstream.dedup();
        upstream
    }

    /// Which inputs hold outputs of which operations of its graph.
    pub(crate) fn takes(&self) -> Vec<(String, Vec<u32>)> {
        if self.edges.is_empty() {
            return Vec::new();
        }
        let node_of = |edge: usize| u32::try_from(self.edges.get(edge)?.node()?).ok();
        let of = |input: &Input| {
            let mut nodes: Vec<_> = input.edges().into_iter().filter_map(node_of).collect();
            nodes.sort_unstable();
            nodes.dedup();
            (!nodes.is_empty()).then(|| (input.name.clone(), nodes))
        };
        self.inputs.iter().filter_map(of).collect()
    }

    /// The digests of its inputs, given what its edges contribute; `None` if one has no digest.
    pub(crate) fn input_digests(
        &self,
        contributions: &[Option<Vec<u8>>],
    ) -> Result<Vec<(&str, Digest)>, String> {
        let of = |input: &Input| {
            plain::fold(&input.encoding, &mut |number| {
                let edge =
                    usize::try_from(number).ok().and_then(|number| contributions.get(number));
                edge.cloned().flatten().ok_or(plain::PlainError::Edge(number))
            })
        };
        self.inputs
            .iter()
            .map(|input| match of(input) {
                Ok(digest) => Ok((input.name.as_str(), digest)),
                Err(error) => Err(format!("argument {}: {error}", input.name)),
            })
            .collect()
    }

    /// All its ingredients, given the digests of its inputs.
    pub(crate) fn ingredients(&self, digests: &[Digest]) -> Ingredients {
        self.operation.ingredients(self.inputs.iter().zip(digests).map(|(input, digest)| {
            (input.name.clone(), Part { digest: *digest, preview: input.preview.clone() })
        }))
    }
}
