//! What stands for a search in the graph: one round of trials after the other.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use thrifty_engine::graph::{Body, Edge, Expansion, Failure, From, Input, Node, Product, Taken};

use thrifty_engine::record::{Draft, Shape};
use thrifty_engine::{ClaimOn, Mode, Operation, Policy, Pool};
use thrifty_key::plain;

use super::prepared::{Prepared, Tried};
use super::suggest;
use crate::copying::Change;
use crate::document::Output;
use crate::error::PrepareError;
use crate::expand::{Next, RESUME, Resulted, Search, Trial};
use crate::gather;
use crate::given;
use crate::json;
use crate::part::nothing;
use crate::pipeline::{Given, Maker, Origin, Placed, Reference};

/// What all rounds of a search share.
pub(crate) struct Searching {
    pub(crate) search: Search,
    /// The operation, before the params of a trial are set.
    prepared: Prepared,
    /// The operation of a trial that goes on from another one.
    resumed: Option<Arc<Operation>>,
    /// What stands for the search in what is told of the run.
    operation: Arc<Operation>,
    pool: Option<ClaimOn>,
}

/// A round of a search: it becomes the next trials and another round, or gathers what they gave.
pub(crate) struct Round {
    pub(crate) searching: Arc<Searching>,
    past: Vec<Trial>,
    /// The trials it became when it ran last.
    pub(crate) trials: Mutex<Vec<Trial>>,
}

impl Prepared {
    /// The node that stands for a search of this operation.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if what a promoted trial goes on from cannot enter its key, or nobody is there
    /// to suggest trials.
    pub(crate) fn search(self, search: &Search) -> Result<Node, PrepareError> {
        if let Some(suggested) = search.suggested() {
            suggest::is_there(suggested, &self)?;
        }
        let pool = search.concurrency.map(|room| (Pool::new(room as u64), 1));
        let resumed = match &search.resume {
            Some(_) => Some(Arc::new(self.operation_with_place(RESUME, RESUME)?)),
            None => None,
        };
        let name = self.operation.name().to_owned();
        let operation = Arc::new(Operation::new(name, thrifty_key::Ingredients::new(), Vec::new()));
        let (search, edges) = (search.clone(), self.outside());
        let searching = Searching { search, prepared: self, resumed, operation, pool };
        Ok(Arc::new(searching).round(Vec::new(), edges))
    }
}

impl Searching {
    /// The round after these trials; its edges lead to what the operation takes, and to them.
    fn round(self: &Arc<Self>, past: Vec<Trial>, edges: Vec<Edge>) -> Node {
        let round = Round { searching: Arc::clone(self), past, trials: Mutex::default() };
        let rule = self.prepared.policy.rule;
        Node {
            operation: Arc::clone(&self.operation),
            policy: Policy { mode: Mode::Off, rule, ..Policy::default() },
            inputs: Vec::new(),
            edges,
            unkeyed: Some("each of its trials is looked up".to_owned()),
            body: Arc::new(round),
        }
    }

    /// The name of the operation.
    pub(crate) fn name(&self) -> &str {
        &self.prepared.command().name
    }

    /// How many edges of a round lead to what the operation takes.
    fn taken(&self) -> usize {
        self.prepared.outside().len()
    }

    /// The trials of a round, as which they begin, and behind them the node that has their params,
    /// if they take them from one: at this position.
    fn trials(
        &self,
        trials: &[Trial],
        points: usize,
    ) -> Result<(Vec<Node>, Option<Node>), Failure> {
        let Tried::Other(template) = &self.prepared.tried else {
            let nodes: Result<_, _> = trials.iter().map(|trial| self.trial(trial)).collect();
            return Ok((nodes?, None));
        };
        let trial = |(number, trial): (usize, &Trial)| {
            let pool = self.pool.as_ref();
            self.prepared.trial_of(template, &trial.point, (number, points), pool)
        };
        let nodes: Result<_, _> = trials.iter().enumerate().map(trial).collect();
        let all = json::encode(&trials.iter().map(params).collect::<Json>());
        let all = all.map_err(|reason| raised(&reason))?;
        let operation = Arc::clone(&self.operation);
        Ok((nodes.map_err(|reason| raised(&reason))?, Some(gather::known(operation, all))))
    }

    /// A trial, in a round whose first edges are those of the operation.
    fn trial(&self, trial: &Trial) -> Result<Node, Failure> {
        let Tried::Command(running) = &self.prepared.tried else {
            return Err(raised("it is no command"));
        };
        let mut running = running.again();
        let mut inputs = self.prepared.inputs.clone();
        for (name, value) in &trial.point {
            let encoding = json::encode(value).map_err(|reason| raised(&reason))?;
            let preview = thrifty_key::Preview::text(value.to_string());
            if let Some(input) = inputs.iter_mut().find(|input| input.name == *name) {
                (input.encoding, input.preview) = (encoding, preview);
            }
            if let Some((_, given)) = running.command.params.iter_mut().find(|(it, _)| it == name) {
                *given = Given::Value(value.clone());
            }
        }
        let mut edges: Vec<Edge> = (0..self.taken()).map(argument).collect();
        let mut operation = &self.prepared.operation;
        if let (Some(after), Some(output), Some(resumed)) =
            (trial.after, &self.search.resume, &self.resumed)
        {
            // Behind what the command takes, and before what it only comes after.
            let number = running.command.takes().count();
            let from = self.taken() + after;
            edges.insert(number, Edge { steps: given::steps(output), ..argument(from) });
            let mut writer = plain::Writer::new();
            writer.edge(number as u64);
            let preview = thrifty_key::Preview::text(format!("{output} of trial {after}"));
            inputs.push(Input { name: RESUME.to_owned(), encoding: writer.into_bytes(), preview });
            inputs.sort_by(|one, other| one.name.cmp(&other.name));
            running.command.absent.clear();
            let from = Origin::Output(Reference::new(Maker::Argument(from), output.clone()));
            let (name, to) = (RESUME.to_owned(), RESUME.to_owned());
            running.command.inputs.push(Placed { name, from, to });
            operation = resumed;
        }
        running.claims.extend(self.pool.clone());
        running.draws_with(&inputs);
        Ok(Node {
            operation: Arc::clone(operation),
            policy: self.prepared.policy,
            inputs,
            edges,
            unkeyed: None,
            body: Arc::new(running),
        })
    }
}

impl Searching {
    /// What became of a trial.
    fn result(&self, taken: &Taken) -> Resulted {
        if taken.value.is_failed() {
            return Resulted::Failed;
        }
        Resulted::Gave(self.measured(taken).as_ref().and_then(Json::as_f64))
    }

    /// What a trial gave as the metric.
    pub(crate) fn measured(&self, taken: &Taken) -> Option<Json> {
        self.prepared.value(taken, &self.search.metric.as_ref()?.name)
    }
}

impl Round {
    /// The first round of the same search of a copy.
    pub(crate) fn copy(&self, change: &Change<'_>) -> Self {
        let Searching { search, prepared, resumed, operation, pool: _ } = &*self.searching;
        let searching = Searching {
            search: search.clone(),
            prepared: prepared.copy(change),
            resumed: resumed.as_ref().map(|resumed| change.renamed(resumed)),
            operation: change.renamed(operation),
            pool: search.concurrency.map(|room| (Pool::new(room as u64), 1)),
        };
        Self { searching: Arc::new(searching), past: self.past.clone(), trials: Mutex::default() }
    }

    /// What became of the trials before this round.
    fn results(&self, inputs: &[Taken]) -> Vec<(Trial, Resulted)> {
        let taken = inputs.iter().skip(self.searching.taken());
        self.past.iter().cloned().zip(taken.map(|taken| self.searching.result(taken))).collect()
    }

    /// The next trials, and behind them the next round.
    fn go_on(&self, trials: Vec<Trial>) -> Result<Expansion, Failure> {
        let searching = &self.searching;
        let (mut nodes, points) = searching.trials(&trials, trials.len() + 1)?;
        let known = searching.taken() + self.past.len();
        let new = (0..nodes.len()).map(|number| Edge { from: From::Node(number), steps: vec![] });
        let edges = (0..known).map(argument).chain(new).collect();
        let past = self.past.iter().chain(&trials).cloned().collect();
        nodes.push(searching.round(past, edges));
        let last = Edge { from: From::Node(nodes.len() - 1), steps: Vec::new() };
        nodes.extend(points);
        *self.trials.lock() = trials;
        Ok(Expansion::new(nodes, vec![last], Draft::Edge(0)))
    }

    fn tell_failures(&self, results: &[(Trial, Resulted)]) {
        let failed = results.iter().filter(|(_, it)| *it == Resulted::Failed).count();
        if failed > 0 {
            let note =
                format!("{}: {failed} of {} trials failed", self.searching.name(), results.len());
            self.searching.prepared.shared().notes.lock().push(note);
        }
    }

    /// All trials are settled: what they gave, as lists by output, as a table, and the best.
    fn gather(
        &self,
        inputs: &[Taken],
        results: &[(Trial, Resulted)],
    ) -> Result<Expansion, Failure> {
        let search = &self.searching.search;
        let best = search.best(results.iter().map(|(_, result)| *result));
        if results.is_empty() {
            return Err(raised("the search has no trial: its tuner suggested none"));
        }
        let succeeded = results.iter().filter(|(_, it)| *it != Resulted::Failed).count();
        if succeeded == 0 {
            return Err(raised(&format!("all {} trials failed", results.len())));
        }
        if let (None, Some(metric)) = (best, &search.metric) {
            return Err(raised(&format!("no trial gave a number as `{}`", metric.name)));
        }
        let (prepared, taken) = (&self.searching.prepared, self.searching.taken());
        let mut gathered = Gathered { edges: Vec::new(), taken, inputs, prepared };
        let outputs = &prepared.command().outputs;
        let (mut names, mut parts) = (Vec::new(), Vec::new());
        for (name, _) in outputs {
            let list = (0..results.len()).map(|number| gathered.part(name, number)).collect();
            names.push(plain::text(name).into());
            parts.push(Draft::Composite { container: Shape::List, parts: list });
        }
        names.push(plain::text("trials").into());
        parts.push(gathered.table(outputs, results)?);
        if let Some(best) = best {
            names.push(plain::text("best").into());
            parts.push(gathered.best(outputs, best, &results[best].0)?);
        }
        let outputs = Draft::Composite { container: Shape::Dict(names), parts };
        let whole = Draft::Composite { container: Shape::Tuple, parts: vec![outputs] };
        Ok(Expansion::new(Vec::new(), gathered.edges, whole))
    }
}

impl Body for Round {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        let results = self.results(inputs);
        let Searching { search, prepared, .. } = &*self.searching;
        let next = search.next(&results);
        let next = suggest::settled(next, search, prepared, &results).map_err(|it| raised(&it))?;
        Ok(Product::Became(match next {
            ControlFlow::Continue(trials) => self.go_on(trials)?,
            ControlFlow::Break(why) => {
                if let Some(why) = why {
                    let (name, run) = (self.searching.name(), results.len());
                    let note = format!("{name}: stopped after {run} trials: {why}");
                    prepared.shared().notes.lock().push(note);
                }
                let gathered = self.gather(inputs, &results)?;
                self.tell_failures(&results);
                gathered
            }
        }))
    }

    /// The trials that are known before anything ran. What follows from their results is not.
    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        let known = self.past.is_empty() && self.searching.search.is_listed();
        let trials = match self.searching.search.next(&[]) {
            Next::Trials(trials) if known => trials,
            _ => return None,
        };
        let nodes = self.searching.trials(&trials, trials.len());
        // An edge that leads nowhere stands for what only a run can tell.
        Some(nodes.map(|(nodes, points)| {
            let nodes = nodes.into_iter().chain(points).collect();
            Expansion::new(nodes, Vec::new(), Draft::Edge(0))
        }))
    }

    fn takes_failures(&self) -> bool {
        // What the operation itself takes must be there for the first trial.
        !self.past.is_empty()
    }
}

/// What trials gave, being put together.
struct Gathered<'a> {
    edges: Vec<Edge>,
    taken: usize,
    inputs: &'a [Taken],
    prepared: &'a Prepared,
}

impl Gathered<'_> {
    /// An output of a trial; nothing, if it failed.
    fn part(&mut self, output: &str, trial: usize) -> Draft {
        let number = self.taken + trial;
        if self.inputs.get(number).is_none_or(|taken| taken.value.is_failed()) {
            return Draft::Plain(nothing());
        }
        self.edges.push(Edge { steps: self.prepared.steps(output), ..argument(number) });
        Draft::Edge(self.edges.len() as u64 - 1)
    }

    /// One row for each trial: what it was tried with, how it ended, the values it gave.
    fn table(
        &self,
        outputs: &[(String, Output)],
        results: &[(Trial, Resulted)],
    ) -> Result<Draft, Failure> {
        let mut rows = Vec::with_capacity(results.len());
        for (number, (trial, result)) in results.iter().enumerate() {
            let mut row = Map::new();
            row.insert("params".to_owned(), params(trial));
            let status = if *result == Resulted::Failed { "failed" } else { "succeeded" };
            row.insert("status".to_owned(), status.into());
            let is_value = |it: &Output| matches!(it, Output::Json { .. } | Output::Value);
            for (name, _) in outputs.iter().filter(|(_, it)| is_value(it)) {
                let taken = self.inputs.get(self.taken + number);
                let value = taken.and_then(|taken| self.prepared.value(taken, name));
                row.insert(name.clone(), value.unwrap_or(Json::Null));
            }
            rows.push(Json::Object(row));
        }
        encoded(&Json::from(rows))
    }

    fn best(
        &mut self,
        outputs: &[(String, Output)],
        number: usize,
        trial: &Trial,
    ) -> Result<Draft, Failure> {
        let mut names = vec![plain::text("trial").into(), plain::text("params").into()];
        let mut parts = vec![encoded(&Json::from(number))?, encoded(&params(trial))?];
        for (name, _) in outputs {
            names.push(plain::text(name).into());
            parts.push(self.part(name, number));
        }
        Ok(Draft::Composite { container: Shape::Dict(names), parts })
    }
}

/// The params of a trial as a value.
fn params(trial: &Trial) -> Json {
    Json::Object(trial.point.iter().cloned().collect())
}

fn encoded(value: &Json) -> Result<Draft, Failure> {
    json::encode(value).map(Draft::Plain).map_err(|reason| raised(&reason))
}

fn argument(number: usize) -> Edge {
    Edge { from: From::Argument(number), steps: Vec::new() }
}

fn raised(reason: &str) -> Failure {
    Failure::raised(reason.to_owned(), Arc::new(reason.to_owned()))
}
