//! Where a verb reads and writes, and what it looks like there.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use thrifty_engine::catalog::Scope;
use thrifty_engine::config::{Settings, Variables};
use thrifty_engine::{Cache, OpenError};

use crate::failure::Failure;

/// The surroundings of one command. A test gives its own.
pub struct Console<'a> {
    /// Where results go.
    pub out: &'a mut dyn Write,
    /// Where progress, hints and errors go.
    pub err: &'a mut dyn Write,
    /// Where answers to questions come from; `None` if nobody is there to answer.
    pub input: Option<&'a mut dyn BufRead>,
    /// The columns of the terminal that results go to; `None` if they go to no terminal.
    pub width: Option<u16>,
    /// Whether progress is shown live.
    pub is_live: bool,
    /// Whether results are coloured.
    pub is_coloured: bool,
    /// The working directory.
    pub directory: PathBuf,
    /// The environment.
    pub variables: Variables<'a>,
}

/// How many rows of what will be lost are shown.
const LISTED: usize = 50;

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Console<'_> {
    /// The configuration here.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::find(&self.directory, self.variables)?)
    }

    /// The cache that the configuration names.
    pub(crate) fn cache(&self) -> Result<Arc<Cache>, Failure> {
        Ok(self.open(self.settings()?)?)
    }

    /// The cache that these settings name, or why it cannot be opened.
    pub(crate) fn open(&self, settings: Settings) -> Result<Arc<Cache>, OpenError> {
        let Settings { home, project, domain, lease, .. } = settings;
        let scope = Scope { project: project.value, domain: domain.value };
        let cache = Cache::open_scope(home.value, scope)?;
        cache.set_lease(lease.value);
        Ok(cache)
    }

    /// The text in this colour, if results are coloured.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.is_coloured || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Red => 31,
            Paint::Green => 32,
            Paint::Yellow => 33,
            Paint::Cyan => 36,
        };
        let mark = MARK.as_str();
        format!("{mark}{code}m{text}{mark}0m")
    }

    /// Writes one line of a result.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{}", shown(text.trim_end()))?)
    }

    /// Writes one line beside the result.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.err, "{}", shown(text))?)
    }

    /// Writes a result for programs.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut *self.out, value)?;
        self.line("")
    }

    /// Writes a table in aligned lines, fitted to the terminal if there is one. Columns of which
    /// the heading ends with a space hold numbers.
    pub(crate) fn table<const N: usize>(
        &mut self,
        heading: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result<(), Failure> {
        for line in self.aligned(heading, rows) {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes a table beside the result.
    pub(crate) fn notes<const N: usize>(
        &mut self,
        heading: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result<(), Failure> {
        for line in self.aligned(heading, rows) {
            writeln!(self.err, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The lines of a table, as they are shown: its columns are as wide as what is seen of the cells.
    fn aligned<const N: usize>(
        &self,
        heading: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(heading.map(|title| shown(&self.paint(Paint::Bold, title.trim_end()))));
        table.add_rows(rows.into_iter().map(|row| row.map(|cell| shown(&cell))));
        if let Some(width) = self.width {
            table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
        }
        for (column, title) in table.column_iter_mut().zip(heading) {
            column.set_padding((0, 2));
            if title.ends_with(' ') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().collect()
    }

    /// Writes the beginning of a table of what will be lost, and how much of it is left out.
    pub(crate) fn excerpt<const N: usize>(
        &mut self,
        heading: [&str; N],
        rows: impl ExactSizeIterator<Item = [String; N]>,
    ) -> Result<(), Failure> {
        let left_out = rows.len().saturating_sub(LISTED);
        self.table(heading, rows.take(LISTED))?;
        if left_out > 0 {
            self.line(&format!("… and {left_out} more"))?;
        }
        Ok(())
    }

    /// Asks before something is lost.
    pub(crate) fn confirm(&mut self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        let Some(input) = self.input.as_mut() else {
            return Err(Failure::Usage(format!("{question}: add --yes to go on")));
        };
        write!(self.err, "{}? [y/N] ", shown(question))?;
        self.err.flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Interrupted),
        }
    }
}

/// Begins each colour until it is shown. Nobody can guess it, so no stored text has one.
static MARK: LazyLock<String> =
    LazyLock::new(|| format!("\x1b{}:", RandomState::new().hash_one("colour")));

/// A text with its colours as it is written to a terminal.
fn shown(text: &str) -> String {
    let mut pieces = text.split(MARK.as_str()).map(escaped);
    let first = pieces.next().unwrap_or_default();
    pieces.fold(first, |before, piece| before + "\x1b[" + &piece)
}

/// A text, of whoever it is, that does nothing to a terminal but stand there: its control characters
/// are shown, but for newlines and tabs, and so is what reorders a line.
pub(crate) fn escaped(text: &str) -> String {
    let reorders = |c: char| {
        let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
        marks.contains(&c) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let is_plain = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || reorders(c));
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { escaped.push(c) } else { escaped.extend(c.escape_default()) }
    }
    escaped
}

/// The environment of this process.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Whether results are coloured: on a terminal, unless `NO_COLOR` says no; elsewhere if
/// `CLICOLOR_FORCE` says so.
pub(crate) fn is_coloured(is_terminal: bool, variables: Variables<'_>) -> bool {
    let is_set = |name| variables(name).is_some_and(|value| !value.is_empty());
    let is_forced =
        variables("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    !is_set("NO_COLOR") && (is_terminal || is_forced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        let cases = [
            (true, None, None, true),
            (false, None, None, false),
            (true, Some("1"), None, false),
            (true, Some(""), None, true),
            (false, None, Some("1"), true),
            (false, None, Some("0"), false),
            (false, None, Some(""), false),
            (false, Some("1"), Some("1"), false),
        ];
        for (is_terminal, no_color, force, expected) in cases {
            let variables = |name: &str| {
                let value = if name == "NO_COLOR" { no_color } else { force };
                value.map(OsString::from)
            };
            let coloured = is_coloured(is_terminal, &variables);
            assert_eq!(coloured, expected, "{is_terminal} {no_color:?} {force:?}");
        }
    }
}
