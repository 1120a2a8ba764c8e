//! numpy: arrays by dtype, shape and content, whatever their layout in memory.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use thrifty_key::plain::Container;

use super::attributes;
use super::class::{Array, loaded};
use super::encoder::{Encoder, bytes_leaf};
use super::unhashable::{Outcome, Reason, Unhashable};

/// How much of an array that is not contiguous is copied at once, in bytes.
const BLOCK: usize = 8 << 20;

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of numpy.
    pub(super) fn array(&mut self, value: &Bound<'py, PyAny>, rule: Array) -> Outcome {
        match rule {
            Array::Plain => self.once(value, |encoder| encoder.ndarray(value)),
            Array::Masked => self.once(value, |encoder| {
                encoder.beside(value, attributes::of_library(value, &[]), |it| it.masked(value))
            }),
            Array::Subclass => self.once(value, |encoder| encoder.array_subclass(value)),
            Array::Scalar => self.scalar(value),
            Array::Random => self.once(value, |encoder| encoder.random_state(value)),
            Array::Dtype => {
                self.writer.typed("numpy.dtype");
                self.dtype(value)
            }
        }
    }

    /// A generator by its state; the one of numpy itself, which distributions of scipy refer to and
    /// each process seeds otherwise, by its name.
    fn random_state(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let random = self.module(value, "numpy.random.mtrand")?;
        if !random.getattr(intern!(self.py, "_rand")).map_err(raised)?.is(value) {
            return self.reduced(value);
        }
        self.writer.typed("numpy.random");
        self.writer.none();
        Ok(())
    }

    /// The module, which is loaded if there is a value of it.
    pub(super) fn numpy(&self, value: &Bound<'py, PyAny>) -> Outcome<Bound<'py, PyAny>> {
        self.module(value, "numpy")
    }

    /// A module that must be loaded, since there is a value of it.
    pub(super) fn module(
        &self,
        value: &Bound<'py, PyAny>,
        name: &str,
    ) -> Outcome<Bound<'py, PyAny>> {
        loaded(self.py, name).map_err(|error| Unhashable::raised(value, error))?.ok_or_else(|| {
            Unhashable::new(value, Reason::Refused("the library it belongs to is not loaded"))
        })
    }

    /// Writes an array: dtype, shape, content.
    pub(super) fn ndarray(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        self.writer.typed("numpy.ndarray");
        self.dtype_shape_content(value)
    }

    fn dtype_shape_content(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let base = self.base(value)?;
        self.writer.open(Container::Tuple, 3);
        let dtype = base.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        self.dtype(&dtype)?;
        let shape = base.getattr(intern!(self.py, "shape")).map_err(raised)?;
        self.encode(&shape)?;
        self.content(&base, &dtype)
    }

    /// The same memory as an array of exactly the class `numpy.ndarray`.
    fn base(&self, value: &Bound<'py, PyAny>) -> Outcome<Bound<'py, PyAny>> {
        let ndarray = self
            .numpy(value)?
            .getattr(intern!(self.py, "ndarray"))
            .map_err(|error| Unhashable::raised(value, error))?;
        if value.get_type().is(&ndarray) {
            return Ok(value.clone());
        }
        ndarray
            .call_method1(intern!(self.py, "view"), (value, &ndarray))
            .map_err(|error| Unhashable::raised(value, error))
    }

    fn array_subclass(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let class = self.class_of(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 2);
        self.dtype_shape_content(value)?;
        self.instance_dict(value)
    }

    fn instance_dict(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let state = value
            .getattr_opt(intern!(self.py, "__dict__"))
            .map_err(|error| Unhashable::raised(value, error))?;
        if attributes::dict_of(value).is_ok_and(|state| state.is_some()) {
            self.surroundings.met_attributes();
        }
        match state {
            Some(state) => self.part(&state, ".__dict__"),
            None => {
                self.writer.none();
                Ok(())
            }
        }
    }

    /// Data, mask and fill value; what is under the mask does not count.
    fn masked(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let class = self.class_of(value)?;
        let parts = masked_parts(&self.numpy(value)?, value);
        let parts = parts.map_err(|error| Unhashable::raised(value, error))?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, parts.len());
        parts.iter().try_for_each(|part| self.encode(part))
    }

    /// A scalar: dtype and bytes.
    fn scalar(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let numpy = self.numpy(value)?;
        let array = numpy
            .call_method1(intern!(self.py, "asarray"), (value,))
            .map_err(|error| Unhashable::raised(value, error))?;
        let dtype = array
            .getattr(intern!(self.py, "dtype"))
            .map_err(|error| Unhashable::raised(value, error))?;
        let class = dtype.getattr(intern!(self.py, "type"));
        if !class.map_err(|error| Unhashable::raised(value, error))?.is(value.get_type()) {
            self.surroundings.met_attributes();
            return self.once(value, |encoder| encoder.reduced(value));
        }
        self.writer.typed("numpy.generic");
        self.writer.open(Container::Tuple, 2);
        self.dtype(&dtype)?;
        self.content(&array, &dtype)
    }

    /// A dtype: `<f8`; with its class if a package defined it; with names, offsets and dtypes
    /// of its fields if it is structured.
    fn dtype(&mut self, dtype: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(dtype, error);
        let fields = Fields::of(dtype).map_err(raised)?;
        let text = dtype.getattr(intern!(self.py, "str")).map_err(raised)?;
        let number: i64 = dtype
            .getattr(intern!(self.py, "num"))
            .and_then(|number| number.extract())
            .map_err(raised)?;
        match fields {
            Some(fields) => self.structure(dtype, &fields),
            None if dtype_char(dtype).map_err(raised)? == "T" => self.string_dtype(dtype),
            None if number >= 256 => {
                let class = dtype.getattr("type").map_err(raised)?;
                self.writer.open(Container::Tuple, 2);
                self.encode(&text)?;
                self.encode(&class)
            }
            None => self.encode(&text),
        }
    }

    fn structure(&mut self, dtype: &Bound<'py, PyAny>, fields: &Fields<'py>) -> Outcome {
        let raised = |error| Unhashable::raised(dtype, error);
        let void = self.numpy(dtype)?.getattr(intern!(self.py, "void")).map_err(raised)?;
        let class = dtype.getattr(intern!(self.py, "type")).map_err(raised)?;
        let titles = fields.titles().map_err(raised)?;
        let is_ordinary = class.is(&void) && titles.iter().all(Bound::is_none);
        self.writer.typed("numpy.structured");
        self.writer.open(Container::Tuple, if is_ordinary { 3 } else { 5 });
        self.encode(&dtype.getattr("itemsize").map_err(raised)?)?;
        self.encode(&dtype.getattr("alignment").map_err(raised)?)?;
        self.writer.open(Container::List, fields.0.len());
        for (name, field) in &fields.0 {
            self.writer.open(Container::Tuple, 4);
            self.encode(name)?;
            self.encode(&field.get_item(1).map_err(raised)?)?;
            let inner = field.get_item(0).map_err(raised)?;
            self.encode(&inner.getattr("shape").map_err(raised)?)?;
            let base = inner.getattr("base").map_err(raised)?;
            self.dtype(&base)?;
        }
        if is_ordinary {
            return Ok(());
        }
        self.encode(&class)?;
        self.writer.open(Container::List, titles.len());
        titles.iter().try_for_each(|title| self.encode(title))
    }

    /// Text of any length, with what stands for a missing one.
    fn string_dtype(&mut self, dtype: &Bound<'py, PyAny>) -> Outcome {
        let missing =
            dtype.getattr_opt("na_object").map_err(|error| Unhashable::raised(dtype, error))?;
        self.writer.typed("numpy.dtypes.StringDType");
        match missing {
            Some(missing) => {
                self.writer.open(Container::Tuple, 1);
                self.encode(&missing)
            }
            None => {
                self.writer.none();
                Ok(())
            }
        }
    }

    /// The elements in C order: bytes; texts and objects; or a list of fields.
    fn content(&mut self, array: &Bound<'py, PyAny>, dtype: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(array, error);
        if let Some(fields) = Fields::of(dtype).map_err(raised)? {
            self.writer.open(Container::List, fields.0.len());
            for (name, _) in &fields.0 {
                let field = array.get_item(name).map_err(raised)?;
                let inner = field.getattr("dtype").map_err(raised)?;
                self.content(&field, &inner)?;
            }
            return Ok(());
        }
        match dtype_char(dtype).map_err(raised)?.as_str() {
            "O" => self.objects(array),
            "T" => {
                let objects = array.call_method1("astype", ("O",)).map_err(raised)?;
                self.objects(&objects)
            }
            "g" | "G" => {
                let significant = without_padding(array).map_err(raised)?;
                self.raw(&significant)
            }
            _ => self.raw(array),
        }
    }

    /// The bytes of an array in C order, as a bytes leaf.
    fn raw(&mut self, array: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(array, error);
        let size: usize = array
            .getattr(intern!(self.py, "nbytes"))
            .and_then(|size| size.extract())
            .map_err(raised)?;
        if size < BLOCK || is_contiguous(array).map_err(raised)? {
            let array = contiguous(array).map_err(raised)?;
            // SAFETY: contiguous, and alive until after the call.
            let bytes = unsafe { memory(&array, size) }.map_err(raised)?;
            self.leaf(bytes);
            return Ok(());
        }
        let mut hasher = bytes_leaf(size);
        self.blocks(array, size, &mut hasher)?;
        self.writer.digest(&hasher.finish());
        Ok(())
    }

    /// Feeds an array that is not contiguous, so much at a time that the copy stays small.
    fn blocks(
        &mut self,
        array: &Bound<'py, PyAny>,
        size: usize,
        hasher: &mut thrifty_key::Hasher,
    ) -> Outcome {
        let raised = |error| Unhashable::raised(array, error);
        let rows = array.len().map_err(raised)?;
        let step = (BLOCK / (size / rows).max(1)).max(1);
        for start in (0..rows).step_by(step) {
            let range = pyo3::types::PySlice::new(
                self.py,
                start as isize,
                rows.min(start + step) as isize,
                1,
            );
            let block =
                array.get_item(range).and_then(|block| contiguous(&block)).map_err(raised)?;
            let length = (size / rows) * (rows.min(start + step) - start);
            // SAFETY: contiguous, and alive until after the call.
            let bytes = unsafe { memory(&block, length) }.map_err(raised)?;
            self.feed(hasher, bytes);
        }
        Ok(())
    }

    /// The elements of an array of objects.
    fn objects(&mut self, array: &Bound<'py, PyAny>) -> Outcome {
        self.with_objects(array, Self::texts)
    }

    /// The elements of an array of texts and one missing value.
    pub(super) fn nullable_objects(&mut self, array: &Bound<'py, PyAny>) -> Outcome {
        self.with_objects(array, Self::nullable_texts)
    }

    fn with_objects(
        &mut self,
        array: &Bound<'py, PyAny>,
        write: impl FnOnce(&mut Self, &[*mut pyo3::ffi::PyObject]) -> Outcome,
    ) -> Outcome {
        let raised = |error| Unhashable::raised(array, error);
        let array = contiguous(array).map_err(raised)?;
        let size: usize = array
            .getattr(intern!(self.py, "size"))
            .and_then(|size| size.extract())
            .map_err(raised)?;
        // The memory of an empty array may be anywhere, also unaligned.
        if size == 0 {
            return write(self, &[]);
        }
        let width = size_of::<*mut pyo3::ffi::PyObject>();
        // SAFETY: contiguous, and alive until after the call.
        let bytes = unsafe { memory(&array, size * width) }.map_err(raised)?;
        // SAFETY: numpy aligns its memory, and the elements are pointers.
        let pointers = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), size) };
        write(self, pointers)
    }
}

/// The fields of a structured dtype, in order: name, and (dtype, offset) or (dtype, offset, title).
struct Fields<'py>(Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>);

impl<'py> Fields<'py> {
    fn of(dtype: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let names = dtype.getattr(intern!(dtype.py(), "names"))?;
        if names.is_none() {
            return Ok(None);
        }
        let fields = dtype.getattr("fields")?;
        let pairs = names.cast_into::<PyTuple>()?.iter().map(|name| {
            let field = fields.get_item(&name)?;
            Ok((name, field))
        });
        Ok(Some(Self(pairs.collect::<PyResult<_>>()?)))
    }

    /// The title of each field, or none.
    fn titles(&self) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let title = |(_, field): &(Bound<'py, PyAny>, Bound<'py, PyAny>)| {
            let title = if field.len()? > 2 { Some(field.get_item(2)?) } else { None };
            Ok(title.unwrap_or_else(|| field.py().None().into_bound(field.py())))
        };
        self.0.iter().map(title).collect()
    }
}

fn dtype_char(dtype: &Bound<'_, PyAny>) -> PyResult<String> {
    dtype.getattr(intern!(dtype.py(), "char"))?.extract()
}

fn is_contiguous(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    array
        .getattr(intern!(array.py(), "flags"))?
        .getattr(intern!(array.py(), "c_contiguous"))?
        .extract()
}

/// The array itself if contiguous in C order, or a copy that is.
fn contiguous<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_contiguous(array)? {
        return Ok(array.clone());
    }
    array.call_method1(intern!(array.py(), "copy"), ("C",))
}

/// The memory of a contiguous array.
///
/// # Safety
///
/// The array is contiguous in C order, holds `size` bytes, and outlives the slice, which the
/// type system is not told. Another thread may write to it meanwhile, as with any use of numpy.
unsafe fn memory<'a>(array: &Bound<'_, PyAny>, size: usize) -> PyResult<&'a [u8]> {
    if size == 0 {
        return Ok(&[]);
    }
    let interface = array.getattr(intern!(array.py(), "__array_interface__"))?;
    let data: (usize, bool) = interface.get_item(intern!(array.py(), "data"))?.extract()?;
    // SAFETY: as promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(std::ptr::without_provenance(data.0), size) })
}

/// Of extended-precision floats, the ten bytes in sixteen that numpy writes.
fn without_padding<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let dtype = array.getattr("dtype")?;
    let size: usize = dtype.getattr("itemsize")?.extract()?;
    let digits = loaded(py, "numpy")?
        .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("numpy is not loaded"))?
        .call_method1("finfo", (&dtype,))?
        .getattr("nmant")?
        .extract::<usize>()?;
    let parts = if dtype_char(&dtype)? == "G" { 2 } else { 1 };
    if digits != 63 || size != 16 * parts {
        let message = "extended-precision floats of this machine have no rule; use float64";
        return Err(pyo3::exceptions::PyTypeError::new_err(message));
    }
    let bytes = contiguous(array)?
        .call_method1("reshape", (-1,))?
        .call_method1("view", ("u1",))?
        .call_method1("reshape", (-1, 16))?;
    let first = pyo3::types::PySlice::new(py, 0, 10, 1);
    let every = pyo3::types::PySlice::full(py);
    bytes.get_item((every, first))
}

fn masked_parts<'py>(
    numpy: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<[Bound<'py, PyAny>; 4]> {
    let ma = numpy.getattr("ma")?;
    let ndarray = numpy.getattr("ndarray")?.cast_into::<PyType>()?;
    let data = ndarray.call_method1("view", (value, &ndarray))?;
    let mask = ma.call_method1("getmaskarray", (value,))?;
    let data = if mask.call_method0("any")?.is_truthy()? && !dtype_has_fields(&data)? {
        let zero = numpy.call_method1("zeros", ((), data.getattr("dtype")?))?;
        numpy.call_method1("where", (&mask, zero, data))?
    } else {
        data
    };
    let hard = value.getattr("hardmask")?;
    // Reading the fill value makes one where there was none.
    let fill = PyDict::new(value.py());
    fill.set_item("fill", value.getattr("fill_value")?)?;
    Ok([data, mask, fill.into_any(), hard])
}

fn dtype_has_fields(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!array.getattr("dtype")?.getattr("names")?.is_none())
}
