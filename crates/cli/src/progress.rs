//! What a run shows while it goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use thrifty_engine::event::Event;
use thrifty_engine::units::show_duration;
use thrifty_engine::{Outcome, Reason};

use crate::console::escaped;
use crate::show::{Counts, count, short_name};

/// How often the live line moves; what happens meanwhile is shown with the next move.
const TICK: Duration = Duration::from_millis(100);

/// Of how many operations that come together each that is computed has a line of its own.
const CROWD: usize = 50;

/// How many names of running operations are shown.
const NAMES: usize = 4;

/// Shows the events of a run on standard error: a live line on a terminal, and in any case one
/// plain line for each operation that was not a hit. Hits are counted.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_live: bool,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: u64,
    counts: Counts,
    saved: Duration,
    reasons: BTreeMap<&'static str, u64>,
    running: Vec<String>,
    waiting: HashMap<usize, String>,
    /// Operations of which it was said that they wait.
    waited: HashSet<usize>,
    /// Where operations begin and end that came together in great number.
    crowds: Vec<std::ops::Range<usize>>,
}

impl Progress {
    /// Progress of a run that begins now.
    pub(crate) fn new(is_live: bool) -> Self {
        let target = if is_live {
            ProgressDrawTarget::term_like(Box::new(Stderr))
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {wide_msg}")
        {
            bar.set_style(style);
        }
        if is_live {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, is_live, began: Instant::now(), state: Mutex::default() }
    }

    /// Takes one event.
    pub(crate) fn take(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begun { operations, .. } | Event::Expanded { operations, .. } => {
                let first = usize::try_from(state.operations).unwrap_or(usize::MAX);
                if *operations > CROWD && matches!(event, Event::Expanded { .. }) {
                    state.crowds.push(first..first.saturating_add(*operations));
                }
                state.operations += *operations as u64;
                self.bar.set_length(state.operations);
            }
            Event::Started { number, operation } => {
                state.waiting.remove(number);
                state.running.push(operation.clone());
            }
            Event::Waiting { number, operation, behind } => {
                if state.wait(*number, operation) {
                    self.say(&format!("  waiting      {}  for {behind}", short_name(operation)));
                }
            }
            Event::PutOff { number, operation, after, message } => {
                state.put_off(*number, operation);
                let (name, after) = (short_name(operation), show_duration(*after));
                let first = message.lines().next().unwrap_or_default();
                self.say(&format!("  failed       {name}  {first}; once more in {after}"));
            }
            Event::Settled { number, operation, label, outcome, reason, spent, saved } => {
                state.settle(*number, operation, outcome, *saved);
                if let Some(reason) = reason {
                    *state.reasons.entry(reason.word()).or_default() += 1;
                }
                self.bar.inc(1);
                // On a terminal, a line for each of thousands would push away all others.
                let is_one_of_many = self.is_live
                    && matches!(outcome, Outcome::Computed(_))
                    && state.crowds.iter().any(|crowd| crowd.contains(number));
                let line = settled_line(operation, label, outcome, *spent);
                if let Some(line) = line.filter(|_| !is_one_of_many) {
                    self.say(&line);
                }
            }
            Event::Reopened { reason, .. } => self.say(&format!("  again        {reason}")),
            Event::Checking { operations } => {
                self.bar.set_position(0);
                self.bar.set_length(*operations as u64);
                state.running = vec!["check".to_owned()];
            }
            Event::Checked(_) => self.bar.inc(1),
            Event::Ended => self.bar.finish_and_clear(),
        }
        self.bar.set_message(escaped(&state.shown()));
    }

    /// One line over the whole run.
    pub(crate) fn summary(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { computed, hits, failed, skipped, other } = state.counts;
        let mut parts = vec![format!("{computed} computed"), count(hits, "hit")];
        parts.extend((failed > 0).then(|| format!("{failed} failed")));
        parts.extend((skipped > 0).then(|| format!("{skipped} taken from before")));
        parts.extend((other > 0).then(|| format!("{other} not run")));
        parts.extend(Reason::summary(state.reasons.iter().map(|(word, times)| (*word, *times))));
        parts.extend(
            (!state.saved.is_zero()).then(|| format!("saved {}", show_duration(state.saved))),
        );
        parts.push(format!("took {}", show_duration(self.began.elapsed())));
        parts.join(", ")
    }

    /// Clears the live line, also when the run did not end by itself.
    pub(crate) fn close(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        let line = escaped(line);
        if self.is_live {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }
}

impl State {
    /// Whether it is news that an operation waits.
    fn wait(&mut self, number: usize, operation: &str) -> bool {
        self.stop(operation);
        self.waiting.insert(number, operation.to_owned());
        self.waited.insert(number)
    }

    fn put_off(&mut self, number: usize, operation: &str) {
        self.stop(operation);
        self.waiting.insert(number, operation.to_owned());
    }

    fn settle(&mut self, number: usize, operation: &str, outcome: &Outcome, saved: Duration) {
        self.counts.add(outcome.word(), 1);
        self.saved += saved;
        if self.waiting.remove(&number).is_none() {
            self.stop(operation);
        }
    }

    fn stop(&mut self, operation: &str) {
        if let Some(at) = self.running.iter().position(|name| name == operation) {
            self.running.remove(at);
        }
    }

    /// What is running, and what waits: `tournament, train ×2; waiting: clean`.
    fn shown(&self) -> String {
        let running = listed(self.running.iter());
        match listed(self.waiting.values()) {
            waiting if waiting.is_empty() => running,
            waiting if running.is_empty() => format!("waiting: {waiting}"),
            waiting => format!("{running}; waiting: {waiting}"),
        }
    }
}

/// Names of operations, each once.
fn listed<'a>(operations: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for name in operations.map(|name| short_name(name)) {
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => *times += 1,
            None => names.push((name, 1)),
        }
    }
    let more = names.len().saturating_sub(NAMES);
    let shown = names.iter().take(NAMES).map(|(name, times)| match times {
        1 => (*name).to_owned(),
        _ => format!("{name} ×{times}"),
    });
    let mut parts: Vec<_> = shown.collect();
    parts.extend((more > 0).then(|| format!("{more} more")));
    parts.join(", ")
}

/// What is said of an operation; nothing of a hit.
fn settled_line(
    operation: &str,
    label: &str,
    outcome: &Outcome,
    spent: Duration,
) -> Option<String> {
    let name = format!("{} {label}", short_name(operation));
    let name = name.trim_end();
    let line = match outcome {
        outcome if outcome.is_hit() => return None,
        Outcome::Expanded => return None,
        Outcome::Computed(_) => format!("  computed     {name}  {}", show_duration(spent)),
        Outcome::Failed(_) => format!("  failed       {name}  {}", show_duration(spent)),
        other => format!("  {:<11}  {name}  {}", other.word(), other.detail()),
    };
    Some(line.trim_end().to_owned())
}

/// Standard error as a terminal that is a little narrower than it is: the terminal itself writes
/// `^C` behind the live line, and a line that ran over could not be cleared.
#[derive(Debug)]
struct Stderr;

/// Columns that are left free.
const FREE: u16 = 4;
/// The columns of a terminal that does not say.
const COLUMNS: u16 = 80;

impl Stderr {
    /// Moves the cursor; by nothing, terminals would move it by one.
    fn go(&self, cells: usize, direction: char) -> io::Result<()> {
        if cells == 0 { Ok(()) } else { write!(io::stderr(), "\x1b[{cells}{direction}") }
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        let columns = comfy_table::Table::new().width().filter(|columns| *columns > 0);
        columns.unwrap_or(COLUMNS).saturating_sub(FREE).max(1)
    }

    fn move_cursor_up(&self, cells: usize) -> io::Result<()> {
        self.go(cells, 'A')
    }

    fn move_cursor_down(&self, cells: usize) -> io::Result<()> {
        self.go(cells, 'B')
    }

    fn move_cursor_right(&self, cells: usize) -> io::Result<()> {
        self.go(cells, 'C')
    }

    fn move_cursor_left(&self, cells: usize) -> io::Result<()> {
        self.go(cells, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{text}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(io::stderr(), "\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
