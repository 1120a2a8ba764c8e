//! What a run shows while it goes on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thrifty_engine::Outcome;
use thrifty_engine::event::Event;
use thrifty_engine::units::show_duration;

use crate::show::{Counts, count, short_name};

/// How often the live line moves; what happens meanwhile is shown with the next move.
const TICK: Duration = Duration::from_millis(100);

/// Columns of the live line that are not for names.
const BESIDE: u16 = 36;

/// How many names of running operations are shown.
const NAMES: usize = 4;

/// Shows the events of a run on standard error: a live line on a terminal, and in any case one
/// plain line for each operation that was not a hit. Hits are counted.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_live: bool,
    /// How many letters of names there is room for.
    room: usize,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: u64,
    counts: Counts,
    saved: Duration,
    running: Vec<String>,
}

impl Progress {
    /// Progress of a run that begins now.
    pub(crate) fn new(is_live: bool, columns: u16) -> Self {
        let target =
            if is_live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {msg}") {
            bar.set_style(style);
        }
        if is_live {
            bar.enable_steady_tick(TICK);
        }
        // The live line leaves room for the `^C` that the terminal writes behind it: a line that ran
        // over could not be cleared.
        let room = usize::from(columns.saturating_sub(BESIDE));
        Self { bar, is_live, room, began: Instant::now(), state: Mutex::default() }
    }

    /// Takes one event.
    pub(crate) fn take(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begun { operations, .. } | Event::Expanded { operations, .. } => {
                state.operations += *operations as u64;
                self.bar.set_length(state.operations);
            }
            Event::Started { operation, .. } => state.running.push(operation.clone()),
            Event::Settled { operation, label, outcome, spent, saved, .. } => {
                state.settle(operation, outcome, *saved);
                self.bar.inc(1);
                if let Some(line) = settled_line(operation, label, outcome, *spent) {
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
        self.bar.set_message(cut(&state.shown(), self.room));
    }

    /// One line over the whole run.
    pub(crate) fn summary(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { computed, hits, failed, other } = state.counts;
        let mut parts = vec![format!("{computed} computed"), count(hits, "hit")];
        parts.extend((failed > 0).then(|| format!("{failed} failed")));
        parts.extend((other > 0).then(|| format!("{other} not run")));
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
        if self.is_live {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }
}

impl State {
    fn settle(&mut self, operation: &str, outcome: &Outcome, saved: Duration) {
        self.counts.add(outcome.word(), 1);
        self.saved += saved;
        if let Some(at) = self.running.iter().position(|name| name == operation) {
            self.running.remove(at);
        }
    }

    /// What is running: `tournament, train ×2`.
    fn shown(&self) -> String {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for name in self.running.iter().map(|name| short_name(name)) {
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
}

/// The beginning of a text.
fn cut(text: &str, room: usize) -> String {
    match text.char_indices().nth(room) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
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
        Outcome::Computed(_) => format!("  computed     {name}  {}", show_duration(spent)),
        Outcome::Failed(_) => format!("  failed       {name}  {}", show_duration(spent)),
        other => format!("  {:<11}  {name}  {}", other.word(), other.detail()),
    };
    Some(line.trim_end().to_owned())
}
