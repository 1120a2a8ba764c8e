//! From a pipeline to a graph of the engine, with everything its keys are made of.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use thrifty_engine::graph::{Edge, From, Input, Node};
use thrifty_engine::record::Step;
use thrifty_engine::{Choices, Context, Mode, OnFailure, Operation, Policy, Rule, Seed};
use thrifty_key::plain::{self, Writer};
use thrifty_key::{Digest, Ingredients, Kind, Preview};
use thrifty_store::scan::Memo;

use crate::body::{Running, Shared};
use crate::code::{Code, Codes};
use crate::container::{self, Container, Containers};
use crate::copying::Copied;
use crate::document::{Output, Run};
use crate::each;
use crate::error::PrepareError;
use crate::expand::Search;
use crate::gather;
use crate::given;
use crate::home::Placement;
use crate::json;
use crate::parts;
use crate::paths;
use crate::pipeline::{
    Command, Delivered, Drawn, Given, Maker, Origin, Pipeline, Reference, Work, unspread,
};
use crate::rounds::{OF_TRIAL, Prepared, Template, What};
use crate::section::{self, Section};
use crate::seed::Drawing;
use crate::steady::Read;

/// How a run uses the cache, where that was chosen for it.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// For the whole run.
    pub mode: Option<Mode>,
    /// For operations of these names, and their steps: compute again and replace.
    pub refresh: Vec<String>,
    /// By the project's configuration.
    pub project: Option<Mode>,
    /// By the circumstances, where nobody chose: [`Pipeline::context`] of a run from a command
    /// line, [`Context::Again`] of one that does an earlier one again.
    pub context: Context,
    /// Whether it waits for nobody who computes the same.
    pub now: bool,
    /// Whether a failure keeps what has not begun from beginning, whatever the file says.
    pub fail_fast: Option<bool>,
    /// The seed of the run.
    pub seed: Option<Seed>,
    /// The seed of the project's configuration.
    pub project_seed: Option<Seed>,
}

/// Makes the nodes of a pipeline.
pub(crate) struct Making<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) chosen: &'a Chosen,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) codes: Codes,
    pub(crate) containers: Containers,
    /// Makes copies of nodes for partitions that only the run tells.
    pub(crate) copied: Copied,
    /// What does not count of the code and may have to, a sentence for each.
    unseen: BTreeSet<String>,
}

/// The nodes of a pipeline, by the positions of its operations.
///
/// # Errors
///
/// [`PrepareError`]: code or an input cannot be read. Nothing has run.
pub(crate) fn nodes(
    pipeline: &Pipeline,
    chosen: &Chosen,
    shared: &Arc<Shared>,
    copied: Copied,
) -> Result<Vec<Node>, PrepareError> {
    let mut making = Making::of(pipeline, chosen, shared, copied);
    let nodes = making.nodes(&pipeline.commands)?;
    keeps_code(&pipeline.deliveries, making.codes.seen())?;
    Ok(nodes)
}

/// What does not count of the code of a pipeline and may have to, a sentence for each.
///
/// # Errors
///
/// As [`nodes`].
pub(crate) fn unseen(
    pipeline: &Pipeline,
    chosen: &Chosen,
    shared: &Arc<Shared>,
    copied: Copied,
) -> Result<BTreeSet<String>, PrepareError> {
    let mut making = Making::of(pipeline, chosen, shared, copied);
    making.nodes(&pipeline.commands)?;
    Ok(making.unseen)
}

/// Nothing that a pipeline gives takes the place of code that its operations were seen to read.
fn keeps_code(deliveries: &[Delivered], code: &BTreeSet<PathBuf>) -> Result<(), PrepareError> {
    for Delivered { name, to, .. } in deliveries {
        let Some(place) = to.as_deref().map(paths::placed) else { continue };
        if let Some(path) = code.iter().find(|path| paths::meet(path, &place)) {
            return Err(PrepareError::Overwrites { output: name.clone(), path: path.clone() });
        }
    }
    Ok(())
}

impl<'a> Making<'a> {
    fn of(
        pipeline: &'a Pipeline,
        chosen: &'a Chosen,
        shared: &'a Arc<Shared>,
        copied: Copied,
    ) -> Self {
        let codes = Codes::new(Arc::clone(shared.cache.catalog()), shared.cache.file_memo());
        let (containers, unseen) = (Containers::default(), BTreeSet::new());
        Self { pipeline, chosen, shared, codes, containers, copied, unseen }
    }
}

impl Making<'_> {
    /// The nodes of operations that see each other, by their positions.
    pub(crate) fn nodes(&mut self, commands: &[Command]) -> Result<Vec<Node>, PrepareError> {
        commands
            .iter()
            .map(|command| {
                let node = match (&command.work, &command.matrix) {
                    (Work::Task(_) | Work::Process(_), Some(search)) => {
                        self.searched(command, search)?
                    }
                    _ => self.node(command)?,
                };
                if !command.is_for_each() {
                    return Ok(node);
                }
                let gives = given_by(command);
                Ok(each::node(&command.name, node, gives, self.copied))
            })
            .collect()
    }

    /// The node of a search of what is no command.
    fn searched(&mut self, command: &Command, search: &Search) -> Result<Node, PrepareError> {
        let command = Command { matrix: None, ..command.clone() };
        let Node { operation, policy, inputs, edges, body, unkeyed: _ } = self.node(&command)?;
        let (shared, copied) = (Arc::clone(self.shared), self.copied);
        let gives = given_by(&command);
        let template = Template { command, shared, body, gives, copied };
        let tried = What::Other(Box::new(template));
        Prepared { operation, policy, inputs, edges, tried }.search(search)
    }

    fn node(&mut self, command: &Command) -> Result<Node, PrepareError> {
        match &command.work {
            Work::Run(run) => self.command(command, run),
            Work::Task(function) => self.call(command, function),
            Work::Process(process) => self.process(command, process),
            Work::Gather(keys) => {
                Ok(gather::node(shown(self.pipeline, command), edges(command), keys))
            }
            Work::Parts => {
                let (name, policy) = (shown(self.pipeline, command), policy(command, self.chosen));
                Ok(parts::node(name, edges(command), policy, self.shared))
            }
        }
    }

    fn command(&mut self, command: &Command, run: &Run) -> Result<Node, PrepareError> {
        let code = self.code(command)?;
        let unseen = code.placement.notes.iter();
        self.unseen.extend(unseen.map(|note| format!("{}: {note}", command.name)));
        let memo = self.shared.cache.file_memo();
        let (inputs, mut read) = inputs(command, &*memo)?;
        read.extend(in_place(command, &code, &*memo)?);
        let image = command.image.as_ref();
        let container = image.map(|image| self.containers.find(image)).transpose()?;
        let around = Around { container: container.as_ref(), copied: self.copied(command)? };
        let operation = operation(self.pipeline, command, run, &code, &around)?;
        let operation = operation.with_notes(code.notes);
        let seed = seed_of(command, self.chosen)?;
        let (operation, seed) = Drawing::of(operation, command, &inputs, seed)?;
        // Cloned with every trial, which has no search of its own.
        let (search, command) = (&command.matrix, Command { matrix: None, ..command.clone() });
        let (policy, edges) = (policy(&command, self.chosen), edges(&command));
        let running = Running {
            shared: Arc::clone(self.shared),
            run: run.clone(),
            placement: Arc::new(code.placement),
            read,
            seed,
            container,
            claims: self.shared.pools.claims(command.resources.as_ref()),
            keeps: !policy.mode.writes(),
            failed: AtomicU32::new(0),
            command,
        };
        let operation = Arc::new(operation);
        match search {
            Some(search) => {
                let tried = What::Command(Box::new(running));
                Prepared { operation, policy, inputs, edges, tried }.search(search)
            }
            None => Ok(Node {
                operation,
                policy,
                inputs,
                edges,
                unkeyed: None,
                body: Arc::new(running),
            }),
        }
    }

    /// What counts of the code of a command.
    fn code(&mut self, command: &Command) -> Result<Code, PrepareError> {
        let counts = |section| command.cache.counts(section) && command.cache.version.is_none();
        if counts(Section::Code) {
            let mut code = self.codes.of(command)?;
            code.packages.retain(|_| counts(Section::Packages));
            return Ok(code);
        }
        let uncounted = self.codes.uncounted(command)?;
        if !counts(Section::Packages) {
            return Ok(uncounted);
        }
        let Code { packages, notes, .. } = self.codes.of(command)?;
        Ok(Code { packages, notes, ..uncounted })
    }
}

impl Making<'_> {
    /// The digest of the artifacts of an earlier run with which an operation begins: a result
    /// that was made with them is another one.
    fn copied(&self, command: &Command) -> Result<Option<Digest>, PrepareError> {
        let Some(directory) = self.shared.copied_for(&command.name) else { return Ok(None) };
        if command.endurance.artifacts.is_none() {
            return Ok(None);
        }
        let wrong = |reason: String| PrepareError::Input {
            operation: command.name.clone(),
            input: "artifacts".to_owned(),
            reason,
        };
        let (encoding, _) =
            given::found_at(&directory, &*self.shared.cache.file_memo()).map_err(wrong)?;
        plain::digest(&encoding).map(Some).map_err(|error| wrong(error.to_string()))
    }
}

/// The seed that an operation draws from: its own, that of the run, of the file, of the project.
pub(crate) fn seed_of(command: &Command, chosen: &Chosen) -> Result<Option<Seed>, PrepareError> {
    match &command.seed {
        None => Ok(None),
        Some(Drawn::Own(seed)) => Ok(Some(*seed)),
        Some(Drawn::IfAny { stated }) => Ok(chosen.seed.or(*stated).or(chosen.project_seed)),
        Some(Drawn::InForce { at, stated }) => {
            let seed = chosen.seed.or(*stated).or(chosen.project_seed);
            let missing =
                || PrepareError::Seedless { place: at.clone(), operation: command.name.clone() };
            seed.ok_or_else(missing).map(Some)
        }
    }
}

/// What an operation takes and what it comes after, in the order of [`Command::takes`].
pub(crate) fn edges(command: &Command) -> Vec<Edge> {
    let needs = command.needs.iter();
    let needs = needs.map(|from| Edge { from: From::Node(*from), steps: Vec::new() });
    command.takes().map(edge).chain(needs).collect()
}

pub(crate) fn edge(reference: &Reference) -> Edge {
    let mut edge = whole_edge(reference);
    edge.steps.extend(reference.each.then_some(each::EACH));
    edge
}

/// The steps that lead to what an operation gives, outputs and all that a search has besides.
fn given_by(command: &Command) -> Vec<Vec<Step>> {
    let mut names: Vec<String> = command.outputs.iter().map(|(name, _)| name.clone()).collect();
    if let Some(search) = &command.matrix {
        let best = ["params", "trial"].into_iter().chain(names.iter().map(String::as_str));
        let best: Vec<_> = best.map(|name| format!("best.{name}")).collect();
        names.push("trials".to_owned());
        names.extend(best.into_iter().filter(|_| search.metric.is_some()));
    }
    let from = command.maker(0);
    let all = names.into_iter().map(|name| edge(&Reference::new(from, name)).steps);
    if command.gathers() { vec![Vec::new()] } else { all.collect() }
}

fn whole_edge(reference: &Reference) -> Edge {
    match reference.from {
        Maker::Operation(position) => {
            Edge { from: From::Node(position), steps: given::steps(&reference.output) }
        }
        Maker::Whole(position) => Edge { from: From::Node(position), steps: Vec::new() },
        Maker::Entry(position) => {
            let steps = vec![Step(plain::text(&reference.output))];
            Edge { from: From::Node(position), steps }
        }
        Maker::Trial => {
            let steps = vec![Step(plain::text(&reference.output))];
            Edge { from: From::Argument(OF_TRIAL), steps }
        }
        Maker::Parts(position) => {
            Edge { from: From::Node(position), steps: vec![Step(plain::int(0))] }
        }
        // The edge of the process says already which output it is.
        Maker::Argument(number) => Edge { from: From::Argument(number), steps: Vec::new() },
    }
}

/// Files of code that are run from where they are, so that what counts may change until then.
fn in_place(command: &Command, code: &Code, memo: &dyn Memo) -> Result<Vec<Read>, PrepareError> {
    let Placement { absolute, programs, snapshot, .. } = &code.placement;
    let in_place = absolute.iter().chain(programs).filter(|_| snapshot.is_some());
    let read = |path: &PathBuf| {
        let found = given::found_at(path, memo)
            .and_then(|(encoding, _)| plain::digest(&encoding).map_err(|e| e.to_string()));
        let digest = found.map_err(|reason| PrepareError::Input {
            operation: command.name.clone(),
            input: path.display().to_string(),
            reason,
        })?;
        Ok((path.clone(), digest))
    };
    in_place.map(read).collect()
}

/// The values and files that enter the key, sorted by name, and the files of the project among
/// them with the value digests they have.
fn inputs(command: &Command, memo: &dyn Memo) -> Result<(Vec<Input>, Vec<Read>), PrepareError> {
    let wrong = |name: &str, reason: String| PrepareError::Input {
        operation: command.name.clone(),
        input: name.to_owned(),
        reason,
    };
    let (mut all, mut read, mut edges) = (Vec::new(), Vec::new(), 0_u64);
    let mut next_edge = || {
        let mut writer = Writer::new();
        writer.edge(edges);
        edges += 1;
        writer.into_bytes()
    };
    for (name, given) in &command.params {
        let (encoding, preview) = match given {
            Given::Value(value) => {
                let encoding = json::encode(value).map_err(|reason| wrong(name, reason))?;
                (encoding, Preview::text(value.to_string()))
            }
            Given::From(reference) => {
                (next_edge(), Preview::text(format!("{} of another operation", reference.output)))
            }
        };
        if command.cache.counts_io(Section::Params, name) {
            all.push(Input { name: name.clone(), encoding, preview });
        }
    }
    for input in &command.inputs {
        let counts = command.cache.counts_io(Section::Inputs, &input.name);
        let (encoding, preview) = match &input.from {
            Origin::Path(path) => {
                let (encoding, preview) =
                    given::found_at(path, memo).map_err(|reason| wrong(&input.name, reason))?;
                if counts {
                    let digest =
                        plain::digest(&encoding).map_err(|e| wrong(&input.name, e.to_string()))?;
                    read.push((path.clone(), digest));
                }
                (encoding, preview)
            }
            Origin::Output(reference) => {
                (next_edge(), Preview::text(format!("{} of another operation", reference.output)))
            }
        };
        if counts {
            all.push(Input { name: input.name.clone(), encoding, preview });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((all, read))
}

/// What a command finds around it that counts.
struct Around<'a> {
    /// The container it runs in.
    container: Option<&'a Container>,
    /// The artifacts of an earlier run with which it begins.
    copied: Option<Digest>,
}

impl Around<'_> {
    /// What of it counts, by name.
    fn parts(&self, command: &Command) -> Vec<(&'static str, Digest, Preview)> {
        let container = self.container.filter(|_| command.cache.counts(Section::Image));
        let image = container.map(|container| {
            let name = command.image.as_ref().map_or("", |image| &image.name);
            let (counts, shown) = container::described(name, container);
            ("image", plain::digest_text(&counts), Preview::text(shown))
        });
        let copied = self
            .copied
            .map(|copied| ("artifacts", copied, Preview::text("copied from an earlier run")));
        image.into_iter().chain(copied).collect()
    }
}

/// Everything that can change what the command gives, besides its inputs.
fn operation(
    pipeline: &Pipeline,
    command: &Command,
    run: &Run,
    code: &Code,
    around: &Around<'_>,
) -> Result<Operation, PrepareError> {
    let mut fixed = Ingredients::new();
    let mut add = |kind, part: String, digest, preview| {
        fixed.add(kind, part, digest, preview).map_err(|twice| PrepareError::Input {
            operation: command.name.clone(),
            input: kind.word().to_owned(),
            reason: twice.to_string(),
        })
    };
    let text = |text: &str| (plain::digest_text(text), Preview::text(text));
    let (digest, preview) = text(&command.operation);
    add(Kind::Operation, "name".to_owned(), digest, preview)?;
    match &command.cache.version {
        Some(version) => {
            let (digest, preview) = text(version);
            add(Kind::Version, "version".to_owned(), digest, preview)?;
        }
        None => {
            if command.cache.counts(Section::Command) {
                let (digest, preview) = run_part(run);
                add(Kind::Code, "run".to_owned(), digest, preview)?;
            }
            for part in &code.parts {
                add(Kind::Code, part.name.clone(), part.digest, part.preview.clone())?;
            }
        }
    }
    for (name, output) in &command.outputs {
        let (digest, preview) = text(&described(output));
        add(Kind::Signature, format!("output {name}"), digest, preview)?;
    }
    for input in &command.inputs {
        let (digest, preview) = text(&input.to);
        add(Kind::Signature, format!("place of {}", input.name), digest, preview)?;
    }
    if let Some(sections) = &command.cache.sections {
        let (digest, preview) = text(&section::described(sections));
        add(Kind::Config, "sections".to_owned(), digest, preview)?;
    }
    for (name, digest) in variables(command)? {
        // The value of a variable may be a secret.
        add(Kind::Environment, format!("variable {name}"), digest, Preview::Hidden)?;
    }
    for (name, found) in &code.packages {
        let (digest, preview) = text(found);
        add(Kind::Environment, format!("package {name}"), digest, preview)?;
    }
    for (name, digest, preview) in around.parts(command) {
        add(Kind::Environment, name.to_owned(), digest, preview)?;
    }
    if let Some(salt) = &command.cache.salt {
        let (digest, preview) = text(salt);
        add(Kind::Salt, "salt".to_owned(), digest, preview)?;
    }
    let mut texts = code.texts.clone();
    texts.push(run_text(run));
    Ok(Operation::new(shown(pipeline, command), fixed, texts))
}

/// The variables that count, each with the digest of its value.
fn variables(command: &Command) -> Result<Vec<(&str, Digest)>, PrepareError> {
    let env = command.env.iter().filter(|_| command.cache.counts(Section::Env));
    env.map(|(name, value)| {
        let encoding = value.as_ref().map_or_else(none, |value| plain::text(value));
        let digest = plain::digest(&encoding).map_err(|error| PrepareError::Input {
            operation: command.name.clone(),
            input: name.clone(),
            reason: error.to_string(),
        })?;
        Ok((name.as_str(), digest))
    })
    .collect()
}

/// The name of an operation in the history and wherever it is shown.
pub(crate) fn shown(pipeline: &Pipeline, command: &Command) -> String {
    format!("{}:{}", pipeline.name, command.name)
}

fn none() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.none();
    writer.into_bytes()
}

fn run_part(run: &Run) -> (Digest, Preview) {
    let mut writer = Writer::new();
    match run {
        Run::Shell(text) => writer.text(text.as_bytes()),
        Run::Words(words) => {
            writer.open(plain::Container::List, words.len());
            words.iter().for_each(|word| writer.text(word.as_bytes()));
        }
    }
    let (source, _) = run_text(run);
    // What was just written is whole, so it has a digest.
    (plain::digest(writer.as_bytes()).unwrap_or(source), Preview::Source(source))
}

fn run_text(run: &Run) -> (Digest, String) {
    let text = match run {
        Run::Shell(text) => text.clone(),
        Run::Words(words) => words.join("\n"),
    };
    (Digest::of_blob(text.as_bytes()), text)
}

fn described(output: &Output) -> String {
    match output {
        Output::Value => "value".to_owned(),
        Output::File(path) => format!("file {path}"),
        Output::Directory(path) => format!("directory {path}"),
        Output::Metrics(path) => format!("metrics {path}"),
        Output::Plot(path) => format!("plot {path}"),
        Output::Json { path, at } => format!("value at {at} in {path}"),
    }
}

/// Whether computing one operation again means to compute another: its steps, the process
/// that it is a step of, or its copies.
fn reaches(refreshed: &str, name: &str) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let all = unspread(name);
    let is_all = all != name && is_within(&all, refreshed);
    is_within(name, refreshed) || is_within(refreshed, name) || is_all
}

/// Whether an operation is to be computed again.
pub(crate) fn is_refreshed(command: &Command, chosen: &Chosen) -> bool {
    chosen.refresh.iter().any(|name| reaches(name, &command.name))
}

pub(crate) fn policy(command: &Command, chosen: &Chosen) -> Policy {
    let word =
        |disable: Option<bool>| disable.map(|disable| if disable { Mode::Off } else { Mode::On });
    let refreshed = is_refreshed(command, chosen);
    let choices = Choices {
        operation_at_run_time: refreshed.then_some(Mode::Refresh),
        run: chosen.mode,
        definition: word(command.cache.disable),
        workflow: word(command.cache.disable_all),
        project: chosen.project,
        context: chosen.context,
        ..Choices::default()
    };
    let (mode, rule): (Mode, Rule) = choices.decide();
    Policy {
        mode,
        rule,
        serialize: command.cache.serialize,
        max_age: command.cache.ttl,
        expires: command.cache.expires,
        on_failure: match command.cache.shares_failure {
            true => OnFailure::Share,
            false => OnFailure::Next,
        },
        fail_fast: chosen.fail_fast.unwrap_or(command.endurance.fail_fast),
        now: chosen.now,
    }
}
