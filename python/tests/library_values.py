"""Values of libraries for `test_digest.py`, like those of `digest_values.py`.

A source of a library that is not installed is left out.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import itertools
import pickle

WORDS = ["alpha", None, "", "a word that is longer than twelve bytes", "é", "beta"]


def arrow_groups():
    import numpy as np
    import pyarrow as pa

    def arrays(values, kind):
        """An array written in ways that must not show."""
        plain = pa.array(values, kind)
        wide = pa.array([*values[-1:], *values, *values[:1]], kind)
        return [plain, wide[1:-1], pa.concat_arrays([plain[:2], plain[2:]])]

    def chunks(values, kind):
        cuts = (0, 1, len(values) // 2, len(values))
        parts = [values[start:end] for start, end in itertools.pairwise(cuts)]
        return [
            pa.chunked_array([values], kind),
            pa.chunked_array(parts, kind),
            pa.chunked_array([[], *parts, []], kind),
            pa.chunked_array([*parts, *parts], kind)[: len(values)],
        ]

    numbers = [1, 2, None, 4, 5, 0]
    lists = [[1, None], [], None, [2, 3], [4], [5, 6, 7]]
    structs = [
        {"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}, {"a": 0, "b": ""}, {"a": 3, "b": "z"},
    ]  # fmt: skip
    times = [0, 1, None, 3, 4, 5]
    kinds = [
        (numbers, pa.int64()),
        (numbers, pa.int32()),
        (numbers, pa.uint8()),
        (numbers, pa.float64()),
        (numbers, pa.float32()),
        (numbers, pa.float16()),
        (numbers, pa.decimal128(10, 2)),
        (numbers, pa.decimal256(40, 2)),
        ([True, False, None, True, True, False], pa.bool_()),
        ([None] * 6, pa.null()),
        (WORDS, pa.string()),
        (WORDS, pa.large_string()),
        (WORDS, pa.string_view()),
        ([None if word is None else word.encode() for word in WORDS], pa.binary()),
        ([None if word is None else word.encode() for word in WORDS], pa.binary_view()),
        ([None if n is None else bytes([n]) * 3 for n in numbers], pa.binary(3)),
        (times, pa.timestamp("us")),
        (times, pa.timestamp("us", "UTC")),
        (times, pa.timestamp("ns", "Europe/Berlin")),
        (times, pa.date32()),
        (times, pa.date64()),
        (times, pa.time32("s")),
        (times, pa.time64("ns")),
        (times, pa.duration("ms")),
        ([None if t is None else (t, 2, 3) for t in times], pa.month_day_nano_interval()),
        (lists, pa.list_(pa.int64())),
        (lists, pa.large_list(pa.int64())),
        (lists, pa.list_(pa.int32())),
        ([[1, 2], None, [3, None], [5, 6], [7, 8], [9, 0]], pa.list_(pa.int64(), 2)),
        (structs, pa.struct({"a": pa.int64(), "b": pa.string()})),
        (structs, pa.struct([pa.field("a", pa.int64()), pa.field("b", pa.large_string())])),
        ([[("k", 1)], [], None, [("l", None)], [], [("m", 2)]], pa.map_(pa.string(), pa.int64())),
        ([structs[:2], [], None, structs[2:], [], []], pa.list_(pa.struct({"a": pa.int64(), "b": pa.string()}))),
    ]  # fmt: skip
    for values, kind in kinds:
        yield f"array {kind}", arrays(values, kind)
        yield f"chunked {kind}", chunks(values, kind)
        yield f"scalar {kind}", [pa.array(values, kind)[0], pa.array(values, kind)[:1][0]]
        yield f"type {kind}", [kind, copy.copy(kind)]

    # What lies under a null, in a column and in what it encloses.
    validity = pa.py_buffer(b"\x05")
    buffers = [pa.py_buffer(np.array([1, other, 3], dtype="i8")) for other in (0, 7)]
    hidden = [pa.Array.from_buffers(pa.int64(), 3, [validity, buffer]) for buffer in buffers]
    yield "hidden number", [pa.array([1, None, 3]), *hidden]
    fields = [pa.array([1, other, 3]) for other in (0, 7, None)]
    mask = pa.array([False, True, False])
    yield (
        "hidden field",
        [pa.StructArray.from_arrays([field], ["a"], mask=mask) for field in fields],
    )
    lists = [
        pa.ListArray.from_arrays([0, 1, 2, 3], pa.array([1, other, 3]), mask=mask)
        for other in (0, 7)
    ]
    yield "hidden list", [pa.array([[1], None, [3]], pa.list_(pa.int64())), *lists]
    texts = [b"abc", b"aXc"]
    offsets = pa.py_buffer(np.array([0, 1, 2, 3], dtype="i4"))
    yield (
        "hidden text",
        [
            pa.Array.from_buffers(pa.string(), 3, [validity, offsets, pa.py_buffer(text)])
            for text in texts
        ],
    )
    yield "null and zero", [pa.array([1, 0, 3])]
    yield "null and empty text", [pa.array(["a", "", "c"])]
    yield "null and empty list", [pa.array([[1], [], [3]])]

    words = pa.array(["b", "a", "b", None])
    coded = words.dictionary_encode()
    yield "dictionary", [coded, pa.array(["b", "a", "b", None], coded.type)]
    yield "dictionary plain", [words]
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1, None], pa.int32()), ["a", "b"])
    yield "dictionary order", [other]
    more = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int32()), ["b", "a", "c"])
    yield "dictionary more", [more]
    narrow = pa.dictionary(pa.int8(), pa.string())
    yield "dictionary narrow", [coded.cast(narrow)]
    yield "dictionary ordered", [coded.cast(pa.dictionary(pa.int32(), pa.string(), ordered=True))]
    yield (
        "dictionary chunks",
        [
            pa.chunked_array([coded]),
            pa.chunked_array([coded[:2], coded[2:]]),
            pa.chunked_array(
                [pa.array(["b"], coded.type), pa.array(["a"], coded.type), pa.array(["b", None], coded.type)]
            ),
        ],
    )  # fmt: skip
    yield "dictionary scalar", [coded[0]]

    def table(**options):
        return pa.table({"a": [1, 2, None], "b": ["x", None, "y"]}, **options)

    yield (
        "table",
        [
            table(),
            pa.concat_tables([table()[:1], table()[1:]]),
            pa.concat_tables([table(), table()])[3:],
            pa.Table.from_batches(table().to_batches(max_chunksize=1)),
        ],
    )
    yield "table order", [table().select(["b", "a"])]
    yield "table name", [table().rename_columns(["a", "c"])]
    yield (
        "table metadata",
        [table(metadata={"k": "v", "l": "w"}), table(metadata={"l": "w", "k": "v"})],
    )
    yield "table other metadata", [table(metadata={"k": "w"})]
    yield "table cast", [table().cast(pa.schema({"a": pa.int32(), "b": pa.string()}))]
    required = pa.schema(
        [pa.field("a", pa.int64()), pa.field("b", pa.string(), nullable=True, metadata={"u": "m"})]
    )
    yield "table field metadata", [table().cast(required)]
    yield "table no rows", [table()[:0]]
    yield "table no columns", [pa.table({})]
    batch = table().to_batches()[0]
    yield (
        "batch",
        [
            batch,
            table().combine_chunks().to_batches()[0],
            pa.record_batch(batch.columns, schema=batch.schema),
        ],
    )
    yield (
        "batch slice",
        [batch[1:], pa.record_batch({"a": pa.array([2, None], pa.int64()), "b": [None, "y"]})],
    )
    yield "schema", [table().schema, batch.schema]
    yield "schema metadata", [table().schema.with_metadata({"k": "v"})]
    yield "field", [pa.field("a", pa.int64())]
    yield "field required", [pa.field("a", pa.int64(), nullable=False)]
    yield "field name", [pa.field("b", pa.int64())]
    yield "list field name", [pa.list_(pa.field("element", pa.int64()))]
    yield "buffer", [pa.py_buffer(b"abc"), pa.py_buffer(b"xabc").slice(1)]
    yield "chunked empty", [pa.chunked_array([], pa.int64()), pa.chunked_array([[]], pa.int64())]
    big = pa.array(range(300_000))
    yield (
        "large",
        [pa.chunked_array([big]), pa.chunked_array([big[:1], big[1:100_000], big[100_000:]])],
    )
    sparse = pa.array([None if i % 3 else i for i in range(300_000)])
    yield (
        "large with nulls",
        [pa.chunked_array([sparse]), pa.chunked_array([sparse[:7], sparse[7:]])],
    )
    text = [None if i % 5 == 0 else f"word {i}" * (i % 4) for i in range(50_000)]
    yield "large text", [pa.chunked_array([text]), pa.chunked_array([text[:7], text[7:]])]


def polars_groups():
    import datetime as dt
    import decimal

    import polars as pl

    def series(values, dtype=None):
        """A series written in ways that must not show."""
        whole = pl.Series("s", values, dtype)
        halves = pl.concat([whole[:2], whole[2:]], rechunk=False)
        padded = pl.concat([whole[-1:], whole, whole[:1]])[1:-1]
        return [whole, halves, padded, whole.clone(), pickle.loads(pickle.dumps(whole))]

    numbers = [1, 2, None, 4, 5, 0]
    days = [dt.date(2020, 1, day) for day in range(1, 6)]
    moments = [dt.datetime(2020, 1, day) for day in range(1, 6)]
    structs = [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}]
    kinds = [
        *((numbers, kind) for kind in (
            pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64,
        )),
        ([True, False, None, True], pl.Boolean),
        (WORDS, pl.String),
        ([None if word is None else word.encode() for word in WORDS], pl.Binary),
        ([None] * 4, pl.Null),
        (days, pl.Date),
        (moments, pl.Datetime("us")),
        (moments, pl.Datetime("ms")),
        (moments, pl.Datetime("us", "UTC")),
        (moments, pl.Datetime("us", "Europe/Berlin")),
        ([dt.timedelta(n) for n in range(5)], pl.Duration("us")),
        ([dt.timedelta(n) for n in range(5)], pl.Duration("ns")),
        ([dt.time(n) for n in range(5)], pl.Time),
        ([decimal.Decimal(n) for n in range(5)], pl.Decimal(10, 2)),
        ([decimal.Decimal(n) for n in range(5)], pl.Decimal(10, 1)),
        ([[1, None], [], None, [2, 3]], pl.List(pl.Int64)),
        ([[1, None], [], None, [2, 3]], pl.List(pl.Int32)),
        ([[1, 2], [3, 4], None, [5, 6]], pl.Array(pl.Int64, 2)),
        (structs, pl.Struct({"a": pl.Int64, "b": pl.String})),
        (structs, pl.Struct({"a": pl.Int32, "b": pl.String})),
        ([structs, [], None, structs], pl.List(pl.Struct({"a": pl.Int64, "b": pl.String}))),
        (["x", "y", None, "x"], pl.Categorical),
        (["x", "y", None, "x"], pl.Enum(["x", "y"])),
        (["x", "y", None, "x"], pl.Enum(["y", "x"])),
        ([["x"], ["y", "x"], None, []], pl.List(pl.Categorical)),
    ]  # fmt: skip
    for values, kind in kinds:
        yield f"series {kind!r}", series(values, kind)
        frame = pl.DataFrame({"s": series(values, kind)[0]})
        yield f"frame {kind!r}", [frame, pl.concat([frame[:1], frame[1:]], rechunk=False)]
        yield f"type {kind!r}", [frame.schema["s"], pl.Series(values, dtype=kind).dtype]
    yield "series name", [pl.Series("t", [1])]
    yield "series no name", [pl.Series([1])]
    grown = pl.Series(["q", "r", "x"], dtype=pl.Categorical)
    yield "categorical history", [pl.Series(["x"], dtype=pl.Categorical), grown[2:].alias("")]
    yield (
        "objects",
        [
            pl.Series([{1}, None, (2,)], dtype=pl.Object),
            pl.Series([{1}, None, (2,)], dtype=pl.Object),
        ],
    )
    yield "other objects", [pl.Series([{1}, None, (3,)], dtype=pl.Object)]

    def frame():
        return pl.DataFrame({"a": [1, 2, None], "b": ["x", None, "y"]})

    yield (
        "frame",
        [
            frame(),
            frame().clone(),
            pl.concat([frame(), frame()])[3:],
            pl.concat([frame()[:1], frame()[1:]], rechunk=False),
            pickle.loads(pickle.dumps(frame())),
            frame().lazy().collect(),
        ],
    )
    yield "frame order", [frame().select("b", "a")]
    yield "frame rows", [frame().reverse()]
    yield "frame names", [frame().rename({"a": "c"})]
    yield "frame cast", [frame().cast({"a": pl.Int32})]
    yield "frame empty", [pl.DataFrame()]
    yield "frame no rows", [frame().clear()]
    yield "frame filled", [frame().fill_null(0)]
    yield "schema", [frame().schema, pl.Schema({"a": pl.Int64(), "b": pl.String()})]
    large = pl.DataFrame(
        {"n": range(200_000), "t": [f"word {n}" * (n % 4) for n in range(200_000)]}
    )
    yield "large", [large, pl.concat([large[:7], large[7:]], rechunk=False)]


def sparse_groups():
    import numpy as np
    import scipy.sparse as sp

    rows, columns = np.array([2, 0, 0, 1, 2]), np.array([1, 3, 0, 2, 1])
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    shuffled = [4, 1, 3, 0, 2]

    def pairs(kind, order=slice(None), dtype="i4", values=values):
        places = (rows[order].astype(dtype), columns[order].astype(dtype))
        return kind((values[order], places), shape=(3, 4))

    def compressed(kind, pointers, indices, values, index="i4"):
        parts = (np.array(values), np.array(indices, dtype=index), np.array(pointers, dtype=index))
        made = kind(parts, shape=(3, 4))
        made.indices, made.indptr = parts[1], parts[2]
        return made

    for suffix in ("matrix", "array"):
        coo, csr, csc = (getattr(sp, f"{name}_{suffix}") for name in ("coo", "csr", "csc"))
        summed = pairs(coo)
        summed.sum_duplicates()
        yield f"coo {suffix}", [pairs(coo), pairs(coo, shuffled), pairs(coo, dtype="i8"), summed]
        yield (
            f"csr {suffix}",
            [
                csr(pairs(coo)),
                compressed(csr, [0, 2, 3, 5], [3, 0, 2, 1, 1], [2.0, 3.0, 4.0, 1.0, 5.0]),
                compressed(csr, [0, 2, 3, 4], [0, 3, 2, 1], [3.0, 2.0, 4.0, 6.0], "i8"),
                pickle.loads(pickle.dumps(csr(pairs(coo)))),
            ],
        )
        yield f"csc {suffix}", [csc(pairs(coo)), csc(pairs(coo, shuffled))]
        yield f"csr {suffix} value", [csr(pairs(coo, values=values + 1))]
        yield f"csr {suffix} dtype", [csr(pairs(coo)).astype("f4")]
        yield f"csr {suffix} shape", [csr(csr(pairs(coo)).toarray()[:, :4][:2])]
        zero = compressed(csr, [0, 2, 3, 5], [0, 3, 2, 0, 1], [3.0, 2.0, 4.0, 0.0, 6.0])
        yield f"csr {suffix} stored zero", [zero]
        bsr, dia = getattr(sp, f"bsr_{suffix}"), getattr(sp, f"dia_{suffix}")
        dok, lil = getattr(sp, f"dok_{suffix}"), getattr(sp, f"lil_{suffix}")
        square = np.kron(np.eye(2), np.ones((2, 2)))
        yield f"bsr {suffix}", [bsr(square, blocksize=(2, 2)), bsr(square, blocksize=(2, 2)).copy()]
        yield f"bsr {suffix} blocks", [bsr(square, blocksize=(1, 1))]
        bands = np.array([[1.0, 2, 3, 4], [9, 5, 6, 7]])
        other = bands.copy()
        other[1, 0] = 8  # outside of the matrix
        yield (
            f"dia {suffix}",
            [
                dia((bands, [0, 1]), shape=(4, 4)),
                dia((other, [0, 1]), shape=(4, 4)),
                dia((bands[::-1], [1, 0]), shape=(4, 4)),
            ],
        )
        forwards, backwards = dok((3, 4)), dok((3, 4))
        places = [((0, 1), 1.0), ((2, 3), 2.0), ((1, 0), 3.0)]
        for place, value in places:
            forwards[place] = value
        for place, value in reversed(places):
            backwards[place] = value
        yield f"dok {suffix}", [forwards, backwards]
        yield f"lil {suffix}", [lil(forwards), lil(backwards)]
        yield f"empty {suffix}", [csr((3, 4)), csr(np.zeros((3, 4)))]
    yield "1-d", [sp.coo_array(np.array([0.0, 1.0])), sp.coo_array(([1.0], ([1],)), shape=(2,))]
    checked = sp.csr_matrix(square)
    before = pickle.dumps(checked)
    yield "dense", [square]
    assert pickle.dumps(checked) == before
    yield from tree_groups()


def tree_groups():
    """Trees of scipy, of which a pickle says where their nodes lay in memory."""
    import numpy as np
    from scipy.spatial import KDTree, cKDTree

    points = np.random.RandomState(3).rand(300, 2)
    other = points.copy()
    other[7] += 0.001
    for tree in (KDTree, cKDTree):
        name, plain = tree.__name__, tree(points)
        asked = tree(points.copy())
        asked.query(points[:3], k=2)
        assert asked.tree is not None
        yield name, [plain, tree(points.tolist()), asked, copy.copy(plain), reloaded(plain)]
        yield f"{name} empty", [tree(np.zeros((0, 2))), tree(np.zeros((0, 2)))]
        yield f"{name} other", [tree(other)]
        yield f"{name} leaves", [tree(points, leafsize=3), reloaded(tree(points, leafsize=3))]
        yield f"{name} box", [tree(points, boxsize=1.0), tree(points, boxsize=[1.0, 1.0])]
        yield f"{name} splits", [tree(points, balanced_tree=False)]


def reloaded(value):
    return pickle.loads(pickle.dumps(value))


def text_groups():
    """What makes vectors of texts remembers where in memory its stop words lay."""
    from sklearn.feature_extraction import text
    from sklearn.pipeline import make_pipeline

    texts = ["one two", "two three", "a b three"]
    for kind in (text.CountVectorizer, text.TfidfVectorizer):
        fitted = [kind(stop_words=["a"]).fit(texts) for _ in range(3)]
        fitted[2].transform(texts)
        yield kind.__name__, [*fitted, reloaded(fitted[0])]
        yield f"{kind.__name__} unfitted", [kind(stop_words=["a"]), kind(stop_words=["a"])]
        yield f"{kind.__name__} other texts", [kind(stop_words=["a"]).fit(["four one"])]
        yield f"{kind.__name__} other words", [kind(stop_words=["b"]).fit(texts)]
    hashing = [text.HashingVectorizer(stop_words=["a"], n_features=16) for _ in range(3)]
    hashing[1].transform(texts)
    yield "HashingVectorizer", [hashing[0], copy.copy(hashing[2]), hashing[1], reloaded(hashing[1])]
    pipelines = [make_pipeline(text.CountVectorizer(stop_words=["a"])).fit(texts) for _ in range(2)]
    yield "vectorizer in a pipeline", pipelines


def image_groups():
    import numpy as np
    from PIL import Image

    def written(image, name):
        buffer = io.BytesIO()
        image.save(buffer, name)
        buffer.seek(0)
        return Image.open(buffer)

    gray = Image.fromarray(np.arange(12, dtype="u1").reshape(3, 4))
    colour = Image.fromarray(np.arange(36, dtype="u1").reshape(3, 4, 3))
    yield "gray", [gray, gray.copy(), pickle.loads(pickle.dumps(gray)), gray.crop((0, 0, 4, 3))]
    yield "gray shape", [gray.reshape((2, 6)) if hasattr(gray, "reshape") else gray.resize((6, 2))]
    yield "gray other", [gray.point(lambda value: value + 1)]
    yield "colour", [colour, colour.copy()]
    yield "mode", [colour.convert("YCbCr")]
    yield "alpha", [colour.convert("RGBA")]
    yield "float", [gray.convert("F")]
    yield "bits", [gray.convert("1")]
    palette = gray.convert("P")
    yield "palette", [palette, palette.copy()]
    swapped = palette.copy()
    swapped.putpalette(list(reversed(range(256))) * 3)
    yield "palette other", [swapped]
    noted = gray.copy()
    noted.info["dpi"] = (72, 72)
    yield "info", [noted]
    yield "png", [written(gray, "PNG"), written(gray, "PNG")]
    yield "jpeg", [written(gray, "JPEG"), written(gray, "JPEG")]


def model_groups():
    import attrs

    yield (
        "attrs",
        [Fields(1), Fields(1, "a"), copy.copy(Fields(1)), pickle.loads(pickle.dumps(Fields(1)))],
    )
    yield "attrs other", [Fields(2)]
    yield "attrs note", [Fields(1, "b")]
    yield "attrs class", [OtherFields(1)]
    yield "attrs in dict", [DictFields(1), attrs.evolve(DictFields(2), x=1)]
    yield "attrs frozen", [Frozen(1), Frozen(x=1)]
    yield (
        "pydantic",
        [
            Settings(lr=0.1),
            Settings(lr="0.1"),
            Settings(lr=0.1).model_copy(),
            pickle.loads(pickle.dumps(Settings(lr=0.1))),
        ],
    )
    yield "pydantic set", [Settings(lr=0.1, name="run")]
    yield "pydantic default", [Settings()]
    yield "pydantic other", [Settings(lr=0.2)]
    yield "pydantic class", [OtherSettings(lr=0.1)]
    yield "pydantic nested", [Nested(inner=Settings(lr=0.1)), Nested(inner={"lr": 0.1})]
    yield "pydantic root", [Roots([1]), Roots.model_validate([1])]
    yield "pydantic extra", [Open(a=1, b=2), Open(b=2, a=1)]
    yield "pydantic extra other", [Open(a=1, b=3)]
    yield "pydantic dataclass", [Checked(1), Checked("1")]
    yield "pydantic dataclass other", [Checked(2)]
    hidden = Settings(lr=0.1)
    hidden._hidden = 5
    yield "pydantic private", [hidden]


if importlib.util.find_spec("attrs") and importlib.util.find_spec("pydantic"):
    import attrs
    import pydantic

    @attrs.define
    class Fields:
        x: int
        note: str = "a"

    @attrs.define
    class OtherFields:
        x: int
        note: str = "a"

    @attrs.define(slots=False)
    class DictFields:
        x: int

    @attrs.frozen
    class Frozen:
        x: int

    class Settings(pydantic.BaseModel):
        lr: float = 0.1
        name: str = "run"
        _hidden: int = pydantic.PrivateAttr(default=3)

    class OtherSettings(pydantic.BaseModel):
        lr: float = 0.1
        name: str = "run"
        _hidden: int = pydantic.PrivateAttr(default=3)

    class Nested(pydantic.BaseModel):
        inner: Settings

    class Roots(pydantic.RootModel[list[int]]):
        pass

    class Open(pydantic.BaseModel, extra="allow"):
        a: int

    @pydantic.dataclasses.dataclass
    class Checked:
        x: int


SOURCES = {
    "pyarrow": arrow_groups,
    "polars": polars_groups,
    "scipy": sparse_groups,
    "sklearn": text_groups,
    "PIL": image_groups,
    "pydantic": model_groups,
}


def sources():
    """The sources of what is installed."""
    return [source for name, source in SOURCES.items() if importlib.util.find_spec(name)]
