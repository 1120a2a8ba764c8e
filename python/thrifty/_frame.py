"""pandas objects taken apart into raw buffers and put together again (codec ``frame/1``).

Imported only once a pandas object, or an array of a structured type, is stored or loaded.
A description holds builtin values only; where it says ``buffer`` it holds the number of one.
"""

# The stubs of pandas leave its internals out.
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
from __future__ import annotations

from typing import Any

import numpy as np
from thrifty import _native, _pickles

_PLAIN_NUMPY = frozenset("biufcmMSUV")
_SCALARS = (type(None), bool, int, float, str, bytes)


_ODD = object()


class _Unsupported(Exception):
    """No rule here keeps this part as it is: it is pickled instead."""


def describe_structured(dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """What :func:`structured_of` makes the type of again; ``None`` if it would lose something."""
    try:
        description = _described(dtype)
    except _Unsupported:
        return None
    again = structured_of(description)
    same = again == dtype and again.isalignedstruct == dtype.isalignedstruct
    return description if same else None


def _described(dtype: np.dtype[Any]) -> Any:
    if dtype.hasobject or dtype.metadata or dtype.kind not in _PLAIN_NUMPY:
        raise _Unsupported
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _described(base), "shape": tuple(shape)}
    if dtype.names is None:
        return {"raw": dtype.str}
    if dtype.type is not np.void:
        raise _Unsupported  # its elements are of a class of their own, as of `np.record`
    fields = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    if any(len(field) > 2 for field in fields):
        raise _Unsupported  # titles
    return {
        "names": list(dtype.names),
        "formats": [_described(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def structured_of(description: dict[str, Any]) -> np.dtype[Any]:
    """The type described."""
    if "raw" in description:
        return np.dtype(description["raw"])
    if "base" in description:
        return np.dtype((structured_of(description["base"]), description["shape"]))
    layout: Any = {name: description[name] for name in ("names", "offsets", "itemsize")}
    layout["formats"] = [structured_of(format) for format in description["formats"]]
    return np.dtype(layout, align=description["aligned"])


def take_apart(value: Any) -> tuple[Any, list[Any], bool] | None:
    """Description, buffers, and whether some of them are pickles.

    ``None`` for a type of which this module knows nothing.
    """
    import pandas as pd

    parts = _Parts()
    kind = type(value)
    if kind is pd.DataFrame:
        description = parts.frame(value)
    elif kind is pd.Series:
        description = parts.series(value)
    elif isinstance(value, pd.Index) and kind.__module__.partition(".")[0] == "pandas":
        description = parts.index(value)
    else:
        return None
    return description, parts.buffers, parts.pickled


def put_together(description: Any, buffers: list[Any], pickles: bool) -> Any:
    """The value of which the description and buffers are."""
    return _Whole(buffers, pickles).any(description)


class _Parts:
    def __init__(self) -> None:
        self.buffers: list[Any] = []
        self.pickled = False

    def buffer(self, memory: Any) -> int:
        self.buffers.append(memory)
        return len(self.buffers) - 1

    def pickle(self, value: Any) -> tuple[Any, ...]:
        self.pickled = True
        beside: list[Any] = []
        stream = _pickles.dumps(value, beside.append)
        numbers = [self.buffer(each.raw()) for each in beside]
        return ("pickle", self.buffer(stream), numbers)

    def frame(self, frame: Any) -> tuple[Any, ...]:
        blocks = []
        for block in frame._mgr.blocks:
            places = np.asarray(block.mgr_locs.as_array, dtype="<i8")
            blocks.append((self.raw(places), self.array(block.values)))
        return (
            "frame",
            self.index(frame.columns),
            self.index(frame.index),
            blocks,
            self.label(frame.attrs),
            bool(frame.flags.allows_duplicate_labels),
        )

    def series(self, series: Any) -> tuple[Any, ...]:
        return (
            "series",
            self.label(series.name),
            self.index(series.index),
            self.array(series._mgr.blocks[0].values),
            self.label(series.attrs),
            bool(series.flags.allows_duplicate_labels),
        )

    def label(self, value: Any) -> tuple[Any, ...]:
        return ("plain", value) if _is_plain(value) else self.pickle(value)

    def index(self, index: Any) -> tuple[Any, ...]:
        import pandas as pd

        kind = type(index)
        if kind is pd.RangeIndex:
            return ("range", index.start, index.stop, index.step, self.label(index.name))
        if kind is pd.MultiIndex:
            levels = [self.index(level) for level in index.levels]
            codes = [self.raw(np.asarray(each)) for each in index.codes]
            names = [self.label(name) for name in index.names]
            return ("multi", levels, codes, names, index.sortorder)
        if kind in (
            pd.Index,
            pd.DatetimeIndex,
            pd.TimedeltaIndex,
            pd.PeriodIndex,
            pd.CategoricalIndex,
        ):
            frequency = self.frequency(index)
            if frequency is not _ODD:
                label = self.label(index.name)
                return ("index", kind.__name__, self.array(index._values), frequency, label)
        return self.pickle(index)

    def array(self, values: Any) -> tuple[Any, ...]:
        try:
            return self._array(values)
        except (_Unsupported, AttributeError):
            # AttributeError: a pandas that lays its arrays out differently.
            return self.pickle(values)

    def _array(self, values: Any) -> tuple[Any, ...]:
        import pandas as pd
        from pandas.core.arrays.masked import BaseMaskedArray

        if type(values) is np.ndarray:
            return self.objects(values) if values.dtype == object else self.raw(values)
        dtype = values.dtype
        if isinstance(values, (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)):
            return ("moment", type(values).__name__, self.dtype(dtype), self.raw(values._ndarray))
        if isinstance(values, pd.arrays.PeriodArray):
            return ("period", self.dtype(dtype), self.raw(values._ndarray))
        if isinstance(values, pd.Categorical):
            return (
                "category",
                self.index(dtype.categories),
                bool(dtype.ordered),
                self.raw(values.codes),
            )
        if isinstance(values, BaseMaskedArray):
            return ("masked", self.dtype(dtype), self.raw(values._data), self.raw(values._mask))
        if isinstance(dtype, (pd.StringDtype, pd.ArrowDtype)):
            return self.strings_or_arrow(values)
        raise _Unsupported

    def strings_or_arrow(self, values: Any) -> tuple[Any, ...]:
        import pandas as pd

        dtype = values.dtype
        if isinstance(dtype, pd.ArrowDtype):
            return ("arrow", None, self.arrow(values._pa_array))
        missing = "nan" if dtype.na_value is not pd.NA else "NA"
        described = (dtype.storage, missing)
        if dtype.storage == "pyarrow":
            return ("arrow", described, self.arrow(values._pa_array))
        return ("string", described, self.objects(values._ndarray))

    def frequency(self, index: Any) -> Any:
        """The text of an index's frequency, ``None``, or ``_ODD`` if text does not say it."""
        import pandas as pd
        from pandas.tseries.frequencies import to_offset

        if not isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) or index.freq is None:
            return None
        text = index.freq.freqstr
        try:
            return text if to_offset(text) == index.freq else _ODD
        except ValueError:
            return _ODD

    def dtype(self, dtype: Any) -> str:
        if not _same_dtype(_dtype_of(str(dtype)), dtype):
            raise _Unsupported
        return str(dtype)

    def raw(self, array: Any) -> tuple[Any, ...]:
        """An array of numpy with plain elements."""
        dtype = array.dtype
        if dtype.kind not in "biufcmMSU" or dtype.metadata:
            raise _Unsupported
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        flat = np.ascontiguousarray(array.T if order == "F" else array).reshape(-1)
        memory = flat.view("u1") if flat.nbytes else b""
        return ("raw", dtype.str, tuple(array.shape), order, self.buffer(memory))

    def objects(self, array: Any) -> tuple[Any, ...]:
        """An array of objects, row by row: text if a row holds nothing else, else a pickle."""
        if array.ndim == 1:
            return self.text(array)
        return ("rows", tuple(array.shape), [self.text(row) for row in array])

    def text(self, array: Any) -> tuple[Any, ...]:
        import pandas as pd

        packed = _native._pack_text(np.ascontiguousarray(array), pd.NA)
        if packed is None:
            listed = array.tolist() if len(array) <= 1000 else [None]
            if len(listed) == len(array) and _is_plain(listed):
                return ("list", listed)
            return self.pickle(array)
        offsets, text, kinds = packed
        number = None if kinds is None else self.buffer(kinds)
        return ("text", len(array), self.buffer(offsets), self.buffer(text), number)

    def arrow(self, chunked: Any) -> tuple[Any, ...]:
        """An Arrow array: its own buffers where they are no larger than it, else a stream."""
        import pyarrow as pa

        whole = chunked.combine_chunks()
        if isinstance(whole, pa.ChunkedArray):
            whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
        kind = whole.type
        memory = [] if _is_nested(kind) else whole.buffers()
        held = sum(each.size for each in memory if each is not None)
        if not memory or whole.offset or held > whole.nbytes + 4096:
            sink = pa.BufferOutputStream()
            table = pa.table({"": whole})
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            return ("stream", self.buffer(sink.getvalue()))
        schema = pa.schema([pa.field("", kind)]).serialize().to_pybytes()
        numbers = [None if each is None else self.buffer(each) for each in memory]
        return ("buffers", schema, len(whole), whole.null_count, numbers)


class _Whole:
    def __init__(self, buffers: list[Any], pickles: bool) -> None:
        self.buffers = buffers
        self.pickles = pickles

    def any(self, description: Any) -> Any:
        kind, *rest = description
        return _MAKERS[kind](self, *rest)

    def pickle(self, stream: int, beside: list[int]) -> Any:
        if not self.pickles:
            raise ValueError("a pickle where none may be")
        return _pickles.loads(self.buffers[stream], [self.buffers[each] for each in beside])

    def plain(self, value: Any) -> Any:
        return value

    def frame(self, columns: Any, index: Any, blocks: Any, attrs: Any, unique: bool) -> Any:
        made = [(self.any(values), self.any(places)) for places, values in blocks]
        frame = _frame_of(made, self.any(index), self.any(columns))
        return self._finish(frame, attrs, unique)

    def series(self, name: Any, index: Any, values: Any, attrs: Any, unique: bool) -> Any:
        import pandas as pd

        array = self.any(values)
        series = pd.Series(
            array, index=self.any(index), dtype=array.dtype, name=self.any(name), copy=False
        )
        return self._finish(series, attrs, unique)

    def _finish(self, value: Any, attrs: Any, unique: bool) -> Any:
        found = self.any(attrs)
        if found:
            value.attrs = found
        if not unique:
            value.flags.allows_duplicate_labels = False
        return value

    def range(self, start: int, stop: int, step: int, name: Any) -> Any:
        import pandas as pd

        return pd.RangeIndex(start, stop, step, name=self.any(name))

    def multi(self, levels: Any, codes: Any, names: Any, sortorder: Any) -> Any:
        import pandas as pd

        return pd.MultiIndex(
            levels=[self.any(level) for level in levels],
            codes=[self.any(each) for each in codes],
            names=[self.any(name) for name in names],
            sortorder=sortorder,
            verify_integrity=True,
        )

    def index(self, kind: str, values: Any, frequency: str | None, name: Any) -> Any:
        import pandas as pd

        if kind not in (
            "Index",
            "DatetimeIndex",
            "TimedeltaIndex",
            "PeriodIndex",
            "CategoricalIndex",
        ):
            raise ValueError(f"no index {kind}")
        array = self.any(values)
        index = getattr(pd, kind)._simple_new(array, self.any(name))
        if frequency is not None:
            from pandas.tseries.frequencies import to_offset

            # Kept by the index in some versions of pandas, by its array in others.
            holder = index if hasattr(type(index), "_freq") else array
            holder._freq = to_offset(frequency)
        return index

    def moment(self, kind: str, dtype: str, values: Any) -> Any:
        import pandas as pd

        if kind not in ("DatetimeArray", "TimedeltaArray"):
            raise ValueError(f"no array {kind}")
        return getattr(pd.arrays, kind)._simple_new(self.any(values), dtype=_dtype_of(dtype))

    def period(self, dtype: str, values: Any) -> Any:
        import pandas as pd

        return pd.arrays.PeriodArray._simple_new(self.any(values), dtype=_dtype_of(dtype))

    def category(self, categories: Any, ordered: bool, codes: Any) -> Any:
        import pandas as pd

        dtype = pd.CategoricalDtype(self.any(categories), ordered)
        return pd.Categorical.from_codes(self.any(codes), dtype=dtype)

    def masked(self, dtype: str, values: Any, mask: Any) -> Any:
        return _dtype_of(dtype).construct_array_type()(self.any(values), self.any(mask))

    def string(self, described: Any, values: Any) -> Any:
        dtype = _string_dtype(described)
        return dtype.construct_array_type()._simple_new(self.any(values), dtype)

    def arrow(self, described: Any, values: Any) -> Any:
        import pandas as pd
        import pyarrow as pa

        found = self.any(values)
        chunked = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
        if described is None:
            return pd.arrays.ArrowExtensionArray(chunked)
        dtype = _string_dtype(described)
        make = dtype.construct_array_type()
        try:
            return make(chunked, dtype=dtype)
        except TypeError:
            return make(chunked)

    def raw(self, dtype: str, shape: Any, order: Any, number: int) -> Any:
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise ValueError("an array of references")
        memory = self.buffers[number]
        array = np.ndarray(shape, kind, memory if len(memory) else None, order=order)
        if array.nbytes != len(memory):
            raise ValueError("an array and its buffer differ in length")
        return array

    def rows(self, shape: Any, rows: Any) -> Any:
        array = np.empty(shape, dtype=object)
        for number, (kind, *rest) in enumerate(rows):
            if kind == "text":
                self.text(*rest, out=array[number])
            else:
                array[number] = self.any((kind, *rest))
        return array

    def list(self, values: Any) -> Any:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array

    def text(self, length: int, offsets: int, text: int, kinds: Any, out: Any = None) -> Any:
        import pandas as pd

        array = np.empty(length, dtype=object) if out is None else out
        found = None if kinds is None else self.buffers[kinds]
        _native._unpack_text(self.buffers[offsets], self.buffers[text], found, np.nan, pd.NA, array)
        return array

    def stream(self, number: int) -> Any:
        import pyarrow as pa

        return pa.ipc.open_stream(pa.py_buffer(self.buffers[number])).read_all().column(0)

    def buffers_(self, schema: bytes, length: int, nulls: int, numbers: Any) -> Any:
        import pyarrow as pa

        kind = pa.ipc.read_schema(pa.py_buffer(schema)).field(0).type
        memory = [None if each is None else pa.py_buffer(self.buffers[each]) for each in numbers]
        array = pa.Array.from_buffers(kind, length, memory, nulls)
        array.validate()
        return array


_MAKERS = {
    name.rstrip("_"): getattr(_Whole, name)
    for name in (
        "pickle", "plain", "frame", "series", "range", "multi", "index", "moment", "period",
        "category", "masked", "string", "arrow", "raw", "rows", "list", "text", "stream",
        "buffers_",
    )
}  # fmt: skip


def _frame_of(blocks: list[tuple[Any, Any]], index: Any, columns: Any) -> Any:
    try:
        from pandas.api.internals import create_dataframe_from_blocks
    except ImportError:  # pandas 2
        from pandas import DataFrame
        from pandas.core.internals import BlockManager, make_block

        made = [make_block(values, places) for values, places in blocks]
        manager = BlockManager(made, [columns, index], verify_integrity=True)
        return DataFrame(manager, copy=False)
    return create_dataframe_from_blocks(blocks, index, columns)


def _dtype_of(text: str) -> Any:
    import pandas as pd

    return pd.api.types.pandas_dtype(text)


def _same_dtype(one: Any, other: Any) -> bool:
    zone, wanted = getattr(one, "tz", None), getattr(other, "tz", None)
    return type(one) is type(other) and bool(one == other) and type(zone) is type(wanted)


def _string_dtype(described: Any) -> Any:
    import pandas as pd

    storage, missing = described
    try:
        return pd.StringDtype(storage, na_value=np.nan if missing == "nan" else pd.NA)
    except TypeError:  # pandas before 2.3
        return pd.StringDtype(storage)


def _is_nested(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
        or pa.types.is_null(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if depth > 50:
        return False
    if kind in (tuple, list):
        return all(_is_plain(each, depth + 1) for each in value)
    if kind is dict:
        return all(
            _is_plain(key, depth + 1) and _is_plain(each, depth + 1) for key, each in value.items()
        )
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    if kind is str:
        return not any("\ud800" <= each <= "\udfff" for each in value)
    return kind in _SCALARS
