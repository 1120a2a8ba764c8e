//! Files that a key was made of. While a body runs somebody may change them, and then nobody knows
//! which content the body read: its result must not be stored under that key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use thrifty_engine::store::StatIdentity;
use thrifty_engine::store::scan::ScanError;
use thrifty_key::Digest;

use crate::value::codec::Place;

/// A `File` or `Dir` among the arguments, as it entered the key.
#[derive(Debug, Clone)]
pub struct Argument {
    place: Place,
    encoding: Vec<u8>,
}

impl Argument {
    /// What is at a place, by what stands for its content.
    pub const fn new(place: Place, encoding: Vec<u8>) -> Self {
        Self { place, encoding }
    }

    /// What stood for the content of this place.
    pub fn encoding_at(&self, place: &Place) -> Option<&[u8]> {
        (self.place == *place).then_some(&self.encoding)
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
    is_settled: bool,
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
            is_settled: identity.is_settled(SystemTime::now()),
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
        if self.is_settled && identity_of(&self.absolute) == Some(self.identity) {
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

/// A file that is not what it was.
pub struct Change {
    /// Which.
    pub path: PathBuf,
    /// What became of it, for people.
    pub text: String,
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

    /// The first that is not what it was. What was only touched, or put in the place of the
    /// other with the same content, is.
    pub fn change(&self) -> Option<Change> {
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
        Some(Change { path, text })
    }
}
