//! `file/1` and `dir/1`: what `thrifty.File` and `thrifty.Dir` stand for.
//!
//! Header of both: the plain tuple `(name,)`, the last component of the path. A file has one
//! buffer, its bytes, and says in the header whether it is executable: `(name, executable)`. A
//! directory's first buffer is its manifest (`docs/formats/blob.md`), the others are the
//! contents the manifest names, each once, in the order of their first path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use thrifty_engine::record::{Buffer, Source};
use thrifty_key::Digest;
use thrifty_key::plain::{Container, Writer};
use thrifty_key::tree::{self, Manifest};
use thrifty_store::links::Access;
use thrifty_store::scan::{self, ScanError};
use thrifty_store::{BlobName, Blobs, restore};

use super::digested::digested;
use super::error::unreadable;
use super::{Parts, header, loaded_type, only};

/// The codec of a file and its version.
pub(super) const FILE: &str = "file/1";
/// The codec of a directory and its version.
pub(super) const DIRECTORY: &str = "dir/1";

/// Where files and directories become files again.
pub struct Shelf<'a> {
    /// The store; it verifies.
    pub blobs: &'a dyn Blobs,
    /// The directory under which they are placed, on the filesystem of the store if possible.
    pub files: &'a Path,
    /// Keeps what is placed by a digest from being collected while this process lives.
    pub hold: &'a (dyn Fn(&Digest) + Sync),
}

/// The content of a file as it is now; an unchanged one costs a stat.
///
/// # Errors
///
/// `FileNotFoundError`, or `OSError` with what is in the way.
pub fn scan_file(py: Python<'_>, path: &Path) -> PyResult<tree::File> {
    py.detach(|| scan::file(path, digested())).map_err(os_error)
}

/// The content of a directory as it is now; unchanged files cost a stat.
///
/// # Errors
///
/// As [`scan_file`].
pub fn scan_directory(py: Python<'_>, path: &Path) -> PyResult<Manifest> {
    py.detach(|| scan::directory(path, digested())).map_err(os_error)
}

fn os_error(error: ScanError) -> PyErr {
    match error {
        ScanError::Missing { .. } => PyFileNotFoundError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// What stands for a `thrifty.File` or `thrifty.Dir` in encodings: its content, not its path.
/// `None` for any other value.
///
/// # Errors
///
/// As [`scan_file`].
pub fn encoding(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let Some(place) = Place::of(value)? else {
        return Ok(None);
    };
    value.py().detach(|| place.encoding()).map(Some).map_err(os_error)
}

/// Where a `thrifty.File` or `thrifty.Dir` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path, which is absolute.
    pub path: PathBuf,
    class: Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    File,
    Directory,
}

impl Place {
    /// Where such a value is; `None` for any other value.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        match class_of(value)? {
            Some(class) => Ok(Some(Self { path: path_of(value)?, class })),
            None => Ok(None),
        }
    }

    /// Whether it is that of a directory.
    pub const fn is_directory(&self) -> bool {
        matches!(self.class, Class::Directory)
    }

    /// What stands for the content that is there now; unchanged files cost a stat.
    ///
    /// # Errors
    ///
    /// [`ScanError`] for what is not there or cannot be read.
    pub fn encoding(&self) -> Result<Vec<u8>, ScanError> {
        let mut writer = Writer::new();
        match self.class {
            Class::File => {
                let file = scan::file(&self.path, digested())?;
                writer.typed("thrifty.File");
                writer.open(Container::Tuple, 2);
                writer.bytes(file.digest.as_bytes());
                writer.bool(file.executable);
            }
            Class::Directory => {
                writer.typed("thrifty.Dir");
                writer.bytes(scan::directory(&self.path, digested())?.digest().as_bytes());
            }
        }
        Ok(writer.into_bytes())
    }
}

fn class_of(value: &Bound<'_, PyAny>) -> PyResult<Option<Class>> {
    let py = value.py();
    let classes = [(intern!(py, "File"), Class::File), (intern!(py, "Dir"), Class::Directory)];
    for (name, class) in classes {
        match loaded_type(py, intern!(py, "thrifty.files"), name)? {
            Some(found) if value.get_type().is(&found) => return Ok(Some(class)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The bytes of a `thrifty.File` or `thrifty.Dir`.
pub(super) fn draft(value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    let py = value.py();
    match class_of(value)? {
        None => Ok(None),
        Some(Class::File) => draft_file(py, &path_of(value)?).map(Some),
        Some(Class::Directory) => draft_directory(py, &path_of(value)?).map(Some),
    }
}

fn path_of(value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    value.call_method0(intern!(value.py(), "__fspath__"))?.extract()
}

/// The name that the placed file or directory gets.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unnamed".to_owned())
}

fn draft_file(py: Python<'_>, path: &Path) -> PyResult<Parts> {
    let file = scan_file(py, path)?;
    let header = (name_of(path), file.executable).into_pyobject(py)?;
    Ok(Parts {
        codec: FILE,
        header: header::write(header.as_any())?,
        buffers: vec![Source::File { path: path.to_owned(), digest: file.digest }],
    })
}

fn draft_directory(py: Python<'_>, path: &Path) -> PyResult<Parts> {
    let manifest = scan_directory(py, path)?;
    let header = (name_of(path),).into_pyobject(py)?;
    let mut buffers = vec![Source::Memory(Box::new(manifest.encode()))];
    buffers.extend(
        contents(&manifest)
            .into_iter()
            .map(|(inside, file)| Source::File { path: path.join(inside), digest: file.digest }),
    );
    Ok(Parts { codec: DIRECTORY, header: header::write(header.as_any())?, buffers })
}

/// The contents of a manifest, each once, with the first path that has it.
fn contents(manifest: &Manifest) -> Vec<(&str, &tree::File)> {
    let mut seen = std::collections::HashSet::new();
    manifest.files().filter(|(_, file)| seen.insert(file.digest)).collect()
}

/// The file, placed to be read.
pub(super) fn load_file<'py>(
    py: Python<'py>,
    header: &[u8],
    buffers: &[Buffer],
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let (name, executable): (String, bool) = header::read(py, header)?.extract()?;
    let blob = blob(only(buffers)?)?;
    let target = place_for(shelf, "file", &blob.digest, &name)?;
    py.detach(|| place_file(shelf, &blob, &target, executable))?;
    py.import(intern!(py, "thrifty.files"))?.getattr(intern!(py, "File"))?.call1((target,))
}

fn place_file(shelf: &Shelf<'_>, blob: &BlobName, target: &Path, executable: bool) -> PyResult<()> {
    (shelf.hold)(&blob.digest);
    // What is there is trusted as far as any other file: by its digest.
    let wanted = tree::File { digest: blob.digest, length: blob.length, executable };
    if scan::file(target, digested()).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let access = Access { writable: false, executable };
    shelf.blobs.place(blob, target, access).map_err(unreadable)?;
    Ok(())
}

/// The directory, placed to be read.
pub(super) fn load_directory<'py>(
    py: Python<'py>,
    header: &[u8],
    buffers: &[Buffer],
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let (name,): (String,) = header::read(py, header)?.extract()?;
    let Some((manifest, files)) = buffers.split_first() else {
        return Err(unreadable("a directory without a manifest"));
    };
    let manifest = manifest_of(manifest, shelf)?;
    let mut found = HashMap::new();
    for buffer in files {
        let blob = blob(buffer)?;
        found.insert(blob.digest, blob);
    }
    let target = place_for(shelf, "dir", &manifest.digest(), &name)?;
    let placed = py.detach(|| place_directory(shelf, &manifest, &found, target))?;
    py.import(intern!(py, "thrifty.files"))?.getattr(intern!(py, "Dir"))?.call1((placed,))
}

fn manifest_of(buffer: &Buffer, shelf: &Shelf<'_>) -> PyResult<Manifest> {
    match buffer {
        Buffer::Inline(bytes) => Manifest::decode(bytes),
        Buffer::Blob(name) => Manifest::decode(&shelf.blobs.open(name).map_err(unreadable)?),
    }
    .map_err(unreadable)
}

/// Places the directory at the target, or beside it if something else is there.
fn place_directory(
    shelf: &Shelf<'_>,
    manifest: &Manifest,
    blobs: &HashMap<Digest, BlobName>,
    target: PathBuf,
) -> PyResult<PathBuf> {
    let (Some(above), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(unreadable("a directory without a name"));
    };
    (shelf.hold)(&manifest.digest());
    let find = |digest: &Digest| Ok(blobs.get(digest).copied());
    for attempt in 0..1000 {
        let target = above.join(attempt.to_string()).join(name);
        if scan::directory(&target, digested()).is_ok_and(|found| found == *manifest) {
            return Ok(target);
        }
        match restore::directory(manifest, shelf.blobs, &find, &target, false) {
            Ok(()) => return Ok(target),
            Err(restore::RestoreError::Occupied { .. }) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    Err(unreadable(format_args!("{} is full of changed copies; delete them", above.display())))
}

fn blob(buffer: &Buffer) -> PyResult<BlobName> {
    match buffer {
        Buffer::Blob(name) => Ok(*name),
        Buffer::Inline(_) => Err(unreadable("a file that is no blob")),
    }
}

/// `files/<kind>/<digest>/<name>`. The name comes from a record: it must be one component.
fn place_for(shelf: &Shelf<'_>, kind: &str, digest: &Digest, name: &str) -> PyResult<PathBuf> {
    let mut components = Path::new(name).components();
    let is_name = matches!(components.next(), Some(std::path::Component::Normal(only)) if only == name)
        && !name.contains('\0');
    if !is_name {
        return Err(unreadable(format_args!("{name:?} is no name of a file")));
    }
    Ok(shelf.files.join(kind).join(digest.to_string()).join(name))
}
