//! The code of hooks of registered types.
//!
//! What a hook gives enters keys, or becomes a value again; a hook that changes must change what
//! it made. So its code counts wherever it is used: a project's by its closure, a package's by
//! the version of its distribution.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use thrifty_key::{Context, Digest, Hasher};

use super::{Closure, Encoder};
use crate::program::imported_as;

/// Hooks that were asked for, by address; holding the hook keeps the address its own.
static KNOWN: Mutex<Option<HashMap<usize, Known>>> = Mutex::new(None);

/// Forgets all of them: what they hold can be collected then.
pub(super) fn forget() {
    let known = KNOWN.lock().take();
    drop(known);
}

#[derive(Clone)]
struct Known {
    _hook: Arc<Py<PyAny>>,
    closure: Arc<Closure>,
    digest: Digest,
}

/// The digest of a hook: its name, and all that it reaches.
///
/// # Errors
///
/// [`super::Unfollowable`], as [`Closure::of`].
pub fn code_of_hook<'py>(hook: &Bound<'py, PyAny>, encoder: Encoder<'_, 'py>) -> PyResult<Digest> {
    let py = hook.py();
    let address = hook.as_ptr() as usize;
    let known = KNOWN.lock().as_ref().and_then(|known| known.get(&address).cloned());
    if let Some(known) = known
        && known.closure.is_current(py, encoder)
    {
        return Ok(known.digest);
    }
    let closure = Closure::of_hook(hook, encoder)?;
    let digest = Hasher::new(Context::Code)
        .framed(title(hook)?.as_bytes())
        .digest(&closure.digest())
        .finish();
    let known =
        Known { _hook: Arc::new(hook.clone().unbind()), closure: Arc::new(closure), digest };
    // Dropped without the lock: it may hold objects whose destructors come back here.
    let outdated = KNOWN.lock().get_or_insert_default().insert(address, known);
    drop(outdated);
    Ok(digest)
}

/// The name of the hook in its module. Of two functions that call each other the closures are one,
/// and of those of a package there is no more than the version.
fn title(hook: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = hook.py();
    let kind = hook.get_type();
    let named = text(hook, "__qualname__")?;
    let name = match named {
        Some(name) => name,
        None => kind.qualname()?.to_string_lossy().into_owned(),
    };
    let module = text(hook, "__module__")?;
    let module = module.map(|module| imported_as(py, &module)).transpose()?;
    let kind = kind.name()?;
    Ok(format!("{} {}.{name}", kind.to_string_lossy(), module.unwrap_or_default()))
}

fn text(object: &Bound<'_, PyAny>, attribute: &str) -> PyResult<Option<String>> {
    let text = object.getattr_opt(attribute)?;
    Ok(text.and_then(|text| text.extract().ok()))
}
