//! Whether and how the cache is used, and who decided it.

use std::time::Duration;

/// Whether an operation reads and writes the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Look up; compute and store on a miss.
    #[default]
    On,
    /// Do not look up; compute, and replace what is stored.
    Refresh,
    /// Look up; compute on a miss, and store nothing.
    ReadOnly,
    /// Neither look up nor store.
    Off,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::On, Self::Refresh, Self::ReadOnly, Self::Off];

    /// The word for the mode in configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Refresh => "refresh",
            Self::ReadOnly => "read-only",
            Self::Off => "off",
        }
    }

    /// The mode of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// Whether the cache is asked before computing.
    pub const fn reads(self) -> bool {
        matches!(self, Self::On | Self::ReadOnly)
    }

    /// Whether results are stored.
    pub const fn writes(self) -> bool {
        matches!(self, Self::On | Self::Refresh)
    }
}

/// The rule that decided the mode of an operation, most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Chosen for this operation at run time (`--refresh train`).
    OperationAtRunTime,
    /// Chosen for the whole run at run time (`--no-cache`, `with_options`, environment).
    Run,
    /// Chosen at this invocation (`with_overrides`).
    Invocation,
    /// Chosen at the definition of the operation.
    Definition,
    /// Chosen at the definition of the enclosing workflow.
    Workflow,
    /// Chosen in the project's configuration.
    Project,
    /// An operation within it is off, and would be skipped by a hit of the whole.
    Within,
    /// Nobody chose, and it is a lone operation.
    Lone,
    /// Nobody chose, and an earlier run is restarted or resumed.
    Again,
    /// Nobody chose.
    Default,
}

impl Rule {
    /// What is recorded and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OperationAtRunTime => "operation at run time",
            Self::Run => "run",
            Self::Invocation => "invocation",
            Self::Definition => "definition",
            Self::Workflow => "workflow",
            Self::Project => "project",
            Self::Within => "operation within",
            Self::Lone => "lone operation",
            Self::Again => "restart or resume",
            Self::Default => "default",
        }
    }
}

/// In what circumstances an operation runs: they decide where nobody chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Context {
    /// As a part of something, or called from code: on.
    #[default]
    Pipeline,
    /// Alone, as a command that somebody wants to see run: off.
    Lone,
    /// An earlier run is restarted or resumed, which is asked for so that it runs: off.
    Again,
}

impl Context {
    /// The mode where nobody chose, and the rule behind it.
    const fn decide(self) -> (Mode, Rule) {
        match self {
            Self::Pipeline => (Mode::On, Rule::Default),
            Self::Lone => (Mode::Off, Rule::Lone),
            Self::Again => (Mode::Off, Rule::Again),
        }
    }
}

/// What each level chose, if it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choices {
    /// For this operation at run time.
    pub operation_at_run_time: Option<Mode>,
    /// For the whole run at run time.
    pub run: Option<Mode>,
    /// At this invocation.
    pub invocation: Option<Mode>,
    /// At the definition of the operation.
    pub definition: Option<Mode>,
    /// At the definition of the enclosing workflow.
    pub workflow: Option<Mode>,
    /// In the project's configuration.
    pub project: Option<Mode>,
    /// What decides if none of these chose.
    pub context: Context,
}

impl Choices {
    /// The most specific choice, and the rule behind it.
    ///
    /// ```
    /// use thrifty_engine::{Choices, Mode, Rule};
    ///
    /// let choices = Choices { run: Some(Mode::Off), definition: Some(Mode::On), ..Choices::default() };
    /// assert_eq!(choices.decide(), (Mode::Off, Rule::Run));
    /// assert_eq!(Choices::default().decide(), (Mode::On, Rule::Default));
    /// ```
    pub fn decide(self) -> (Mode, Rule) {
        let Self { operation_at_run_time, run, invocation, definition, workflow, project, context } =
            self;
        [
            (operation_at_run_time, Rule::OperationAtRunTime),
            (run, Rule::Run),
            (invocation, Rule::Invocation),
            (definition, Rule::Definition),
            (workflow, Rule::Workflow),
            (project, Rule::Project),
        ]
        .into_iter()
        .find_map(|(mode, rule)| Some((mode?, rule)))
        .unwrap_or_else(|| context.decide())
    }
}

/// What waiters do when the computation they wait for fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// One of them computes.
    #[default]
    Next,
    /// All of them fail with it.
    Share,
}

/// How one call uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether it reads and writes.
    pub mode: Mode,
    /// Who decided the mode.
    pub rule: Rule,
    /// Compute once across processes: others wait.
    pub serialize: bool,
    /// Wait for nobody: compute beside whoever computes it already.
    pub now: bool,
    /// What waiters do when the computation fails.
    pub on_failure: OnFailure,
    /// Once it has failed, nothing begins in its run any more.
    pub fail_fast: bool,
    /// The oldest entry the reader accepts.
    pub max_age: Option<Duration>,
    /// How long a new entry is valid.
    pub expires: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::On,
            rule: Rule::Default,
            serialize: false,
            now: false,
            on_failure: OnFailure::Next,
            fail_fast: false,
            max_age: None,
            expires: None,
        }
    }
}
