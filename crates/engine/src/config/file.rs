//! Reads the nearest configuration file.

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Field, Raw, Raws, Setting, Source, unknown_field};

/// The raw values of the nearest file upward that configures thrifty; none if there is no such
/// file. Only a file that exists is parsed.
pub(super) fn read_nearest(directory: &Path) -> Result<Raws, ConfigError> {
    for directory in directory.ancestors() {
        for (name, is_shared) in [("thrifty.toml", false), ("pyproject.toml", true)] {
            let path = directory.join(name);
            let Some(text) = read(&path)? else { continue };
            // A project of another tool need not be parsed, and may be broken.
            if is_shared && !text.contains("thrifty") {
                continue;
            }
            if let Some(raws) = parse(&path, &text, is_shared)? {
                return Ok(raws);
            }
        }
    }
    Ok(Raws::default())
}

fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        // Where no more files can be opened, it can still be told that this one is not there.
        Err(_) if path.try_exists().is_ok_and(|is_there| !is_there) => Ok(None),
        Err(error) => {
            Err(ConfigError::Unreadable { path: path.to_owned(), reason: reason(&error) })
        }
    }
}

fn reason(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => {
            format!("{error}; close files, or raise the limit (`ulimit -n`)")
        }
        _ => error.to_string(),
    }
}

/// `None` if the file is shared with other tools and has no section for thrifty.
fn parse(path: &Path, text: &str, is_shared: bool) -> Result<Option<Raws>, ConfigError> {
    let file = File { path, text };
    let document = DeTable::parse(text).map_err(|error| file.syntax(&error))?;
    let table = document.get_ref();
    if !is_shared {
        return file.fields(table).map(Some);
    }
    let tool = table.get("tool").and_then(|tool| tool.get_ref().as_table());
    let Some(section) = tool.and_then(|tool| tool.get("thrifty")) else {
        return Ok(None);
    };
    match section.get_ref().as_table() {
        Some(table) => file.fields(table).map(Some),
        None => Err(ConfigError::Syntax {
            path: path.to_owned(),
            line: file.line(section.span().start),
            reason: "`tool.thrifty` must be a table".to_owned(),
        }),
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError::Syntax {
            path: self.path.to_owned(),
            line: self.line(error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        }
    }

    fn fields(&self, table: &DeTable<'_>) -> Result<Raws, ConfigError> {
        let mut raws = Raws::default();
        for (key, value) in table.iter() {
            let at = Field::ALL.iter().position(|field| field.name() == key.get_ref().as_ref());
            let at = at.ok_or_else(|| {
                unknown_field(self.path, self.line(key.span().start), key.get_ref())
            })?;
            raws[at] = Some(self.raw(Field::ALL[at], value)?);
        }
        Ok(raws)
    }

    fn raw(&self, field: Field, value: &Spanned<DeValue<'_>>) -> Result<Raw, ConfigError> {
        let source = Source::File(self.path.to_owned(), self.line(value.span().start));
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if field.is_number() && number.radix() == 10 => {
                number.as_str().replace('_', "")
            }
            DeValue::Boolean(truth) if field == Field::Observe => truth.to_string(),
            other => {
                let written = &self.text[value.span()];
                return Err(field.wrong(&source, format!("the {} {written}", other.type_str())));
            }
        };
        Ok(Setting { value: text, source })
    }
}
