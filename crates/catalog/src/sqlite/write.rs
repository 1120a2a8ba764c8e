//! One write: a transaction, the time it happens at, and the numbers it hands out.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::time::Duration;

use rusqlite::Connection;

use super::Sqlite;
use super::budget::{self, AT_ONCE, MOMENT};
use super::fault::fault_on;
use super::open::beside;
use super::queue::Queue;
use super::schema::is_busy;
use crate::entry::Time;
use crate::error::CatalogError;

/// How long a writer waits to be woken before it looks by itself, at first and in the end: whoever
/// died, or is no writer, does not say that it let go.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(32)];

/// Writes until one of them looks how long the log is.
const LOOK_EVERY: u32 = 1024;

/// Bytes of the log's file from which on a writer begins it anew: four times what is kept of it.
const LONG_LOG: u64 = 256 << 20;

/// A write transaction under way.
pub(super) struct Write<'a> {
    pub(super) conn: &'a Connection,
    /// When the transaction happens, by the catalog's clock.
    pub(super) now: Time,
    before: Meta,
    epoch: Cell<i64>,
    last_entry: Cell<i64>,
    log_floor: Cell<i64>,
    changed: Cell<bool>,
}

/// The row of `meta` as the transaction found it.
struct Meta {
    clock: Time,
    epoch: i64,
    last_entry: i64,
    log_floor: i64,
}

impl Write<'_> {
    /// The number of the last invalidation or ticket anywhere.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch.get()
    }

    /// Raises the epoch.
    pub(super) fn raise_epoch(&self) -> i64 {
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    /// Raises the numbers that were handed out to at least these.
    pub(super) fn catch_up(&self, last_entry: i64, epoch: i64) {
        self.last_entry.set(self.last_entry.get().max(last_entry));
        self.epoch.set(self.epoch.get().max(epoch).max(self.log_floor.get()));
    }

    /// The last number that was given to an entry.
    pub(super) fn last_entry(&self) -> i64 {
        self.last_entry.get()
    }

    /// A number no entry has had.
    pub(super) fn next_entry(&self) -> i64 {
        self.last_entry.set(self.last_entry.get() + 1);
        self.last_entry.get()
    }

    /// Claims of an epoch below this are refused: what invalidated them is no longer known.
    pub(super) fn log_floor(&self) -> i64 {
        self.log_floor.get()
    }

    /// Raises the log's floor.
    pub(super) fn set_log_floor(&self, floor: i64) {
        self.log_floor.set(floor);
    }

    /// Notes that an entry is removed or replaced, so that other processes learn of it.
    pub(super) fn changes(&self) {
        self.changed.set(true);
    }

    fn save(&self) -> rusqlite::Result<()> {
        let before = &self.before;
        let same = self.epoch.get() == before.epoch
            && self.last_entry.get() == before.last_entry
            && self.log_floor.get() == before.log_floor
            && self.now == before.clock;
        if same {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "UPDATE meta SET clock = ?1, epoch = ?2, last_entry = ?3, log_floor = ?4",
            )?
            .execute((self.now, self.epoch.get(), self.last_entry.get(), self.log_floor.get()))?;
        Ok(())
    }
}

impl Sqlite {
    /// Does `work` in one transaction that has the write lock from its beginning.
    ///
    /// The count of changes is odd from before the commit until after it, wherever the process
    /// dies: a reader that saw an even count before its lookup and sees the same one later has
    /// missed nothing.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Write<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        self.pool.write(|conn| {
            self.transact(conn, work).map_err(|it| fault_on(conn, &self.pool.path, &it))
        })
    }

    /// All that was committed before, by anybody, is on the disk when this returns: it is in the log,
    /// or in the database, which SQLite syncs before it begins the log anew.
    pub(super) fn sync(&self) -> Result<(), CatalogError> {
        let path = beside(&self.pool.path, "-wal");
        match File::open(&path).and_then(|log| log.sync_data()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let reason = format!(
                    "it cannot be synced ({error}), so that what was removed or replaced may be back \
                     after a loss of power; try again"
                );
                Err(CatalogError::Failed { path, reason })
            }
            _ => Ok(()),
        }
    }

    fn transact<T>(
        &self,
        conn: &Connection,
        work: impl FnOnce(&Write<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.take_lock(conn)?;
        self.signal.recover();
        let odd = Cell::new(None);
        let done = self.begin(conn).and_then(|write| {
            let done = work(&write)?;
            write.save()?;
            if write.changed.get() {
                odd.set(Some(self.signal.unsettle()));
            }
            conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(done)
        });
        if done.is_err() && !conn.is_autocommit() {
            // What failed is the news; a transaction that cannot even be rolled back ends with
            // its connection.
            let _ = conn.execute_batch("ROLLBACK");
        }
        if let Some(odd) = odd.get() {
            self.signal.settle(odd);
        }
        if done.is_ok() && self.signal.writes().is_multiple_of(LOOK_EVERY) && self.has_long_log() {
            // It is of no matter for this write whether that succeeds.
            _ = begin_log_anew(conn);
        }
        self.signal.wrote();
        done
    }

    /// Whether readers who come and go have kept the log from being begun anew for long: SQLite
    /// does it only when it meets none of them by chance.
    fn has_long_log(&self) -> bool {
        let log = fs::metadata(beside(&self.pool.path, "-wal"));
        log.is_ok_and(|log| log.len() > LONG_LOG)
    }

    /// Begins a transaction that has the write lock. Who does not get it sleeps until another
    /// write has ended: hundreds of processes that look every millisecond leave no time to write.
    pub(super) fn take_lock(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut queue = Queue::new(&self.signal);
        let [mut pause, longest] = PAUSES;
        loop {
            let begun = AT_ONCE.spend(|| conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]));
            match begun {
                Err(error) if is_busy(&error) && queue.has_patience() => {}
                begun => {
                    budget::begin_work();
                    return begun.map(drop);
                }
            }
            // What ended since he looked, which was before he tried, ends the waiting at once.
            self.signal.await_write(queue.seen(), pause);
            queue.look();
            pause = longest.min(pause * 2);
        }
    }

    fn begin<'a>(&self, conn: &'a Connection) -> rusqlite::Result<Write<'a>> {
        let before = conn
            .prepare_cached("SELECT clock, epoch, last_entry, log_floor FROM meta")?
            .query_row([], |row| {
            Ok(Meta {
                clock: row.get(0)?,
                epoch: row.get(1)?,
                last_entry: row.get(2)?,
                log_floor: row.get(3)?,
            })
        })?;
        Ok(Write {
            conn,
            now: self.ratchet.now_after(before.clock),
            epoch: Cell::new(before.epoch),
            last_entry: Cell::new(before.last_entry),
            log_floor: Cell::new(before.log_floor),
            changed: Cell::new(false),
            before,
        })
    }
}

/// Writes the log back and begins it anew, for which it waits a moment for those who read it:
/// meanwhile nobody can write. The caller has just had the write lock, and nobody was woken yet.
pub(super) fn begin_log_anew(conn: &Connection) -> rusqlite::Result<()> {
    MOMENT.spend(|| step_through(conn, "PRAGMA wal_checkpoint(TRUNCATE)"))
}

/// Runs a pragma that works as long as it is asked for rows.
pub(super) fn step_through(conn: &Connection, pragma: &str) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(pragma)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Mode};

    #[test]
    fn one_write_in_1024_begins_a_log_anew_that_is_too_long() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
        let log = beside(&path, "-wal");
        let length = || fs::metadata(&log).unwrap().len();
        let write = |body: &[u8]| catalog.remember("topic", &[(b"name", body)]).unwrap();
        write(b"before");
        for (long, is_cut) in [(LONG_LOG, false), (LONG_LOG + 1, true)] {
            // SQLite takes what is behind the end of its log for nothing.
            File::options().write(true).open(&log).unwrap().set_len(long).unwrap();
            while catalog.signal.writes() % LOOK_EVERY != LOOK_EVERY - 1 {
                catalog.signal.wrote();
            }
            write(b"the 1,023rd");
            assert_eq!(length(), long, "only one in {LOOK_EVERY} looks");
            write(b"the 1,024th");
            assert_eq!(length() < long, is_cut, "{long}");
        }
        assert_eq!(catalog.recall("topic", b"name").unwrap().unwrap(), b"the 1,024th");
        assert_eq!(catalog.check().unwrap(), []);
    }
}
