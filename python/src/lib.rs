//! The Python skin of Thrifty: convert, release the interpreter lock, map errors.

mod call;
mod code;
mod command;
mod observe;
mod program;
mod remembering;
mod shown;
mod stand_ins;
mod value;
mod warning;

use pyo3::prelude::*;

/// The native half of `thrifty`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Now: while the interpreter is held, no other thread forks.
    thrifty_engine::catalog::hold_off_forks();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    value::digest::register(module)?;
    value::codec::register(module)?;
    code::register(module)?;
    command::register(module)?;
    observe::register(module)?;
    stand_ins::register(module)?;
    program::register(module)?;
    call::register(module)
}
