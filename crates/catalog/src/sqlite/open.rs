//! Opening: what can be wrong with the file and the place it is in.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::budget;
use super::fault::fault;
use super::schema::{FORMAT, Made, bring_up, fill_in, inspect, is_busy};
use super::signal::Signal;
use crate::error::CatalogError;

/// Statements kept prepared by each connection; more than there are in this crate.
const STATEMENTS: usize = 96;

/// Pages in the log before it is written back, at 4 KiB each. Writing back costs a sync, and a page
/// changed by many commits is written once.
const LOG_PAGES: i64 = 4000;

/// Bytes of the log's file that are kept when it begins anew. It grows beyond them while a reader
/// stays, which may be for as long as a whole collection.
const LOG_KEPT: i64 = 64 << 20;

/// A connection for writing; makes the catalog if there is none.
pub(super) fn writer(path: &Path) -> Result<Connection, CatalogError> {
    check_place(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn =
        Connection::open_with_flags(path, flags).map_err(|error| refusal(path, &error))?;
    let made = prepare(&mut conn).map_err(|error| refusal(path, &error))?;
    accept(path, made)?;
    if conn.is_readonly("main").map_err(|error| fault(path, &error))? {
        return Err(CatalogError::ReadOnly {
            path: path.to_owned(),
            reason: "the file cannot be written".to_owned(),
        });
    }
    Ok(conn)
}

/// Why a catalog cannot be opened for writing. On a mount for reading only, SQLite merely says that
/// it cannot open what it needs beside the file.
fn refusal(path: &Path, error: &Error) -> CatalogError {
    let is_refused = error.sqlite_error_code() == Some(ErrorCode::CannotOpen);
    match access(path, Access::WRITE_OK) {
        Err(reason @ (Errno::ROFS | Errno::ACCESS | Errno::PERM)) if is_refused => {
            CatalogError::ReadOnly { path: path.to_owned(), reason: reason.to_string() }
        }
        _ => fault(path, error),
    }
}

/// A connection for reading a catalog that exists, and whether it must be used only once: it
/// takes the file for unchanging, and never notices that it changed.
pub(super) fn reader(path: &Path) -> Result<(Connection, bool), CatalogError> {
    check_place(path)?;
    if let Err(error) = path.metadata() {
        return Err(unreadable(path, error.to_string()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(checked);
    let once = opened.as_ref().is_err_and(|error| is_frozen(path, error));
    let opened = if once { frozen(path).and_then(checked) } else { opened };
    let (conn, made) = opened.map_err(|error| fault(path, &error))?;
    accept(path, made)?;
    Ok((conn, once))
}

/// A catalog in memory.
pub(super) fn memory() -> Result<Connection, CatalogError> {
    let path = Path::new(":memory:");
    let mut conn = Connection::open_in_memory().map_err(|error| fault(path, &error))?;
    prepare(&mut conn).map_err(|error| fault(path, &error))?;
    Ok(conn)
}

fn checked(mut conn: Connection) -> Result<(Connection, Made), Error> {
    configure(&mut conn)?;
    let made = inspect(&conn)?;
    if let Made::Earlier(found) = made {
        fill_in(&conn, found)?;
    }
    Ok((conn, made))
}

fn configure(conn: &mut Connection) -> Result<(), Error> {
    budget::limit(conn)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise what is bound may lead to another plan, and a prepared statement is prepared again.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", -8192)
}

fn prepare(conn: &mut Connection) -> Result<Made, Error> {
    configure(conn)?;
    let made = inspect(conn)?;
    if matches!(made, Made::Newer(_) | Made::Older(_) | Made::Foreign) {
        return Ok(made);
    }
    if made == Made::Empty {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    keep_log(conn)?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    if made == Made::Current { Ok(made) } else { bring_up(conn) }
}

/// Turns on the write-ahead log. SQLite does not wait for others here, so this does.
fn keep_log(conn: &Connection) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let set = conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match set {
            Err(error) if is_busy(&error) && began.elapsed() < budget::patience() => {
                thread::sleep(Duration::from_millis(1));
            }
            set => return set,
        }
    }
}

fn accept(path: &Path, made: Made) -> Result<(), CatalogError> {
    let path = path.to_owned();
    match made {
        // A reader of an earlier format finds views of what it lacks.
        Made::Current | Made::Earlier(_) => Ok(()),
        Made::Newer(found) => Err(CatalogError::Newer { path, found, known: FORMAT }),
        Made::Older(found) => Err(CatalogError::Older { path, found, known: FORMAT }),
        Made::Foreign => Err(CatalogError::Damaged {
            path,
            reason: "it is the database of another program".to_owned(),
        }),
        Made::Empty => Err(CatalogError::Unreadable {
            path,
            reason: "it is empty: nothing was ever cached here".to_owned(),
        }),
    }
}

/// Whether the catalog lies in a directory where SQLite cannot make the files it needs beside it,
/// and can do without them because the log was written back.
fn is_frozen(path: &Path, error: &Error) -> bool {
    let refused =
        matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
    let log = beside(path, "-wal");
    refused && log.metadata().map_or(true, |log| log.len() == 0)
}

/// Reads the file as it lies there, without locks.
fn frozen(path: &Path) -> Result<Connection, Error> {
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => name.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => name.push(char::from(*byte)),
            byte => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(name, flags)
}

/// The path of a file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses what SQLite would describe badly or, on a network filesystem, damage.
fn check_place(path: &Path) -> Result<(), CatalogError> {
    if path.is_dir() {
        return Err(unreadable(path, "it is a directory".to_owned()));
    }
    let place = match path.parent() {
        Some(place) if !place.as_os_str().is_empty() => place,
        _ => Path::new("."),
    };
    match place.metadata() {
        Ok(found) if !found.is_dir() => {
            let reason = format!("{} is not a directory", place.display());
            return Err(unreadable(path, reason));
        }
        Ok(_) => {}
        Err(error) => return Err(unreadable(path, format!("{}: {error}", place.display()))),
    }
    match network(place) {
        Some(kind) => Err(unreadable(
            path,
            format!(
                "it is on a network filesystem ({kind}), where SQLite files get damaged; \
                 set THRIFTY_HOME to a local directory"
            ),
        )),
        None => Ok(()),
    }
}

/// The name of the network filesystem a directory is on, if it is on one.
#[cfg(target_os = "linux")]
fn network(place: &Path) -> Option<&'static str> {
    const KINDS: [(u64, &str); 8] = [
        (0x6969, "nfs"),
        (0x517b, "smb"),
        (0xfe53_4d42, "smb2"),
        (0xff53_4d42, "cifs"),
        (0x00c3_6400, "ceph"),
        (0x5346_414f, "afs"),
        (0x7375_7245, "coda"),
        (0x0bd0_0bd0, "lustre"),
    ];
    let found = rustix::fs::statfs(place).ok()?.f_type;
    // The field is signed on some machines and some kinds have the topmost of 32 bits set.
    let found = u64::from(found as u32);
    KINDS.iter().find(|(kind, _)| *kind == found).map(|(_, name)| *name)
}

/// Other systems do not tell in one way.
#[cfg(not(target_os = "linux"))]
fn network(_place: &Path) -> Option<&'static str> {
    None
}

fn unreadable(path: &Path, reason: String) -> CatalogError {
    let path = path.to_owned();
    CatalogError::Unreadable { path, reason }
}

/// The shared words beside a catalog opened for writing.
pub(super) fn signal(path: &Path) -> Result<Signal, CatalogError> {
    let file = path.with_extension("changes");
    Signal::shared(&file).map_err(|error| {
        let reason = format!("{}: {error}", file.display());
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                CatalogError::Full { path }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                CatalogError::ReadOnly { path, reason }
            }
            _ => CatalogError::Unreadable { path, reason },
        }
    })
}

/// The shared words beside a catalog opened for reading. Where there are none, every look at
/// them says that something may have changed.
pub(super) fn watched(path: &Path) -> Signal {
    Signal::watched(&path.with_extension("changes")).unwrap_or_else(|_| Signal::blind())
}
