//! Files that a key was made of. While a body runs somebody may change them, and then nobody knows
//! which content the body read: its result must not be stored under that key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use pyo3::prelude::*;
use thrifty_engine::store::StatIdentity;
use thrifty_engine::store::scan::ScanError;
use thrifty_key::Digest;

use crate::observe::{self, Gathered};
use crate::value::codec::{self, Place};

/// A `File` or `Dir` among the arguments, as it entered the key.
#[derive(Debug, Clone)]
pub struct Argument {
    place: Place,
    encoding: Vec<u8>,
}

/// The files among arguments that are being encoded.
#[derive(Default)]
pub struct Arguments<'a> {
    /// Those that an earlier look found: their content is taken to be as it was then.
    pub known: &'a [Argument],
    /// Those that were found now.
    pub met: Vec<Argument>,
}

impl Arguments<'_> {
    /// What stands for the content of a `File` or `Dir`; `None` for any other value. Bodies for
    /// which this thread runs depend on it.
    ///
    /// # Errors
    ///
    /// `OSError` with what is in the way.
    pub fn encoding(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
        let Some(place) = Place::of(value)? else {
            return Ok(None);
        };
        if let Some(known) = self.known.iter().find(|known| known.place == place) {
            return Ok(Some(known.encoding.clone()));
        }
        // Before its content is taken: a change between the two is noticed.
        observe::read(value.py(), &place.path, place.is_directory());
        let encoding = codec::file_encoding(value)?;
        if let Some(encoding) = &encoding {
            self.met.push(Argument { place, encoding: encoding.clone() });
        }
        Ok(encoding)
    }
}

/// A file that is named in `Cache(files=…)` or `Cache(sources=…)`, as it entered the key.
#[derive(Debug)]
pub struct Named {
    given: PathBuf,
    /// From the working directory of then.
    absolute: PathBuf,
    identity: StatIdentity,
    /// Whether any later change shows in the identity.
    is_lasting: bool,
    digest: Digest,
}

impl Named {
    /// A file whose content is about to be read.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn look(path: &str) -> std::io::Result<Self> {
        let identity = StatIdentity::of(&std::fs::metadata(path)?);
        Ok(Self {
            given: PathBuf::from(path),
            absolute: std::path::absolute(path)?,
            identity,
            is_lasting: identity.is_lasting(SystemTime::now()),
            digest: Digest::of_blob(&[]),
        })
    }

    /// The same, with this content.
    pub fn holding(self, content: &[u8]) -> Self {
        Self { digest: Digest::of_blob(content), ..self }
    }

    /// Whether what the path leads to now is the identical file.
    pub fn is_current(&self) -> bool {
        identity_of(&self.given) == Some(self.identity)
    }

    /// What became of it, as words for people. The content decides; it is read only if the file
    /// may be another one.
    fn change(&self) -> Option<String> {
        if self.is_lasting && identity_of(&self.absolute) == Some(self.identity) {
            return None;
        }
        match std::fs::read(&self.absolute) {
            Ok(content) if Digest::of_blob(&content) == self.digest => None,
            Ok(_) => Some("was changed".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some("was removed".to_owned())
            }
            Err(error) => Some(format!("became unreadable ({error})")),
        }
    }
}

fn identity_of(path: &Path) -> Option<StatIdentity> {
    std::fs::metadata(path).ok().map(|metadata| StatIdentity::of(&metadata))
}

/// The files that one key was made of.
#[derive(Debug, Clone, Default)]
pub struct OnDisk {
    arguments: Vec<Argument>,
    named: Arc<[Named]>,
}

impl OnDisk {
    /// The files among the arguments, and those that were named.
    pub const fn new(arguments: Vec<Argument>, named: Arc<[Named]>) -> Self {
        Self { arguments, named }
    }

    /// Those among the arguments.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// Where those among the arguments are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.arguments.iter().map(|argument| argument.place.path.clone()).collect()
    }

    /// What is known of a body that was given them and is over: none of them may have changed.
    pub fn check(&self, py: Python<'_>, gathered: Gathered) -> Gathered {
        if gathered.problem.is_some() {
            return gathered;
        }
        match py.detach(|| self.change()) {
            Some((path, text)) => gathered.of_changed(&path, text),
            None => gathered,
        }
    }

    /// The first that is not what it was, and a sentence. What was only touched, or put in the
    /// place of the other with the same content, is.
    fn change(&self) -> Option<(PathBuf, String)> {
        let arguments = self.arguments.iter().filter_map(|argument| {
            let became = match argument.place.encoding() {
                Ok(now) if now == argument.encoding => return None,
                Ok(_) | Err(ScanError::Changed { .. }) => "was changed".to_owned(),
                Err(ScanError::Missing { .. }) => "was removed".to_owned(),
                Err(error) => format!("became unreadable ({error})"),
            };
            Some((argument.place.path.clone(), became))
        });
        let named = self.named.iter().filter_map(|it| Some((it.given.clone(), it.change()?)));
        let (path, became) = arguments.chain(named).next()?;
        let text = format!("the input {} {became} while the task ran", path.display());
        Some((path, text))
    }
}

/// Digest (hexadecimal), length and whether it is executable.
#[pyfunction]
#[pyo3(name = "_scan_file")]
fn scanned_file(py: Python<'_>, path: PathBuf) -> PyResult<(String, u64, bool)> {
    observe::read(py, &path, false);
    let file = codec::scan_file(py, &path)?;
    Ok((file.digest.to_string(), file.length, file.executable))
}

/// Digest (hexadecimal), length of all files, and their paths.
#[pyfunction]
#[pyo3(name = "_scan_directory")]
fn scanned_directory(py: Python<'_>, path: PathBuf) -> PyResult<(String, u64, Vec<String>)> {
    observe::read(py, &path, true);
    let manifest = codec::scan_directory(py, &path)?;
    let paths = manifest.files().map(|(path, _)| path.to_owned()).collect();
    Ok((manifest.digest().to_string(), manifest.length(), paths))
}

/// Adds the functions to the module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(scanned_file, module)?)?;
    module.add_function(wrap_pyfunction!(scanned_directory, module)?)
}
