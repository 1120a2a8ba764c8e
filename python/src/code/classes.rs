//! The code of the classes whose instances are values.
//!
//! A method of an argument's class can change what an operation does with it, although no text
//! of the operation names the class. So an instance of a project's class counts with the code
//! that its class can reach.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::{Context, Digest, Hasher};

use super::origin::{Place, locate};
use super::{Closure, Depth, Encoder};

/// Classes that were asked for, by address; holding the class keeps the address its own.
static KNOWN: Mutex<Option<HashMap<usize, Known>>> = Mutex::new(None);

#[derive(Clone)]
struct Known {
    _class: Arc<Py<PyType>>,
    /// `None` for a class that is not the project's.
    code: Option<(Arc<Closure>, Digest)>,
}

impl Closure {
    /// One digest for all units.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Context::Code);
        hasher.count(self.units.len());
        for unit in &self.units {
            hasher.framed(unit.name.as_bytes()).digest(&unit.digest);
        }
        hasher.finish()
    }
}

/// The digest of the code of a class of the project; `None` for any other class, which goes by
/// its name.
///
/// # Errors
///
/// [`super::Unfollowable`], as [`Closure::of`].
pub fn code_of_class<'py>(
    class: &Bound<'py, PyType>,
    encoder: Encoder<'_, 'py>,
) -> PyResult<Option<Digest>> {
    let py = class.py();
    let address = class.as_ptr() as usize;
    let known = KNOWN.lock().as_ref().and_then(|known| known.get(&address).cloned());
    match known {
        Some(Known { code: None, .. }) => return Ok(None),
        Some(Known { code: Some((closure, digest)), .. }) if closure.is_current(py, encoder) => {
            return Ok(Some(digest));
        }
        _ => {}
    }
    let module: String = class.getattr("__module__")?.extract()?;
    let code = match locate(py, &module)? {
        Place::Project(_) | Place::Missing | Place::Namespace(_) => {
            let closure = Closure::of(class, Depth::Closure, encoder)?;
            let digest = closure.digest();
            Some((Arc::new(closure), digest))
        }
        Place::Opaque(_) | Place::Installed(_) | Place::Standard => None,
    };
    let digest = code.as_ref().map(|(_, digest)| *digest);
    let known = Known { _class: Arc::new(class.clone().unbind()), code };
    // Dropped without the lock: it may hold objects whose destructors come back here.
    let outdated = KNOWN.lock().get_or_insert_default().insert(address, known);
    drop(outdated);
    Ok(digest)
}
