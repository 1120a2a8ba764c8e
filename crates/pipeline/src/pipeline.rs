//! A pipeline whose parts fit together and whose parameters are set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use thrifty_engine::{Context, Seed};

use crate::container::Image;
use crate::document::{Output, Run};
use crate::endurance::Endurance;
use crate::error::Place;
use crate::expand::Search;
use crate::join::Joined;
use crate::resources::Needed;
use crate::section::Section;
use crate::ticks::Ticks;
use crate::tools::Tool;

/// A pipeline that can be run: every reference leads somewhere, nothing leads in a circle, every
/// path stays within its directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The name, after the file's.
    pub name: String,
    /// The directory of the operation file: paths in it start here.
    pub base: PathBuf,
    /// The operations, each after those it takes from.
    pub commands: Vec<Command>,
    /// What the pipeline gives.
    pub deliveries: Vec<Delivered>,
    /// When it runs.
    pub schedule: Option<Ticks>,
}

/// An operation of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The name by which it is shown and chosen; of a step, `process.step`.
    pub name: String,
    /// The name that counts, `file:operation`: a step of a used file keeps that of its own file.
    pub operation: String,
    /// The directory of the file it stands in: paths start here.
    pub base: Arc<Path>,
    /// What it does.
    pub work: Work,
    /// The values the command uses, sorted by name.
    pub params: Vec<(String, Given)>,
    /// The files it reads, in the order of the file.
    pub inputs: Vec<Placed>,
    /// What it makes, in the order of the file.
    pub outputs: Vec<(String, Output)>,
    /// Its environment variables, sorted by name; `None` if the caller has none of that name.
    pub env: Vec<(String, Option<String>)>,
    /// The files and directories it runs, sorted.
    pub code: Vec<Script>,
    /// Those of them that its words name otherwise than to run them: it may read their text.
    pub texts: Vec<PathBuf>,
    /// The programs in Python that it runs.
    pub programs: Vec<Program>,
    /// Its words that may be names of programs on the `PATH`, sorted.
    pub called: Vec<String>,
    /// What its text assigns to variables, in order.
    pub assigned: Vec<(String, String)>,
    /// The program it begins with, if that is certain.
    pub tool: Option<Tool>,
    /// Files, directories and patterns elsewhere that its text names and that it does not declare.
    pub undeclared: Vec<PathBuf>,
    /// Inputs that this one does not have, and that its command may name: their path is empty.
    pub absent: Vec<String>,
    /// The operations it comes after without taking anything from them.
    pub needs: Vec<usize>,
    /// How it uses the cache.
    pub cache: Caching,
    /// The seed it draws from, if it does.
    pub seed: Option<Drawn>,
    /// Lists of what earlier runs gave, not asked for yet.
    pub joins: Vec<Joined>,
    /// The image it runs in, if it runs in a container.
    pub image: Option<Image>,
    /// What of the machine it needs.
    pub resources: Option<Needed>,
    /// What it is tried with, if it is a search.
    pub matrix: Option<Search>,
    /// What it does about failures, and what of it outlasts an attempt.
    pub endurance: Endurance,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
}

/// From which seed an operation draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawn {
    /// From the one in force.
    InForce {
        /// Where it asks for one.
        at: Place,
        /// The one that its file states.
        stated: Option<Seed>,
    },
    /// From the one in force, if there is one.
    IfAny {
        /// The one that its file states.
        stated: Option<Seed>,
    },
    /// From this one, whatever is in force.
    Own(Seed),
}

/// A file or directory of code that a command names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Script {
    /// The word that names it.
    pub word: String,
    /// Where it is.
    pub path: PathBuf,
    /// Where the command finds it, relative to its directory; `None` if it is there already.
    pub to: Option<String>,
}

/// A program in Python that a command runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// The interpreter, as the command names it.
    pub interpreter: String,
    /// What it runs.
    pub runs: Runs,
}

/// What an interpreter runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runs {
    /// A file: `python train.py`.
    File(String),
    /// A module: `python -m package.train`.
    Module(String),
    /// A text: `python -c`, or a here-document.
    Text(String),
    /// What another program gives it.
    Unknown,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// It runs a command: templates over `params`, `inputs` and `outputs`.
    Run(Run),
    /// It calls a function of a language.
    Task(Function),
    /// It becomes other operations.
    Process(Process),
    /// It puts together what copies of an operation gave: by these keys, from the outermost, that
    /// of each param in its place.
    Gather(Vec<Vec<String>>),
    /// It tells the parts of what its param leads to, or else its input: those of a list or mapping, the files of a
    /// directory.
    Parts,
}

/// A function of a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its module and name, as `module:function`.
    pub target: String,
    /// Where the file names it.
    pub at: Place,
    /// Whether its outputs are entries of what it returns; else its one output is all of it.
    pub is_taken_apart: bool,
}

/// Operations that are one: looked up as one first, and each alone if that is a miss.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// The steps, each after those it takes from.
    pub steps: Vec<Command>,
    /// Which output of which step each of its outputs is.
    pub gives: Vec<(String, Reference)>,
}

/// How an operation uses the cache: its own choices, and under them those of what is around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caching {
    /// Whether the operation itself says that it does not.
    pub disable: Option<bool>,
    /// Whether the process or the file around it says so: the nearest that says something.
    pub disable_all: Option<bool>,
    /// The oldest result it accepts.
    pub ttl: Option<Duration>,
    /// How long a new result is valid.
    pub expires: Option<Duration>,
    /// What stands in for its code.
    pub version: Option<String>,
    /// What keeps its results apart.
    pub salt: Option<String>,
    /// The inputs and params that count, if not all.
    pub io: Option<Vec<String>>,
    /// The sections that count, if not all.
    pub sections: Option<BTreeSet<Section>>,
    /// Whether one process computes while others wait.
    pub serialize: bool,
    /// Whether those who wait share its failure.
    pub shares_failure: bool,
}

impl Caching {
    /// Whether a section counts.
    pub(crate) fn counts(&self, section: Section) -> bool {
        self.sections.as_ref().is_none_or(|sections| sections.contains(&section))
    }

    /// Whether an input or param of this name counts.
    pub(crate) fn counts_io(&self, section: Section, name: &str) -> bool {
        self.counts(section)
            && self.io.as_ref().is_none_or(|io| io.iter().any(|known| known == name))
    }
}

/// A value for a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// This one.
    Value(Json),
    /// A JSON output of another operation.
    From(Reference),
}

/// A file or directory that a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The name.
    pub name: String,
    /// Where it comes from.
    pub from: Origin,
    /// Where the command finds it, relative to its directory.
    pub to: String,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file or directory that is there.
    Path(PathBuf),
    /// An output of another operation.
    Output(Reference),
}

/// An output of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Who makes it.
    pub from: Maker,
    /// The name of the output; of an argument, its own name.
    pub output: String,
    /// Whether it is, of a mapping by partition, what belongs to the partition that takes it.
    pub each: bool,
}

/// Who makes what an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Maker {
    /// The operation at this position beside it.
    Operation(usize),
    /// The function at this position: all that it returns.
    Whole(usize),
    /// The function at this position: an entry of what it returns.
    Entry(usize),
    /// The trial of the search that it is: one of its params.
    Trial,
    /// The parts of something that the operation at this position tells.
    Parts(usize),
    /// Whoever makes what the process around it takes: the argument of this number, counted as
    /// [`Command::takes`] does.
    Argument(usize),
}

/// Something the pipeline gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its name.
    pub name: String,
    /// The output.
    pub from: Reference,
    /// Where it is put when the run has succeeded.
    pub to: Option<PathBuf>,
}

impl Pipeline {
    /// In what circumstances its operations run that are started by hand: alone, if there is but
    /// one and that is a command and nothing more. An operation of several stays a part of them,
    /// also where it alone is asked for.
    pub fn context(&self) -> Context {
        match self.commands.as_slice() {
            [Command { work: Work::Run(_), matrix: None, .. }] if self.schedule.is_none() => {
                Context::Lone
            }
            _ => Context::Pipeline,
        }
    }

    /// Whether it calls functions of a language, or has trials suggested by it.
    pub fn needs_language(&self) -> bool {
        let mut open: Vec<&Command> = self.commands.iter().collect();
        while let Some(command) = open.pop() {
            if command.matrix.as_ref().is_some_and(|search| search.suggested().is_some()) {
                return true;
            }
            match &command.work {
                Work::Task(_) => return true,
                Work::Process(process) => open.extend(&process.steps),
                Work::Run(_) | Work::Gather(_) | Work::Parts => {}
            }
        }
        false
    }

    /// The names of all operations, steps included.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut open: Vec<&Command> = self.commands.iter().rev().collect();
        while let Some(command) = open.pop() {
            if !command.is_between() {
                names.push(command.name.as_str());
            }
            if let Work::Process(process) = &command.work {
                open.extend(process.steps.iter().rev());
            }
        }
        names
    }

    /// The positions of an operation: of one that is spread, those of all its copies.
    pub(crate) fn positions(&self, name: &str) -> Vec<usize> {
        let is = |command: &Command| {
            !command.is_between() && (command.name == name || unspread(&command.name) == name)
        };
        let all = self.commands.iter().enumerate().filter(|(_, command)| is(command));
        all.map(|(position, _)| position).collect()
    }
}

/// A name without what tells the copies of operations apart.
pub fn unspread(name: &str) -> String {
    let (mut rest, mut plain) = (name, String::new());
    while let Some((before, inside)) = rest.split_once('[') {
        plain.push_str(before);
        rest = inside.split_once(']').map_or("", |(_, after)| after);
    }
    plain + rest
}

impl Reference {
    /// The whole of an output.
    pub const fn new(from: Maker, output: String) -> Self {
        Self { from, output, each: false }
    }

    /// The position of the operation, if it is one beside.
    pub const fn operation(&self) -> Option<usize> {
        match self.from {
            Maker::Operation(position)
            | Maker::Whole(position)
            | Maker::Entry(position)
            | Maker::Parts(position) => Some(position),
            Maker::Argument(_) | Maker::Trial => None,
        }
    }
}

impl Command {
    /// The files and directories of the project that it, or a step of it, reads.
    pub(crate) fn reads(&self) -> Box<dyn Iterator<Item = &Path> + '_> {
        let inputs = self.inputs.iter().filter_map(|input| match &input.from {
            Origin::Path(path) => Some(path.as_path()),
            Origin::Output(_) => None,
        });
        let own = inputs.chain(self.code.iter().map(|script| script.path.as_path()));
        match &self.work {
            Work::Process(process) => {
                Box::new(own.chain(process.steps.iter().flat_map(Self::reads)))
            }
            _ => Box::new(own),
        }
    }

    /// Whether all it does is to put together what others gave.
    pub(crate) const fn gathers(&self) -> bool {
        matches!(self.work, Work::Gather(_))
    }

    /// Whether it is there only for what other operations take.
    pub(crate) const fn is_between(&self) -> bool {
        matches!(self.work, Work::Gather(_) | Work::Parts)
    }

    /// Whether it is done once for each partition that the run tells.
    pub(crate) fn is_for_each(&self) -> bool {
        self.takes().any(|reference| reference.each)
    }

    /// The command that it runs, if it runs one.
    pub fn run(&self) -> Option<&Run> {
        match &self.work {
            Work::Run(run) => Some(run),
            Work::Task(_) | Work::Process(_) | Work::Gather(_) | Work::Parts => None,
        }
    }

    /// Whose outputs its outputs are, at this position.
    pub(crate) const fn maker(&self, position: usize) -> Maker {
        match &self.work {
            // What a search gives has one form.
            _ if self.matrix.is_some() => Maker::Operation(position),
            Work::Task(Function { is_taken_apart: true, .. }) => Maker::Entry(position),
            Work::Task(_) => Maker::Whole(position),
            Work::Gather(_) => Maker::Whole(position),
            Work::Parts => Maker::Parts(position),
            Work::Run(_) | Work::Process(_) => Maker::Operation(position),
        }
    }

    /// The outputs of other operations that it takes, in the order in which they become edges:
    /// first those of its params, then those of its inputs.
    pub fn takes(&self) -> impl Iterator<Item = &Reference> {
        let params = self.params.iter().filter_map(|(_, given)| match given {
            Given::From(reference) => Some(reference),
            Given::Value(_) => None,
        });
        let inputs = self.inputs.iter().filter_map(|input| match &input.from {
            Origin::Output(reference) => Some(reference),
            Origin::Path(_) => None,
        });
        params.chain(inputs)
    }

    /// How many edges its params take: those of its inputs follow them.
    pub(crate) fn value_edges(&self) -> usize {
        self.params.iter().filter(|(_, given)| matches!(given, Given::From(_))).count()
    }
}
