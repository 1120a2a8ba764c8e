//! A surface for tests: values through a store of their own.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use thrifty_engine::record::{Buffer, Draft, Object, Record, Source};
use thrifty_key::plain as canonical;
use thrifty_key::{Context, Digest, Hasher};
use thrifty_store::disk::Disk;
use thrifty_store::verified::{MemoryTrust, Verified};
use thrifty_store::{Blob, BlobName, Blobs};

use super::error::unreadable;
use super::{Encode, Encoded, Shelf, draft, file_encoding, header, load};

/// Buffers up to this length stand in the record.
const INLINE: usize = 4096;

fn failure(error: impl std::fmt::Display) -> PyErr {
    PyOSError::new_err(error.to_string())
}

/// A store and the records in it.
#[pyclass(frozen, module = "thrifty")]
struct Probe {
    blobs: Verified<Disk>,
    files: PathBuf,
    encode: Option<Py<PyAny>>,
}

impl Probe {
    fn store(&self, draft: Draft) -> PyResult<Record> {
        Ok(match draft {
            Draft::Plain(encoding) => Record::Plain(encoding),
            Draft::Stored(record) => record,
            Draft::Edge(_) => return Err(failure("an edge has no value")),
            Draft::Hashed { digest, value } => {
                Record::Hashed { digest, value: Box::new(self.store(*value)?) }
            }
            Draft::Annotated { notes, value } => {
                Record::Annotated { notes, value: Box::new(self.store(*value)?) }
            }
            Draft::Composite { container, parts } => {
                let parts = parts.into_iter().map(|part| self.store(part));
                Record::Composite { container, parts: parts.collect::<PyResult<_>>()? }
            }
            Draft::Object { codec, digest, classes, header, buffers } => {
                let buffers = buffers.iter().map(|source| self.keep(source));
                let buffers = buffers.collect::<PyResult<_>>()?;
                Record::Object(Object { codec, digest, classes, header, buffers })
            }
        })
    }

    fn keep(&self, source: &Source) -> PyResult<Buffer> {
        Ok(match source {
            Source::Memory(memory) if (**memory).as_ref().len() <= INLINE => {
                Buffer::Inline((**memory).as_ref().to_vec())
            }
            Source::Memory(memory) => {
                Buffer::Blob(self.blobs.put(&[(**memory).as_ref()]).map_err(failure)?)
            }
            Source::File { path, .. } => Buffer::Blob(self.blobs.put_file(path).map_err(failure)?),
        })
    }

    fn load<'py>(&self, py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyAny>> {
        let shelf = Shelf { blobs: &self.blobs, files: &self.files, hold: &|_| () };
        load(py, record, &|name| self.open(name), &shelf)
    }

    fn open(&self, name: &BlobName) -> PyResult<Blob> {
        self.blobs.open(name).map_err(failure)
    }
}

#[pymethods]
impl Probe {
    /// A store in the directory. `encode` gives the plain encoding of what is no description.
    #[new]
    #[pyo3(signature = (directory, encode=None))]
    fn new(directory: PathBuf, encode: Option<Py<PyAny>>) -> PyResult<Self> {
        let files = directory.join("files");
        let disk = Disk::open(directory).map_err(failure)?;
        let blobs = Verified::new(disk, Arc::new(MemoryTrust::default()));
        Ok(Self { blobs, files, encode })
    }

    /// Stores a value and gives its record.
    fn put<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let encode = |value: &Bound<'_, PyAny>| {
            Ok(Encoded { bytes: self.encoding(value)?, classes: Vec::new(), has_attributes: false })
        };
        let encode: &Encode<'_> = &encode;
        let record = self.store(draft(value, encode)?)?;
        Ok(PyBytes::new(value.py(), &record.to_bytes()))
    }

    /// The value of a record.
    fn get<'py>(&self, py: Python<'py>, record: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let record = Record::from_bytes(record).map_err(unreadable)?;
        self.load(py, &record)
    }

    /// The value of an object record made of its fields, for broken ones.
    fn get_object<'py>(
        &self,
        py: Python<'py>,
        codec: String,
        header: Vec<u8>,
        buffers: Vec<Vec<u8>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let buffers = buffers.into_iter().map(Buffer::Inline).collect();
        let digest = Digest::of_blob(&[]);
        let classes = Vec::new();
        let record = Record::Object(Object { codec, digest, classes, header, buffers });
        self.load(py, &record)
    }

    /// What a record is: its codecs, composites as tuples, and the length of every buffer.
    fn shape(&self, record: &[u8]) -> PyResult<String> {
        Ok(shape(&Record::from_bytes(record).map_err(unreadable)?))
    }
}

impl Probe {
    fn encoding(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        if let Some(encoding) = file_encoding(value)? {
            return Ok(encoding);
        }
        if let Some(encode) = &self.encode {
            return encode.bind(value.py()).call1((value,))?.extract();
        }
        header::write(value).or_else(|_| {
            let name = crate::shown::class_name(&value.get_type())?;
            let digest = Hasher::new(Context::Value).framed(name.as_bytes()).finish();
            Ok(canonical::contribution_of_digest(&digest))
        })
    }
}

fn shape(record: &Record) -> String {
    match record {
        Record::Plain(_) => "plain".to_owned(),
        Record::Hashed { value, .. } => format!("hashed {}", shape(value)),
        Record::Annotated { value, .. } => format!("annotated {}", shape(value)),
        Record::Composite { parts, .. } => {
            let parts: Vec<_> = parts.iter().map(shape).collect();
            format!("({})", parts.join(", "))
        }
        Record::Object(object) => object.codec.clone(),
    }
}

/// Adds the class to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("_Probe", module.py().get_type::<Probe>())
}
