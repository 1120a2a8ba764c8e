//! Bodies at the end of the interpreter.

use std::hint::black_box;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Calls a function of the user's, on whatever thread.
///
/// Before Python 3.14, a daemon thread that comes back to an interpreter that has ended is ended
/// itself, which unwinds its frames. The frames of the engine below a body are not made for that:
/// the process would crash. Such a thread stays here for ever instead, as it does from Python
/// 3.14 on; it holds nothing that the end of the process waits for.
///
/// # Errors
///
/// What the function raises.
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    // PyO3 declares it as a function that is never unwound, and one program can declare it only
    // once. A pointer that the optimiser knows nothing of is no declaration.
    type Call = unsafe extern "C-unwind" fn(
        callable: *mut ffi::PyObject,
        args: *mut ffi::PyObject,
        kwargs: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
    // SAFETY: it is this function, with these arguments; that it may be unwound is the truth.
    let object_call = black_box(unsafe {
        std::mem::transmute::<*const (), Call>(ffi::PyObject_Call as *const ())
    });
    let stays = Stays;
    // SAFETY: the three are alive and of the types wanted, and the interpreter is attached.
    let value = unsafe { object_call(function.as_ptr(), args.as_ptr(), kwargs.as_ptr()) };
    std::mem::forget(stays);
    // SAFETY: a reference of our own, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), value) }
}

/// Dropped by unwinding alone.
struct Stays;

impl Drop for Stays {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}
