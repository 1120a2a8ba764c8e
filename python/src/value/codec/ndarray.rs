//! `ndarray/1`: one aligned buffer of raw elements.
//!
//! Header: the plain tuple `(kind, dtype, shape, order)`. `kind` is `array` or `scalar`, `dtype`
//! what `numpy.dtype` takes, `order` the memory order `C` or `F`. Of a scalar of text, `dtype` is
//! `U` or `S`, and the buffer its UTF-8 or its bytes.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyTuple};
use thrifty_engine::record::{Buffer, Source};

use super::error::unreadable;
use super::header;
use super::memory::{self, Open};
use super::{Parts, loaded_type};

/// The codec and its version.
pub(super) const CODEC: &str = "ndarray/1";

/// The bytes of the value if it is an array or scalar of numpy with plain elements.
pub(super) fn draft(value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    let py = value.py();
    let Some(ndarray) = loaded_type(py, intern!(py, "numpy"), intern!(py, "ndarray"))? else {
        return Ok(None);
    };
    if value.get_type().is(&ndarray) {
        return parts("array", value);
    }
    let numpy = py.import(intern!(py, "numpy"))?;
    if !value.is_instance(&numpy.getattr(intern!(py, "generic"))?)? {
        return Ok(None);
    }
    for (kind, class) in TEXTS {
        if value.get_type().is(&numpy.getattr(class)?) {
            return text(kind, value);
        }
    }
    let array = numpy.call_method1(intern!(py, "asarray"), (value,))?;
    // An instance of a subclass of a scalar type does not return.
    let again = array.get_item(PyTuple::empty(py))?;
    if "SU".contains(&kind_of(&array)?) || !again.get_type().is(value.get_type()) {
        return Ok(None);
    }
    parts("scalar", &array)
}

/// Scalars that are text. In arrays, and in its own pickles, numpy drops their trailing zeros.
const TEXTS: [(&str, &str); 2] = [("U", "str_"), ("S", "bytes_")];

fn text(kind: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    let py = value.py();
    let bytes = if kind == "U" {
        value.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?
    } else {
        py.get_type::<PyBytes>().call1((value,))?
    };
    let header = ("scalar", kind, PyTuple::empty(py), "C").into_pyobject(py)?;
    Ok(Some(Parts {
        codec: CODEC,
        header: header::write(header.as_any())?,
        buffers: vec![memory::pin(&bytes)?],
    }))
}

fn load_text<'py>(class: &str, memory: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = memory.py();
    let class = py.import(intern!(py, "numpy"))?.getattr(class)?;
    let bytes = py.get_type::<PyBytes>().call1((memory,))?;
    if class.getattr(intern!(py, "__name__"))?.eq("bytes_")? {
        return class.call1((bytes,));
    }
    class.call1((bytes.call_method1(intern!(py, "decode"), ("utf-8", "surrogatepass"))?,))
}

fn kind_of(array: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = array.py();
    array.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract()
}

fn parts(kind: &str, array: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let Some(description) = describe(&dtype)? else {
        return Ok(None);
    };
    let (order, source) = raw(array)?;
    let shape = array.getattr(intern!(py, "shape"))?;
    let header = (kind, description, shape, order).into_pyobject(py)?;
    Ok(Some(Parts { codec: CODEC, header: header::write(header.as_any())?, buffers: vec![source] }))
}

/// What `numpy.dtype` makes the type of again; `None` for types whose elements are not raw
/// bytes, and for those with details it would lose.
fn describe<'py>(dtype: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = dtype.py();
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    let metadata = dtype.getattr(intern!(py, "metadata"))?;
    if !"biufcmMSUV".contains(&kind) || !metadata.is_none() {
        return Ok(None);
    }
    if kind == "V" {
        let structured = py.import("thrifty._frame")?;
        let description = structured.call_method1("describe_structured", (dtype,))?;
        return Ok((!description.is_none()).then_some(description));
    }
    dtype.getattr(intern!(py, "str")).map(Some)
}

/// The elements of an array, in its own memory if that is contiguous.
pub(super) fn raw(array: &Bound<'_, PyAny>) -> PyResult<(&'static str, Source)> {
    let py = array.py();
    let flags = array.getattr(intern!(py, "flags"))?;
    let is_c: bool = flags.getattr(intern!(py, "c_contiguous"))?.extract()?;
    let is_f: bool = flags.getattr(intern!(py, "f_contiguous"))?.extract()?;
    let order = if is_f && !is_c { "F" } else { "C" };
    let nbytes: usize = array.getattr(intern!(py, "nbytes"))?.extract()?;
    if nbytes == 0 {
        return Ok((order, Source::Memory(Box::new([]))));
    }
    let rows = if order == "F" { array.getattr(intern!(py, "T"))? } else { array.clone() };
    let numpy = py.import(intern!(py, "numpy"))?;
    let rows = numpy.call_method1(intern!(py, "ascontiguousarray"), (rows,))?;
    // Some element types have no buffer protocol of their own; bytes do.
    let flat = rows.call_method1(intern!(py, "reshape"), (-1,))?;
    let bytes = flat.call_method1(intern!(py, "view"), (intern!(py, "u1"),))?;
    Ok((order, memory::pin(&bytes)?))
}

/// The value again.
pub(super) fn load<'py>(
    py: Python<'py>,
    header: &[u8],
    buffers: &[Buffer],
    open: &Open<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let [buffer] = buffers else {
        return Err(unreadable("an array has one buffer"));
    };
    let (kind, dtype, shape, order): (String, Bound<'_, PyAny>, Bound<'_, PyTuple>, String) =
        header::read(py, header)?.extract()?;
    let memory = memory::lend(py, buffer, open)?;
    if kind == "scalar"
        && let Ok(kind) = dtype.extract::<String>()
        && let Some((_, class)) = TEXTS.iter().find(|text| text.0 == kind)
    {
        return load_text(class, &memory);
    }
    let dtype = dtype_of(&dtype)?;
    let array = view(&dtype, shape.as_any(), &memory, &order)?;
    match kind.as_str() {
        // Small: an array that owns its memory is faster to work with. Copies of structures
        // leave out what is between the fields.
        "array" if memory.is_instance_of::<PyByteArray>() && kind_of(&array)? != "V" => {
            array.call_method1(intern!(py, "copy"), (intern!(py, "K"),))
        }
        "array" => Ok(array),
        "scalar" => array.get_item(PyTuple::empty(py)),
        _ => Err(unreadable(format_args!("unknown kind of array {kind:?}"))),
    }
}

fn dtype_of<'py>(description: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = description.py();
    let dtype = if description.is_instance_of::<PyDict>() {
        py.import("thrifty._frame")?.call_method1("structured_of", (description,))?
    } else {
        let numpy = py.import(intern!(py, "numpy"))?;
        numpy.call_method1(intern!(py, "dtype"), (description,))?
    };
    if dtype.getattr(intern!(py, "hasobject"))?.is_truthy()? {
        return Err(unreadable("an array of references"));
    }
    Ok(dtype)
}

/// An array over memory, which must be exactly as long as the array.
fn view<'py>(
    dtype: &Bound<'py, PyAny>,
    shape: &Bound<'py, PyAny>,
    memory: &Bound<'py, PyAny>,
    order: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = dtype.py();
    let arguments = PyDict::new(py);
    arguments.set_item(intern!(py, "order"), order)?;
    let length = memory.len()?;
    if length > 0 {
        arguments.set_item(intern!(py, "buffer"), memory)?;
    } else if numel(shape)? > 0 && dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()? > 0 {
        return Err(unreadable("an array without its elements"));
    }
    let numpy = py.import(intern!(py, "numpy"))?;
    let array = numpy.call_method(intern!(py, "ndarray"), (shape, dtype), Some(&arguments))?;
    if array.getattr(intern!(py, "nbytes"))?.extract::<usize>()? != length {
        return Err(unreadable("an array and its buffer differ in length"));
    }
    Ok(array)
}

fn numel(shape: &Bound<'_, PyAny>) -> PyResult<u128> {
    let extents: Vec<u64> = shape.extract()?;
    Ok(extents.iter().fold(1, |product: u128, extent| product.saturating_mul(u128::from(*extent))))
}
