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
        match std::fs::read(&path) {
            Ok(key) if key.len() == LENGTH => return Ok(key),
            Ok(_) => {
                let text = format!("{} is damaged; delete it, and operations with secrets run again", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::fs::create_dir_all(home)?;
        let mut key = vec![0; LENGTH];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        // Whole under another name first: no process ever sees half a key, and of two that make
        // one, the first to link it wins.
        let draft = home.join(format!("secret.key.{}", std::process::id()));
        _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&key)?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft)?;
        match linked {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::fs::read(&path),
            Err(error) => Err(error),
        }
    }
}
