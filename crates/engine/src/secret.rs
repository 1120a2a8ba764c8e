//! The key under which digests of secrets are made.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::cache::Cache;

/// Bytes of the key.
const LENGTH: usize = 32;

impl Cache {
    /// The key that keeps digests of secrets from being guessed, made at first use in the
    /// directory of the cache, for its user alone.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn secret_key(&self, home: &Path) -> io::Result<Vec<u8>> {
        let path = home.join("secret.key");
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            known => return known,
        }
        crate::cache::make_private(home)?;
        let mut random = [0; LENGTH + 8];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let (key, name) = random.split_at(LENGTH);
        // Whole under a name of its own first: nobody ever sees half a key, and of those that
        // make one at once, the first to link it wins.
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let draft = home.join(format!("secret.key.{name}"));
        let written = write(&draft, key).and_then(|()| std::fs::hard_link(&draft, &path));
        _ = std::fs::remove_file(&draft);
        match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => read(&path),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let key = std::fs::read(path)?;
    if key.len() == LENGTH {
        return Ok(key);
    }
    let text =
        format!("{} is damaged; delete it, and operations with secrets run again", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

fn write(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()
}
