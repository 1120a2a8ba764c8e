//! Connections: one that writes, as many that read as there are readers at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::budget;
use super::fork::{Closes, enter};
use super::queue::Queue;
use super::signal::Signal;
use super::{Mode, open};
use crate::error::CatalogError;

/// Idle readers kept open.
const KEPT: usize = 16;
/// How long a thread waits for the writer before it looks whether the others get on.
const LOOK: Duration = Duration::from_millis(100);

/// The connections of one catalog in this process. Reads never wait for writes.
pub(super) struct Pool {
    pub(super) path: PathBuf,
    mode: Mode,
    signal: Arc<Signal>,
    writer: Mutex<Option<Connection>>,
    /// `None` if the catalog lives in the writer's memory, where no other connection sees it.
    readers: Option<Mutex<Vec<Connection>>>,
}

impl Pool {
    /// The connections to the file at `path`; `first` is one of them.
    pub(super) fn of_file(
        path: PathBuf,
        mode: Mode,
        signal: Arc<Signal>,
        first: Connection,
    ) -> Self {
        let (writer, readers) = match mode {
            Mode::ReadWrite => (Some(first), Vec::new()),
            Mode::ReadOnly => (None, vec![first]),
        };
        Self { path, mode, signal, writer: Mutex::new(writer), readers: Some(Mutex::new(readers)) }
    }

    /// The one connection to a catalog in memory.
    pub(super) fn in_memory(signal: Arc<Signal>, only: Connection) -> Self {
        Self {
            path: PathBuf::from(":memory:"),
            mode: Mode::ReadWrite,
            signal,
            writer: Mutex::new(Some(only)),
            readers: None,
        }
    }

    /// Lends a connection for reading.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let _gate = enter();
        let Some(readers) = &self.readers else {
            let writer = self.lock()?;
            budget::begin_work();
            return work(writer.as_ref().expect("a catalog in memory is never closed"));
        };
        let idle = readers.lock().pop();
        let (conn, once) = match idle {
            Some(conn) => (conn, false),
            None => open::reader(&self.path)?,
        };
        let done = work(&conn);
        if is_damaged(&done) {
            readers.lock().clear();
            if let Some(mut writer) = self.writer.try_lock() {
                *writer = None;
            }
        } else if !once && conn.is_autocommit() {
            keep(readers, conn);
        }
        done
    }

    /// Lends the connection for writing; there is one writer at a time.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let _gate = enter();
        let mut writer = self.writer()?;
        let conn = writer.as_ref().expect("just opened");
        let done = work(conn);
        if let Some(readers) = &self.readers {
            if is_damaged(&done) {
                readers.lock().clear();
            }
            // A transaction that can be neither committed nor rolled back ends with its
            // connection.
            if is_damaged(&done) || !conn.is_autocommit() {
                *writer = None;
            }
        }
        done
    }

    /// Closes what this process has open.
    pub(super) fn shut(&self) {
        if let Some(readers) = &self.readers {
            readers.lock().clear();
        }
        *self.writer.lock() = None;
    }

    fn writer(&self) -> Result<MutexGuard<'_, Option<Connection>>, CatalogError> {
        if self.mode == Mode::ReadOnly {
            let (path, reason) = (self.path.clone(), "it was opened for reading".to_owned());
            return Err(CatalogError::ReadOnly { path, reason });
        }
        let mut writer = self.lock()?;
        if writer.is_none() {
            *writer = Some(open::writer(&self.path)?);
        }
        Ok(writer)
    }

    /// Waits for other threads of this process as long as for other processes.
    fn lock(&self) -> Result<MutexGuard<'_, Option<Connection>>, CatalogError> {
        let mut queue = Queue::new(&self.signal);
        loop {
            if let Some(writer) = self.writer.try_lock_for(LOOK) {
                queue.waits_on();
                return Ok(writer);
            }
            queue.look();
            if !queue.has_patience() {
                return Err(CatalogError::Busy { path: self.path.clone() });
            }
        }
    }
}

/// Whether the call met damage. Then nothing is kept open: a repair needs the file for itself, and
/// what is opened afterwards is what it made.
const fn is_damaged<T>(done: &Result<T, CatalogError>) -> bool {
    matches!(done, Err(CatalogError::Damaged { .. }))
}

fn keep(readers: &Mutex<Vec<Connection>>, conn: Connection) {
    let mut idle = readers.lock();
    if idle.len() < KEPT {
        idle.push(conn);
    }
}

impl Closes for Pool {
    fn close(&self) {
        let Some(readers) = &self.readers else {
            return;
        };
        readers.lock().clear();
        if let Some(writer) = self.writer.lock().take() {
            // The fork waits for this: leave writing the log back to a later close. If the
            // setting fails, closing only takes longer.
            let _ = writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}
