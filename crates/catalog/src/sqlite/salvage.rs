//! Saving what is sound in a damaged catalog into a new one.
//!
//! The file is never removed or renamed: whoever waits for its locks holds it open, and would
//! write into a file that nobody reads any more. Its bytes are replaced, under SQLite's own
//! exclusive lock, after a copy of it was made that stays. The crash windows:
//!
//! | a process dies | then |
//! |---|---|
//! | before the first page is replaced by a note of the copy | the damaged catalog is as it was |
//! | until the new first page is written, last of all | the file is no database; the next repair finds the note, and begins with the copy |
//!
//! Numbers never repeat: entries and epochs go on above all that were seen, and above the time in
//! milliseconds, should none be left to be seen. Commits begun before are refused, as the log of
//! invalidations begins anew.

mod rows;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::rows::Source;
use super::clock::{Clock, System};
use super::fault::fault;
use super::{Mode, Sqlite, open};
use crate::contract::Catalog;
use crate::error::CatalogError;

/// How long a repair waits for others to close the catalog.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a page of every catalog.
const PAGE: usize = 4096;

/// How a file begins that is being replaced; the name of its copy follows, up to a newline.
const NOTE: &str = "thrifty catalog under repair, saved as ";

/// Where SQLite keeps its locks on a database, and how many bytes.
const LOCKS: (i64, i64) = (0x4000_0000, 512);

/// What was saved of a damaged catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Salvaged {
    /// Entries that match their seals with all their parts.
    pub entries: u64,
    /// Entries of which something was found, and not all.
    pub lost: u64,
    /// The damaged file, as it was.
    pub aside: PathBuf,
}

/// A damaged catalog that was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// Others have it open.
    #[error("the catalog {} is open in process {process}: end it, and repair again", path.display())]
    InUse {
        /// The catalog.
        path: PathBuf,
        /// One of those who have it open; 0 if the system does not say.
        process: i32,
    },
    /// It is a sound database of another program.
    #[error("{} is the database of another program: move it away, or set THRIFTY_HOME to another directory", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot repair the catalog: {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The new catalog could not be made.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Sqlite {
    /// Saves what is sound in the damaged catalog at `path` into a new one in its place. The
    /// damaged file stays beside it, under a name with the time. Nobody may have it open, this
    /// process included.
    ///
    /// # Errors
    ///
    /// [`SalvageError`]. A repair that was interrupted is to be repeated.
    pub fn salvage(path: &Path) -> Result<Salvaged, SalvageError> {
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
        lock(&file, path)?;
        let aside = match noted(&mut file, path)? {
            Some(aside) => aside,
            None => put_aside(&mut file, path)?,
        };
        let work = path.with_extension("rebuild");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir(&work).map_err(at(&work))?;
        let fresh = work.join("new.sqlite");
        let saved = rebuild(path, &aside, &work, &fresh)?;
        replace(&mut file, path, &fresh, &aside)?;
        let _ = fs::remove_dir_all(&work);
        Ok(Salvaged { aside, ..saved })
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SalvageError + '_ {
    |source| SalvageError::File { path: path.to_owned(), source }
}

/// Takes SQLite's exclusive lock. Every connection to a catalog holds a shared one while it is
/// open, so whoever comes now waits until it is given back.
fn lock(file: &File, path: &Path) -> Result<(), SalvageError> {
    let began = Instant::now();
    loop {
        match try_lock(file) {
            Ok(None) => return Ok(()),
            Ok(Some(process)) if began.elapsed() > PATIENCE => {
                return Err(SalvageError::InUse { path: path.to_owned(), process });
            }
            Ok(Some(_)) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(at(path)(error)),
        }
    }
}

/// Takes the lock, or says who has one.
fn try_lock(file: &File) -> io::Result<Option<i32>> {
    // The lock belongs to the open file, where the system can do that, and not to the process:
    // closing another descriptor of the same file would drop it.
    #[cfg(target_os = "linux")]
    let (set, get) = (libc::F_OFD_SETLK, libc::F_OFD_GETLK);
    #[cfg(not(target_os = "linux"))]
    let (set, get) = (libc::F_SETLK, libc::F_GETLK);
    // SAFETY: `flock` is a plain structure for which zeros are valid.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = libc::F_WRLCK as libc::c_short;
    wanted.l_whence = libc::SEEK_SET as libc::c_short;
    (wanted.l_start, wanted.l_len) = LOCKS;
    // SAFETY: the descriptor is open and the structure lives through the call.
    if unsafe { libc::fcntl(file.as_raw_fd(), set, &raw const wanted) } == 0 {
        return Ok(None);
    }
    let error = io::Error::last_os_error();
    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::PermissionDenied) {
        return Err(error);
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(file.as_raw_fd(), get, &raw mut wanted) };
    Ok(Some(wanted.l_pid.max(0)))
}

/// The copy that an interrupted repair has made.
fn noted(file: &mut File, path: &Path) -> Result<Option<PathBuf>, SalvageError> {
    let mut page = Vec::new();
    file.rewind().map_err(at(path))?;
    file.take(PAGE as u64).read_to_end(&mut page).map_err(at(path))?;
    let name = page.strip_prefix(NOTE.as_bytes()).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        str::from_utf8(&rest[..end]).ok()
    });
    Ok(name.map(|name| path.with_file_name(name)))
}

/// Copies the damaged file and its log to names of their own.
fn put_aside(file: &mut File, path: &Path) -> Result<PathBuf, SalvageError> {
    let aside = free_name(path);
    let copied = copy(path, &aside).and_then(|()| match copy(&log(path), &log(&aside)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        copied => copied,
    });
    if let Err(error) = copied {
        // Half a copy is none, and takes the space that was short.
        let _ = (fs::remove_file(&aside), fs::remove_file(log(&aside)));
        return Err(at(&aside)(error));
    }
    file.rewind().map_err(at(path))?;
    sync_directory(path)?;
    Ok(aside)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// `catalog.damaged-` and the time, with a number if there is one of this second.
fn free_name(path: &Path) -> PathBuf {
    let seconds = System.wall() / 1000;
    let name = |number: u32| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        path.with_extension(format!("damaged-{seconds}{number}"))
    };
    (0..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(0))
}

fn log(path: &Path) -> PathBuf {
    open::beside(path, "-wal")
}

fn sync_directory(path: &Path) -> Result<(), SalvageError> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory).and_then(|it| it.sync_all()).map_err(at(directory))
}

/// Makes the new catalog out of the copy.
fn rebuild(path: &Path, aside: &Path, work: &Path, fresh: &Path) -> Result<Salvaged, SalvageError> {
    drop(Sqlite::open(fresh, Mode::ReadWrite)?);
    let failed = |error: rusqlite::Error| fault(path, &error);
    let layout = layout(&fs::read(fresh).map_err(at(fresh))?);
    let target = open::writer(fresh)?;
    let mut source = Source::new(&target);
    let mut is_ours = false;
    for (name, pages) in [("as-found.sqlite", &[][..]), ("as-made.sqlite", &layout)] {
        let copy = work.join(name);
        fs::copy(aside, &copy).map_err(at(&copy))?;
        let _ = fs::copy(log(aside), log(&copy));
        readable(&copy, pages).map_err(at(&copy))?;
        let old = Connection::open(&copy).map_err(failed)?;
        is_ours |= !pages.is_empty() || !is_foreign(&old);
        if !is_ours {
            return Err(SalvageError::Foreign { path: path.to_owned() });
        }
        source.save(&old).map_err(failed)?;
    }
    let saved = source.finish(System.wall()).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    let catalog = Sqlite::open(fresh, Mode::ReadWrite)?;
    catalog.mend(&catalog.check()?)?;
    Ok(saved)
}

/// Whether it is a sound database with tables, and none of them ours.
fn is_foreign(old: &Connection) -> bool {
    let count = |sql: &str| old.query_row(sql, [], |row| row.get::<_, i64>(0));
    let all = count("SELECT count(*) FROM sqlite_schema");
    let ours = count("SELECT count(*) FROM sqlite_schema WHERE name IN ('entry', 'meta', 'slot')");
    matches!((all, ours), (Ok(1..), Ok(0)))
}

/// A page of a file, by its number from zero.
type Page = (usize, Vec<u8>);

/// The pages of a new catalog that say where its tables are: the first, and those it leads to. All
/// tables are made at once, so they are in the same places in every catalog made by this version.
fn layout(fresh: &[u8]) -> Vec<Page> {
    let page = |number: usize| Some((number, fresh.get(number * PAGE..)?.get(..PAGE)?.to_vec()));
    let number = |at: usize| {
        let bytes: [u8; 4] = fresh.get(at..at + 4)?.try_into().ok()?;
        (u32::from_be_bytes(bytes) as usize).checked_sub(1)
    };
    let half = |at: usize| {
        fresh.get(at..at + 2).map_or(0, |it| usize::from(it[0]) << 8 | usize::from(it[1]))
    };
    let mut pages = vec![page(0)];
    // Behind the header of the database stands that of its first page: of an inner one, type 5,
    // with the number of its cells, its last child, and where each cell begins with its child.
    if fresh.get(100) == Some(&5) {
        pages.push(number(108).and_then(page));
        let children = (0..half(103)).map(|cell| number(half(112 + 2 * cell)));
        pages.extend(children.map(|child| child.and_then(page)));
    }
    pages.into_iter().flatten().collect()
}

/// Makes a copy such that SQLite does not refuse it as a whole: what stands in the header of every
/// catalog is written anew, and these pages are.
fn readable(copy: &Path, pages: &[Page]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(copy)?;
    let length = file.metadata()?.len().next_multiple_of(PAGE as u64).max(PAGE as u64);
    file.set_len(length)?;
    for (number, page) in pages {
        file.seek(SeekFrom::Start((number * PAGE) as u64))?;
        file.write_all(page)?;
    }
    let mut header = vec![0; 100];
    file.rewind()?;
    file.read_exact(&mut header)?;
    header[..16].copy_from_slice(b"SQLite format 3\0");
    // The size of a page; written and read as a log; nothing reserved; fractions that never vary.
    header[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
    let count = u32::try_from(length / PAGE as u64).unwrap_or(u32::MAX).to_be_bytes();
    header[28..32].copy_from_slice(&count);
    // The count of pages is taken for true only if the two counters agree.
    header.copy_within(24..28, 92);
    // The format of the schema, and UTF-8.
    header[44..48].copy_from_slice(&4_u32.to_be_bytes());
    header[56..60].copy_from_slice(&1_u32.to_be_bytes());
    file.rewind()?;
    file.write_all(&header)
}

/// Writes the new catalog over the damaged one, its first page last.
fn replace(file: &mut File, path: &Path, fresh: &Path, aside: &Path) -> Result<(), SalvageError> {
    let failed = at(path);
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    let mut note = format!("{NOTE}{name}\n").into_bytes();
    note.resize(PAGE, 0);
    let mut new = File::open(fresh).map_err(at(fresh))?;
    let mut first = vec![0; PAGE];
    new.read_exact(&mut first).map_err(at(fresh))?;
    let write = |file: &mut File, page: &[u8]| {
        file.rewind()?;
        file.write_all(page)?;
        file.sync_all()
    };
    write(file, &note).map_err(&failed)?;
    // Its pages would be laid over those of the new catalog.
    match OpenOptions::new().write(true).open(log(path)) {
        Ok(log) => log.set_len(0).and_then(|()| log.sync_all()).map_err(&failed)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    file.seek(SeekFrom::Start(PAGE as u64)).map_err(&failed)?;
    io::copy(&mut new, file).map_err(&failed)?;
    let length = new.metadata().map_err(at(fresh))?.len();
    file.set_len(length).and_then(|()| file.sync_all()).map_err(&failed)?;
    write(file, &first).map_err(&failed)?;
    sync_directory(path)
}
