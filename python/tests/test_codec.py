"""Values through records and back: what comes out is what went in, and nobody else's."""

import array
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import math
import pathlib
import pickle
import struct
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from thrifty import _native
from thrifty.files import Dir, File


# The plain encoding written a second time, to check the native halves against.
def _size(count: int) -> bytes:
    return struct.pack("<Q", count)


def _framed(tag: int, payload: bytes) -> bytes:
    return bytes([tag]) + _size(len(payload)) + payload


def _typed(name: str, child: object) -> bytes:
    return _framed(0x20, name.encode()) + plain_encode(child)


def plain_encode(value: object) -> bytes:
    """The encoding; any other value is a digest leaf of its type's name."""
    kind = type(value)
    if value is None:
        return b"\x00"
    if kind is bool:
        return b"\x02" if value else b"\x01"
    if kind is int:
        return _framed(3, value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True))
    if kind is float:
        return b"\x04" + struct.pack("<d", value)
    if kind is complex:
        return b"\x05" + struct.pack("<dd", value.real, value.imag)
    if kind is str:
        return _framed(6, value.encode("utf-8", "surrogatepass"))
    if kind is bytes:
        return _framed(7, value)
    if kind in (tuple, list, set, frozenset):
        tag = {tuple: 0x10, list: 0x11, set: 0x12, frozenset: 0x13}[kind]
        return bytes([tag]) + _size(len(value)) + b"".join(map(plain_encode, value))
    if kind is dict:
        pairs = b"".join(plain_encode(key) + plain_encode(each) for key, each in value.items())
        return b"\x14" + _size(len(value)) + pairs
    return _standard(value)


def _standard(value: object) -> bytes:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is datetime.date:
        return _typed(name, (value.year, value.month, value.day))
    if kind is datetime.timedelta:
        return _typed(name, (value.days, value.seconds, value.microseconds))
    if kind is datetime.datetime:
        fields = ["year", "month", "day", "hour", "minute", "second", "microsecond", "fold"]
        return _typed(name, (*(getattr(value, field) for field in fields), value.tzinfo))
    if kind is datetime.time:
        fields = ["hour", "minute", "second", "microsecond", "fold"]
        return _typed(name, (*(getattr(value, field) for field in fields), value.tzinfo))
    if kind is decimal.Decimal:
        return _typed(name, (str(value),))
    if kind is uuid.UUID:
        return _typed(name, (value.int,))
    if kind is range:
        return _typed(name, (value.start, value.stop, value.step))
    if kind in (pathlib.PosixPath, pathlib.PurePosixPath):
        return _typed(f"pathlib.{kind.__name__}", str(value))
    return b"\x30" + hashlib.sha256(name.encode()).digest()


ENCODE = getattr(_native, "encoding", plain_encode)


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return _native._Probe(tmp_path_factory.mktemp("store"), ENCODE)


class Color(enum.Enum):
    RED = 1


class Flag(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Model:
    weights: object
    name: str = "m"


Point = collections.namedtuple("Point", "x y")


class Text(str):
    pass


class Number(int):
    pass


class Holder:
    def __init__(self, value):
        self.value = value


def same(one, other):
    """Whether both are the same value of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return same_array(one, other)
    if isinstance(one, pd.DataFrame):
        return same_frame(one, other)
    if isinstance(one, pd.Series):
        return same_series(one, other)
    if isinstance(one, pd.Index):
        return same_index(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(
            map(same, one.values(), other.values())
        )
    if isinstance(one, (np.str_, np.bytes_)):
        return len(one) == len(other) and one.dtype == other.dtype and one == other
    if isinstance(one, (float, complex, np.generic)):
        return repr(one) == repr(other)
    if isinstance(one, Holder):
        return same(one.value, other.value)
    if isinstance(one, Model):
        return same(one.weights, other.weights) and one.name == other.name
    return one == other


def same_array(one, other):
    layout = one.flags.f_contiguous and not one.flags.c_contiguous
    kept = other.flags.f_contiguous and not other.flags.c_contiguous
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.isalignedstruct != other.dtype.isalignedstruct:
        return False
    if one.dtype.type is not other.dtype.type:
        return False
    if one.dtype == object:
        return all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    contiguous = one.flags.c_contiguous or one.flags.f_contiguous
    return (
        other.flags.writeable
        and (layout == kept or not contiguous)
        and (one.tobytes() == other.tobytes())
    )


def same_index(one, other):
    pd.testing.assert_index_equal(one, other, exact=True)
    missing = [[repr(each) for each in index.tolist()] for index in (one, other)]
    frequencies = [getattr(index, "freq", None) for index in (one, other)]
    return missing[0] == missing[1] and frequencies[0] == frequencies[1]


def same_series(one, other):
    pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=True)
    kinds = [[repr(each) for each in series.tolist()] for series in (one, other)]
    flags = [series.flags.allows_duplicate_labels for series in (one, other)]
    return (
        same_index(one.index, other.index)
        and one.attrs == other.attrs
        and flags[0] == flags[1]
        and kinds[0] == kinds[1]
        and type(one.array) is type(other.array)
    )


def same_frame(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True)
    flags = [frame.flags.allows_duplicate_labels for frame in (one, other)]
    columns = [one.iloc[:, number] for number in range(one.shape[1])]
    return (
        one.equals(other)
        and one.attrs == other.attrs
        and flags[0] == flags[1]
        and len(one._mgr.blocks) == len(other._mgr.blocks)
        and same_index(one.columns, other.columns)
        and all(same_series(each, other.iloc[:, at]) for at, each in enumerate(columns))
    )


SHARED_TUPLE = (1, "two")
UTC = datetime.UTC

PLAIN = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "127": 127,
    "128": 128,
    "-128": -128,
    "-129": -129,
    "int64 max": 2**63 - 1,
    "int64 min": -(2**63),
    "beyond int64": 2**63,
    "big": 3**500,
    "big negative": -(3**500),
    "float": 1.5,
    "minus zero": -0.0,
    "infinity": math.inf,
    "nan": math.nan,
    "smallest": 5e-324,
    "complex": complex(1, -0.0),
    "empty text": "",
    "text": "héllo \U0001f600",
    "surrogate": "a\udc80b",
    "nul": "a\0b",
    "bytes": b"\0\xff",
    "empty bytes": b"",
    "empty tuple": (),
    "empty list": [],
    "empty dict": {},
    "empty set": set(),
    "nested": (1, [2, {"a": (3, None)}], frozenset({4})),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset({b"x", 2.5}),
    "dict order": {"z": 1, "a": 2, 3: "x", (1, 2): []},
    "1 and True apart": [1, True, 1.0],
    "shared tuple": [SHARED_TUPLE, SHARED_TUPLE],
    "deep": eval("[" * 80 + "]" * 80),
}

STANDARD = {
    "date": datetime.date(2020, 2, 29),
    "datetime": datetime.datetime(2020, 2, 29, 1, 2, 3, 4),
    "datetime fold": datetime.datetime(2020, 10, 25, 2, fold=1),
    "time": datetime.time(1, 2, 3, 4),
    "timedelta": datetime.timedelta(-3, 4, 5),
    "decimal": decimal.Decimal("1.500"),
    "decimal nan": decimal.Decimal("Infinity"),
    "uuid": uuid.UUID(int=7),
    "range": range(1, 10, 3),
    "path": pathlib.PosixPath("/a/b.txt"),
    "pure path": pathlib.PurePosixPath("a"),
    "dates": [datetime.date(2020, 1, 1), {"when": datetime.date(2021, 1, 1)}],
    "fraction": fractions.Fraction(1, 3),
    "datetime utc": datetime.datetime(2020, 1, 1, tzinfo=UTC),
}

OBJECTS = {
    "enum": Color.RED,
    "flag": Flag.A | Flag.B,
    "dataclass": Model(np.arange(5.0)),
    "namedtuple": Point(1, [2]),
    "ordered dict": collections.OrderedDict(a=1),
    "counter": collections.Counter("abc"),
    "defaultdict": collections.defaultdict(list, {1: [2]}),
    "deque": collections.deque([1, 2], maxlen=3),
    "str subclass": Text("x"),
    "int subclass": Number(3),
    "bytearray": bytearray(b"abc"),
    "array": array.array("d", [1.0, 2.0]),
    "function by name": math.sqrt,
    "class by name": decimal.Decimal,
    "holder": Holder({"w": np.ones((3, 2))}),
    "exception": ValueError,
}

ARRAYS = {
    "bool": np.array([True, False]),
    **{
        kind: np.arange(7).astype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    },
    **{kind: np.linspace(-1, 1, 7).astype(kind) for kind in ("f2", "f4", "f8", "g", "F", "D")},
    "big-endian": np.arange(5, dtype=">i4"),
    "datetime64": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "datetime64 generic": np.array(["NaT"], dtype="M8"),
    "timedelta64": np.array([1, 2], dtype="m8[25s]"),
    "unicode": np.array(["a", "bcd", "\U0001f600"]),
    "fixed bytes": np.array([b"a\0", b"bcd"]),
    "void": np.zeros(3, dtype="V5"),
    "structured": np.array([(1, 2.5, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    "structured nested": np.zeros(
        2, dtype=[("p", [("x", "f4"), ("y", "f4", (2, 3))]), ("q", "i1")]
    ),
    "structured aligned": np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "structured offsets": np.zeros(
        2, dtype=np.dtype({"names": ["a"], "formats": ["i2"], "offsets": [6], "itemsize": 16})
    ),
    "zero-dimensional": np.array(3.5),
    "empty": np.empty((0,)),
    "empty with extents": np.empty((0, 3), dtype="i4"),
    "empty text": np.array([], dtype="U0"),
    "c order": np.arange(12).reshape(3, 4),
    "f order": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "f order 3d": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "transposed": np.arange(12).reshape(3, 4).T,
    "strided": np.arange(20)[::2],
    "reversed": np.arange(20)[::-1],
    "neither order": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "read-only": np.frombuffer(b"abcdefgh", dtype="i4"),
    "nan payload": np.array([0x7FF8000000000123], dtype="u8").view("f8"),
    "large": np.arange(200_000.0),
    "large f order": np.asfortranarray(np.arange(200_000.0).reshape(400, 500)),
    "objects": np.array([1, "a", None, [1, 2]], dtype=object),
    "numpy text": np.array(
        ["a", "long text beyond the inline size"], dtype=np.dtypes.StringDType()
    ),
    "float64 scalar": np.float64(1.5),
    "float32 scalar": np.float32("nan"),
    "int8 scalar": np.int8(-3),
    "bool scalar": np.bool_(True),
    "complex scalar": np.complex64(1 + 2j),
    "datetime scalar": np.datetime64("2020-01-01T00:00", "ns"),
    "timedelta scalar": np.timedelta64(5, "D"),
    "text scalar": np.str_("abc"),
    "text scalar with end": np.str_("ab\0"),
    "text scalar odd": np.str_("\udc80\0"),
    "bytes scalar": np.bytes_(b"ab\0"),
    "void scalar": np.zeros(1, dtype=[("a", "i4"), ("b", "f8")])[0],
    "masked": np.ma.masked_array([1, 2], mask=[True, False]).filled(0),
    "record array": np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "record": np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
    "records without their class": np.rec.array([(1,)], dtype=[("a", "i4")]).view(np.ndarray),
    "dtype": np.dtype("f8"),
}

DAYS = pd.date_range("2020-01-01", periods=4, tz="Europe/Paris")


def frame_of_many():
    return pd.DataFrame(
        {
            "i": [1, 2, 3, 4],
            "j": [5, 6, 7, 8],
            "f": [0.5, np.nan, 1.5, -0.0],
            "f4": np.arange(4, dtype="f4"),
            "b": [True, False, True, True],
            "text": ["a", "bb", None, ""],
            "object": pd.Series(["a", None, np.nan, pd.NA], dtype=object),
            "mixed": pd.Series([1, "a", (2,), [3]], dtype=object),
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2022-01-01"]),
            "zoned": DAYS,
            "delta": pd.to_timedelta([1, 2, None, 4], unit="s"),
            "Int64": pd.array([1, None, 3, 4], dtype="Int64"),
            "Float32": pd.array([1, None, 3, 4], dtype="Float32"),
            "boolean": pd.array([True, None, False, True], dtype="boolean"),
            "category": pd.Categorical(["x", "y", "x", None], categories=["y", "x", "z"]),
            "ordered": pd.Categorical([1, 2, 1, 2], ordered=True),
            "string python": pd.array(["a", None, "ü", "d"], dtype="string[python]"),
            "string arrow": pd.array(["a", None, "ü", "d"], dtype="string[pyarrow]"),
            "period": pd.period_range("2020-01", periods=4, freq="M"),
            "interval": pd.interval_range(0, 4),
            "sparse": pd.arrays.SparseArray([0, 0, 1, 0]),
        }
    )


def with_attributes(value, attrs, unique=False):
    value.attrs = attrs
    return value.set_flags(allows_duplicate_labels=not unique)


FRAMES = {
    "many kinds": frame_of_many(),
    "numbers": pd.DataFrame(np.arange(40.0).reshape(10, 4), columns=list("abcd")),
    "no columns": pd.DataFrame(index=[1, 2, 3]),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="f8"), "b": pd.Series([], dtype=object)}),
    "nothing": pd.DataFrame(),
    "duplicate columns": pd.DataFrame([[1, 2.5, "x"]], columns=["a", "a", "b"]),
    "number columns": pd.DataFrame({0: [1], 1: [2]}),
    "mixed columns": pd.DataFrame([[1, 2, 3]], columns=["a", 1, (2, 3)]),
    "attrs": with_attributes(pd.DataFrame({"a": [1]}), {"source": "x", "n": [1, 2]}, unique=True),
    "odd attrs": with_attributes(pd.DataFrame({"a": [1]}), {"when": datetime.date(2020, 1, 1)}),
    "multi index": pd.DataFrame({"a": [1, 2, 3]}).set_index(
        pd.MultiIndex.from_tuples([("x", 1), ("y", 2), ("x", 3)], names=["k", None])
    ),
    "multi columns": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["a"], [1, 2]])),
    "time index": pd.DataFrame({"a": range(4)}, index=DAYS),
    "unconsolidated": pd.concat([pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [2.0]})], axis=1),
    "strided": pd.DataFrame(np.arange(40.0).reshape(10, 4))[::2],
    "large text": pd.DataFrame({"t": pd.Series([f"v{i % 5000}" for i in range(30_000)], dtype=object)}),
    "large str": pd.DataFrame({"t": [f"v{i}" for i in range(30_000)]}),
    "sliced str": pd.DataFrame({"t": [f"v{i}" for i in range(30_000)]})[100:110],
    "surrogate": pd.DataFrame({"t": pd.Series(["a\udc80"], dtype=object)}),
    "str subclass": pd.DataFrame({"t": pd.Series([Text("x")], dtype=object)}),
    "arrow list": pd.DataFrame({"l": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    "arrow int": pd.DataFrame({"l": pd.array([1, None], dtype="int32[pyarrow]")}),
    "arrow bool": pd.DataFrame({"l": pd.array([True, None], dtype="bool[pyarrow]")}),
    "arrow time": pd.DataFrame({"l": pd.array([datetime.datetime(2020, 1, 1)], dtype="timestamp[us][pyarrow]")}),
    "series": pd.Series([1, 2, 3], name="n"),
    "series tuple name": pd.Series([1.5], name=("a", 1)),
    "series object": pd.Series([1, None, "x"], dtype=object),
    "series of text": pd.Series(["a", None]),
    "series category": pd.Series(["a", "b"], dtype="category"),
    "series attrs": with_attributes(pd.Series([1], index=["a"]), {"x": 1}, unique=True),
    "series empty": pd.Series([], dtype="datetime64[ns]"),
    "index": pd.Index([3, 1, 2], name="k"),
    "index text": pd.Index(["a", "b"]),
    "index object": pd.Index(["a", 1, None], dtype=object),
    "index float": pd.Index([1.5, np.nan]),
    "index bool": pd.Index([True, False]),
    "range index": pd.RangeIndex(2, 10, 3, name="r"),
    "date range": pd.date_range("2020-01-01", periods=5, freq="h"),
    "date no freq": pd.DatetimeIndex(["2020-01-01", "2020-01-05"], name="d"),
    "date seconds": pd.date_range("2020-01-01", periods=2).as_unit("s"),
    "fixed offset": pd.date_range("2020-01-01", periods=2, tz=datetime.timezone(datetime.timedelta(hours=2))),
    "business days": pd.bdate_range("2020-01-01", periods=5),
    "timedelta range": pd.timedelta_range("1s", periods=3, freq="2s"),
    "period range": pd.period_range("2020-01", periods=3, freq="Q"),
    "category index": pd.CategoricalIndex(["a", "b", "a"], ordered=True),
    "interval index": pd.interval_range(0, 3),
    "multi": pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"]),
    "masked index": pd.Index([1, None], dtype="Int64"),
}  # fmt: skip

COMPOSITES = {
    "tuple": (np.arange(3), 1, "x"),
    "list": [np.arange(3), np.arange(4)],
    "dict": {"model": Model(np.ones(3)), "score": 0.5, 3: np.zeros(2)},
    "nested": {"a": (np.arange(2), {"b": [np.arange(3)]})},
    "too nested": ((((np.arange(3),),),),),
    "two objects": (Holder(1), Holder(2)),
    "frame and array": (FRAMES["numbers"], ARRAYS["large"], "text" * 20_000),
    "long": [np.arange(2) for _ in range(65)],
    "date keys": {datetime.date(2020, 1, 1): np.arange(2)},
    "enum keys": {Color.RED: np.arange(2)},
}

LONG = {
    "text": "é" * 100_000,
    "ascii": "x" * 100_000,
    "surrogates": "\udc80" * 100_000,
    "bytes": b"\x01" * 100_000,
    "list": list(range(30_000)),
    "dict": {str(i): i for i in range(10_000)},
}

TABLE = {
    f"{group}: {name}": value
    for group, values in {
        "plain": PLAIN,
        "standard": STANDARD,
        "object": OBJECTS,
        "array": ARRAYS,
        "frame": FRAMES,
        "composite": COMPOSITES,
        "long": LONG,
    }.items()
    for name, value in values.items()
}


@pytest.mark.parametrize("name", TABLE)
def test_a_value_comes_back_as_it_was(probe, name):
    record = probe.put(TABLE[name])
    assert same(TABLE[name], probe.get(record))


@pytest.mark.parametrize("name", TABLE)
def test_the_value_digest_is_the_same_before_and_after(probe, name):
    if not hasattr(_native, "digest"):
        pytest.skip("no digest in this build")
    assert _native.digest(TABLE[name]) == _native.digest(probe.get(probe.put(TABLE[name])))


def test_codecs_go_from_safe_to_general(probe):
    shape = {name: probe.shape(probe.put(value)) for name, value in TABLE.items()}
    for name in PLAIN:
        assert shape[f"plain: {name}"] == "plain", name
    for name in ("date", "datetime", "uuid", "range", "path", "timedelta", "dates"):
        assert shape[f"standard: {name}"] == "plain", name
    pickled = {"objects", "numpy text", "dtype"} | {name for name in ARRAYS if "record" in name}
    for name in ARRAYS:
        assert shape[f"array: {name}"] == ("pickle/1" if name in pickled else "ndarray/1"), name
    pickled = {
        "many kinds", "odd attrs", "surrogate", "str subclass", "interval index",
    }  # fmt: skip
    for name in FRAMES:
        expected = "frame+pickle/1" if name in pickled else "frame/1"
        assert shape[f"frame: {name}"] == expected, name
    assert shape["composite: tuple"] == "(ndarray/1, plain, plain)"
    assert shape["composite: dict"] == "(pickle/1, plain, ndarray/1)"
    assert shape["composite: nested"] == "((ndarray/1, (pickle/1)))"
    assert shape["composite: too nested"] == "(((pickle/1)))"
    assert shape["composite: two objects"] == "pickle/1"
    assert shape["composite: long"] == "pickle/1"
    assert shape["composite: enum keys"] == "pickle/1"
    assert shape["composite: frame and array"] == "(frame/1, ndarray/1, text/1)"
    assert [shape[f"long: {name}"] for name in LONG] == [
        "text/1", "text/1", "plain/1", "bytes/1", "plain/1", "plain/1",
    ]  # fmt: skip


PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]))
    | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN_VALUES)
@settings(max_examples=300, deadline=None)
# A long leaf stands as a digest in the encoding, so that the value is written out anew.
@example((b"\0" * 32, 0j))
@example([b"\0" * 32, 2**70, -(2**70), -(2**63), 2**63])
@example({"long": b"\0" * 99, "lone": "\ud800"})
def test_any_plain_value_comes_back(probe, value):
    record = probe.put(value)
    assert probe.shape(record) == "plain"
    assert same(value, probe.get(record))


@given(
    st_numpy.arrays(
        st_numpy.scalar_dtypes() | st_numpy.nested_dtypes(max_leaves=4),
        st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.sampled_from("CFK"),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_array_comes_back(probe, value, order):
    value = value.copy(order)
    assert same(value, probe.get(probe.put(value)))


@given(
    st.lists(st.text(max_size=4) | st.none() | st.just(math.nan) | st.just(pd.NA), max_size=30),
    st.sampled_from([object, "string[python]", "string[pyarrow]", "str"]),
)
@settings(max_examples=150, deadline=None)
def test_any_column_of_text_comes_back(probe, values, dtype):
    series = pd.Series(values, dtype=dtype)
    assert same(series, probe.get(probe.put(series)))


@pytest.mark.parametrize("name", ["large", "large f order", "c order"])
def test_writing_into_a_loaded_array_is_seen_by_nobody(probe, name):
    record = probe.put(ARRAYS[name])
    first, second = probe.get(record), probe.get(record)
    first[...] = -1
    assert same(ARRAYS[name], second)
    assert same(ARRAYS[name], probe.get(record))


def test_writing_into_a_loaded_frame_is_seen_by_nobody(probe):
    frame = pd.DataFrame({"a": np.arange(50_000.0), "b": np.arange(50_000.0)})
    record = probe.put(frame)
    first, second = probe.get(record), probe.get(record)
    first.loc[:, "a"] = -1.0
    first._mgr.blocks[0].values[:] = -2.0
    assert same(frame, second)
    assert same(frame, probe.get(record))


def test_writing_into_a_loaded_pickle_is_seen_by_nobody(probe):
    record = probe.put(Holder(np.arange(100_000.0)))
    first = probe.get(record)
    first.value[:] = -1
    assert same(np.arange(100_000.0), probe.get(record).value)


def test_a_loaded_value_outlives_its_store(tmp_path):
    import shutil

    probe = _native._Probe(tmp_path / "gone", ENCODE)
    value = probe.get(probe.put(ARRAYS["large"]))
    del probe
    shutil.rmtree(tmp_path / "gone")
    assert same(ARRAYS["large"], value)


def test_what_a_value_holds_twice_is_one_object_again(probe):
    inner = [1]
    first, second = probe.get(probe.put([inner, inner]))
    assert first is second
    shared = Holder(None)
    first, second = probe.get(probe.put((Holder(shared), Holder(shared))))
    assert first.value is second.value
    numbers = np.arange(3)
    first, second = probe.get(probe.put((numbers, numbers)))
    assert first is second


def test_tuples_shared_beyond_reason_are_kept(probe):
    value = ()
    for _ in range(40):
        value = (value, value)
    if ENCODE is plain_encode:
        pytest.skip("the second encoder writes everything out")
    value = probe.get(probe.put(value))
    for _ in range(40):
        value, other = value
        assert value is other
    assert value == ()


def test_a_loaded_frame_is_consolidated(probe):
    frame = pd.DataFrame(np.arange(40.0).reshape(10, 4), columns=list("abcd"))
    assert len(probe.get(probe.put(frame))._mgr.blocks) == 1


@pytest.mark.parametrize("value", [lambda: 1, Holder(lambda: 1), (i for i in ()), open])
def test_what_cannot_be_kept_says_so(probe, value):
    with open(__file__) as stream, pytest.raises(_native.NotStorable) as caught:
        probe_of_names(probe).put(Holder(stream) if value is open else value)
    assert "cannot be stored" in str(caught.value)
    assert "passed on" in str(caught.value)
    assert caught.value.__cause__ is not None


def probe_of_names(probe):
    """A store whose digests never refuse a value."""
    if ENCODE is plain_encode:
        return probe
    import tempfile

    return _native._Probe(tempfile.mkdtemp(), plain_encode)


def test_an_interrupt_while_pickling_stays_an_interrupt(probe):
    with pytest.raises(KeyboardInterrupt):
        probe_of_names(probe).put(Interrupting())


class Interrupting:
    def __reduce__(self):
        raise KeyboardInterrupt


KNOWN = ["ndarray/1", "frame/1", "frame+pickle/1", "pickle/1", "plain/1", "text/1", "bytes/1",
         "file/1", "dir/1"]  # fmt: skip


@pytest.mark.parametrize("codec", ["", "ndarray/2", "nothing/1", "pickle"])
def test_an_unknown_codec_is_unreadable(probe, codec):
    with pytest.raises(_native.Unreadable, match="not known to this version"):
        probe.get_object(codec, b"", [])


@pytest.mark.parametrize("codec", [codec for codec in KNOWN if "pickle" not in codec])
@given(
    st.binary(max_size=60) | PLAIN_VALUES.map(plain_encode),
    st.lists(st.binary(max_size=40), max_size=3),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_headers_are_unreadable_at_worst(probe, codec, header, buffers):
    with contextlib.suppress(_native.Unreadable):
        probe.get_object(codec, header, buffers)


def described(value):
    """Codec, header and buffers of a stored value, all in the record."""
    from thrifty import _frame

    description, buffers, _ = _frame.take_apart(value)
    return description, [bytes(memoryview(each).cast("B")) for each in buffers]


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_frames_are_unreadable_at_worst(probe, data):
    frame = FRAMES[
        data.draw(st.sampled_from(["numbers", "series of text", "multi index", "arrow int"]))
    ]
    description, buffers = described(frame)
    header = bytearray(plain_encode(description))
    for _ in range(data.draw(st.integers(0, 3))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    at = data.draw(st.integers(0, len(buffers) - 1))
    buffers[at] = data.draw(st.binary(max_size=80) | st.just(buffers[at]))
    with contextlib.suppress(_native.Unreadable):
        probe.get_object("frame/1", bytes(header), buffers)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_records_are_unreadable_at_worst(probe, data):
    value = data.draw(
        st.sampled_from(
            [ARRAYS["c order"], COMPOSITES["nested"], STANDARD["dates"], FRAMES["numbers"]]
        )
    )
    record = bytearray(probe.put(value))
    for _ in range(data.draw(st.integers(1, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(_native.Unreadable):
        probe.get(bytes(record))


def test_a_frame_without_leave_never_unpickles(probe):
    description, buffers = described(FRAMES["odd attrs"])
    header = plain_encode(description)
    assert probe.get_object("frame+pickle/1", header, buffers).attrs
    with pytest.raises(_native.Unreadable, match="a pickle where none may be"):
        probe.get_object("frame/1", header, buffers)


def test_a_pickle_that_raises_is_unreadable(probe):
    stream = pickle.dumps(Holder(1)).replace(b"Holder", b"Helder")
    with pytest.raises(_native.Unreadable) as caught:
        probe.get_object("pickle/1", b"", [stream])
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.fixture
def sources(tmp_path):
    root = tmp_path / "sources"
    (root / "tree" / "below").mkdir(parents=True)
    (root / "tree" / "empty").mkdir()
    (root / "tree" / "one.txt").write_text("one")
    (root / "tree" / "below" / "same.txt").write_text("one")
    (root / "tree" / "below" / "run.sh").write_text("#!/bin/sh")
    (root / "tree" / "below" / "run.sh").chmod(0o755)
    (root / "data é.bin").write_bytes(b"\0\1" * 100_000)
    return root


def test_a_file_comes_back_by_content_under_its_name(probe, sources):
    source = File(sources / "data é.bin")
    record = probe.put(source)
    assert probe.shape(record) == "file/1"
    (sources / "data é.bin").unlink()
    loaded = probe.get(record)
    assert loaded.read_bytes() == b"\0\1" * 100_000
    assert loaded.name == "data é.bin"
    assert loaded.path.stat().st_mode & 0o222 == 0
    assert probe.get(record).path == loaded.path


def test_a_changed_copy_of_a_file_is_replaced(probe, sources):
    record = probe.put(File(sources / "tree" / "one.txt"))
    loaded = probe.get(record)
    loaded.path.unlink()
    loaded.path.write_text("changed")
    assert probe.get(record).read_text() == "one"


def test_a_directory_comes_back_by_content(probe, sources):
    source = Dir(sources / "tree")
    record = probe.put(source)
    loaded = probe.get(record)
    assert loaded == source
    assert loaded.digest == source.digest
    assert loaded.name == "tree"
    assert [file.name for file in loaded.files()] == ["run.sh", "same.txt", "one.txt"]
    assert (loaded.path / "empty").is_dir()
    (loaded.path / "added.txt").write_text("x")
    again = probe.get(record)
    assert again == source
    assert again.path != loaded.path


def test_files_are_equal_by_content(sources):
    one, same_content = File(sources / "tree/one.txt"), File(sources / "tree/below/same.txt")
    assert one == same_content
    assert hash(one) == hash(same_content)
    assert one != File(sources / "tree/below/run.sh")
    assert one != Dir(sources / "tree")
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_file_written_to_has_another_digest(sources):
    file = File(sources / "tree/one.txt")
    before = file.digest
    (sources / "tree/one.txt").write_text("two")
    assert file.digest != before


def test_copies_are_the_users_own(probe, sources, tmp_path):
    loaded = probe.get(probe.put((Dir(sources / "tree"), File(sources / "tree/one.txt"))))
    copy = loaded[1].copy_to(tmp_path)
    copy.path.write_text("mine")
    tree = loaded[0].copy_to(tmp_path / "tree copy")
    (tree.path / "one.txt").write_text("mine")
    assert loaded[1].read_text() == "one"
    assert loaded[0] == Dir(sources / "tree")
    assert (tree.path / "below/run.sh").stat().st_mode & 0o100


def test_a_file_is_for_reading(sources):
    with pytest.raises(ValueError, match="copy_to"):
        File(sources / "tree/one.txt").open("w")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        _ = File(sources / "nothing").digest
    with pytest.raises(OSError, match="tree"):
        _ = File(sources / "tree").digest


@pytest.mark.parametrize("name", ["../../x", "a/b/../", "/a/b/cd", "a\0bcdef", "./a.txt"])
def test_a_name_that_leads_elsewhere_is_unreadable(probe, name, sources):
    record = probe.put(File(sources / "tree/one.txt"))
    forged = record.replace(plain_encode("one.txt"), plain_encode(name))
    assert forged != record
    with pytest.raises(_native.Unreadable, match="no name of a file"):
        probe.get(forged)


def test_no_memory_for_a_stored_value_is_a_memory_error(programs):
    """Neither a panic, which nobody catches, nor damage, for which the entry would go."""
    programs.write(
        "main.py",
        """
        import pathlib, resource, sys
        from thrifty import _native

        LENGTH = 64 << 20
        probe = _native._Probe(pathlib.Path(sys.argv[1]))
        values = [bytes(LENGTH), "a" * LENGTH, "é" * (LENGTH // 2), bytearray(LENGTH)]
        records = [probe.put(value) for value in values]
        assert all(probe.get(record) == value for record, value in zip(records, values))
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        # Room for the map of a blob, and not for what is made of it.
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + LENGTH * 3 // 2, most)
        )
        told = []
        for record in records:
            try:
                told.append(len(probe.get(record)))
            except BaseException as error:
                told.append(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        assert all(probe.get(record) == value for record, value in zip(records, values))
        print(*told)
        """,
    )
    told = programs.run("main.py", str(programs.directory / "store"))
    assert told.split() == ["MemoryError"] * 4
