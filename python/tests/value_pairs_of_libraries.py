"""More families of `value_pairs.py`: values of libraries, each family only where its library is."""

from __future__ import annotations

import copy
import enum
import importlib.util
import warnings
from typing import Any

import value_pairs
from value_pairs import LONG, WORDS, Table, pickled, uninterned


class Side(enum.StrEnum):
    """Texts that are no plain texts."""

    BUY = "buy"
    SELL = "sell"


def family_with(*modules: str):
    """A family that needs these modules."""

    def decorator(fill):
        if all(importlib.util.find_spec(module) for module in modules):
            value_pairs.family(fill)
        else:
            MISSING[fill.__name__] = modules
        return fill

    return decorator


MISSING: dict[str, tuple[str, ...]] = {}


@family_with("numpy")
def numpy_layout(t: Table) -> None:
    import numpy as np

    base = np.arange(12.0).reshape(3, 4)
    wide = np.repeat(base, 2, axis=1)
    frozen = base.copy()
    frozen.flags.writeable = False
    t.agree("order", base, np.asfortranarray(base), base.T.copy().T)
    t.agree("views", base, wide[:, ::2], base[::-1][::-1], np.vstack([base, base])[3:])
    t.agree("negative strides", base[::-1, ::-1], base[::-1, ::-1].copy())
    t.agree("broadcast", np.broadcast_to(1.0, (3, 3)), np.ones((3, 3)))
    t.agree("copies", base, base.copy(), pickled(base), copy.deepcopy(base))
    t.agree("flags", base, frozen)
    big = np.arange(2_000_000.0).reshape(1000, 2000)
    t.agree("large", big, np.asfortranarray(big), np.repeat(big, 2, axis=1)[:, ::2])
    t.differ("transposed", base, base.T, base.ravel(), base.reshape(4, 3), base[None], base[::-1])
    t.differ(
        "one cell of many", big, np.where(big == 5, 6, big), np.where(big == 1_999_999, 0, big)
    )
    t.differ(
        "shape", np.zeros(4), np.zeros((4, 1)), np.zeros((1, 4)), np.zeros((2, 2)), np.zeros(5)
    )
    t.differ("empty", np.empty(0), np.empty((0, 3)), np.empty((3, 0)), np.empty((0, 3, 2)), [])
    t.differ("dimensions", np.array(1.0), np.array([1.0]), np.float64(1.0), 1.0, [1.0])


@family_with("numpy")
def numpy_types(t: Table) -> None:
    import numpy as np

    ones = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "?")
    t.differ("dtype", *(np.ones(2, dtype=code) for code in ones))
    t.differ("scalar", *(np.ones(1, dtype=code)[0] for code in ones[:6]), 1, True, 1.0)
    t.differ("byte order", np.ones(2, "<f8"), np.ones(2, ">f8"), np.ones(2, "<f8").byteswap())
    t.differ(
        "nan",
        *(
            np.array([bits], "u8").view("f8")
            for bits in (0x7FF8 << 48, 0x7FF8 << 48 | 1, 0xFFF8 << 48)
        ),
    )
    t.differ("zero", np.array([0.0]), np.array([-0.0]), np.array([0]), np.array([False]))
    t.differ(
        "text", *(np.array(["a", "b"], dtype=d) for d in ("U1", "U2", "S1", "S2", "O")), ["a", "b"]
    )
    t.differ(
        "padding of text", np.array(["a"], "U2"), np.array(["a "], "U2"), np.array(["ab"], "U2")
    )
    t.differ("dates", *(np.array(["2020-01-01"], f"M8[{unit}]") for unit in ("D", "s", "ms", "ns")))
    t.differ(
        "durations", *(np.array([1], f"m8[{unit}]") for unit in ("s", "ms", "D")), np.array([1])
    )
    t.differ("not a time", np.datetime64("NaT"), np.timedelta64("NaT"), np.datetime64("NaT", "ns"))
    t.differ("types", np.dtype("f4"), np.dtype("f8"), np.float32, "f4", np.dtype(">f4"))
    t.agree("types", np.dtype("f4"), np.dtype(np.float32), np.dtype("<f4"))
    t.agree("scalar", np.float64(1.0), np.array([1.0])[0], np.array(1.0)[()])
    t.agree("native order", np.ones(2, "f8"), np.ones(2, "<f8"), np.ones(2, "=f8"))
    long_double = np.full(32, 0xFF, dtype="u1").view("g")
    long_double[:] = [1, 2]
    t.agree("padding of long doubles", np.array([1, 2], dtype="g"), long_double)


@family_with("numpy")
def numpy_objects(t: Table) -> None:
    import numpy as np

    def of(*items: Any) -> Any:
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array

    t.differ("object", of(1, 2), of(1.0, 2), of("1", 2), of(True, 2), np.array([1, 2]))
    t.differ("missing", of("a", None), of("a", float("nan")), of("a", ""), of("a", "None"))
    t.differ("moved", of("a", None, "b"), of(None, "a", "b"), of("a", "b", None))
    t.differ("joined", of("ab", ""), of("a", "b"), of("", "ab"), of("ab"))
    t.differ("nested", of([1], 2), of([2], 2), of((1,), 2), of(of(1), 2))
    t.agree("interned", of("alpha", "b"), of(uninterned("alpha"), "b"))
    t.agree("strided", of("a", 1, "b"), of("a", 0, 1, 0, "b", 0)[::2])
    record = np.dtype([("flag", "u1"), ("value", "f8")], align=True)
    zeros, ones = np.zeros(3, record), np.full(48, 0xFF, "u1").view(record)
    for array in (zeros, ones):
        array["flag"], array["value"] = [1, 2, 3], [4, 5, 6]
    t.agree("padding of records", zeros, ones, ones[::-1][::-1], zeros.copy())
    t.agree("padding of one", zeros[1], ones[1])
    renamed = zeros.astype(np.dtype([("flat", "u1"), ("value", "f8")], align=True))
    packed = zeros.astype([("flag", "u1"), ("value", "f8")])
    t.differ("records", zeros, renamed, packed, zeros.view(np.recarray), zeros[["flag"]])
    classed = zeros.astype(np.dtype((np.record, record)))
    titled = [zeros.astype([((title, "flag"), "u1"), ("value", "f8")]) for title in ("a", "b")]
    t.differ("class of records", zeros, classed, *titled, packed)
    t.differ("class of a record", zeros[0], classed[0], titled[0][0], titled[1][0])
    t.differ("class of a type", *(each.dtype for each in (zeros, classed, *titled, packed)))
    t.agree("records of a class", classed, classed.copy(), pickled(classed))
    half = np.ma.array([1.0, 2.0], mask=[False, True])
    t.agree("under the mask", half, np.ma.array([1.0, 3.0], mask=[False, True]))
    t.differ("mask", half, np.ma.array([1.0, 2.0]), np.ma.array([1.0, 2.0], mask=[True, False]))
    t.differ("fill", half, np.ma.array([1.0, 2.0], mask=[False, True], fill_value=7.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        t.differ("matrix", np.matrix([[1.0]]), np.array([[1.0]]), np.ma.array([[1.0]]))
    t.agree("generator", np.random.default_rng(1), pickled(np.random.default_rng(1)))
    t.differ(
        "generator",
        *(np.random.default_rng(seed) for seed in (1, 2)),
        advanced(np.random.default_rng(1)),
    )
    t.differ(
        "bit generator",
        *(np.random.Generator(kind(1)) for kind in (np.random.PCG64, np.random.MT19937)),
    )
    t.differ("functions", np.add, np.multiply, np.sum, np.log1p)
    text = np.dtypes.StringDType()
    t.agree(
        "variable text",
        np.array(["a", LONG], text),
        np.array([uninterned("a"), LONG, "c"], text)[:2],
    )
    t.differ(
        "variable text",
        np.array(["a", "b"], text),
        np.array(["ab", ""], text),
        np.array(["a", "b"]),
    )


def advanced(generator: Any) -> Any:
    generator.random()
    return generator


@family_with("pandas")
def pandas_frames(t: Table) -> None:
    import numpy as np
    import pandas as pd

    a, b, c = np.arange(5.0), np.arange(5) * 10, ["x", "y", None, "z", "w"]

    def whole(**more: Any) -> Any:
        return pd.DataFrame({"a": a, "b": b, "c": c, **more})

    def by_column() -> Any:
        frame = pd.DataFrame({"a": a})
        frame["b"], frame["c"] = b, c
        return frame

    read = whole()
    _ = read["a"], read.c, read.index.is_unique, read.T, read.describe()
    numbers = np.arange(10.0).reshape(5, 2)
    block = pd.DataFrame(numbers, columns=["p", "q"])
    t.agree("blocks", whole(), by_column(), whole().copy(), pickled(whole()))
    t.agree("read before", whole(), read)
    t.agree("layout", block, pd.DataFrame(np.asfortranarray(numbers), columns=["p", "q"]))
    t.agree("columns put together", block, pd.DataFrame({"p": numbers[:, 0], "q": numbers[:, 1]}))
    t.agree("concatenated", block, pd.concat([block.iloc[:2], block.iloc[2:]]))
    t.agree("dropped", whole(), whole(d=1).drop(columns="d"))
    t.agree("sliced", whole(), pd.concat([whole(), whole()], ignore_index=True).iloc[:5])
    t.differ(
        "columns", whole(), whole()[["b", "a", "c"]], whole().rename(columns={"a": "A"}), whole(d=1)
    )
    t.differ("types", whole(), whole().astype({"b": "i4"}), whole().astype({"c": object}))
    t.differ("cells", whole(), whole().replace({"c": {"x": "X"}}), whole().fillna({"c": ""}))
    t.differ(
        "rows", whole(), whole().iloc[::-1], whole().iloc[:4], whole().iloc[:0], pd.DataFrame()
    )
    t.differ(
        "index",
        whole(),
        whole().set_index(pd.Index([1, 2, 3, 4, 5])),
        whole().set_index("a"),
        whole().rename_axis("i"),
    )
    t.differ(
        "index twice",
        whole().set_index(pd.Index([0, 0, 1, 1, 2])),
        whole().set_index(pd.Index([0, 1, 1, 0, 2])),
    )
    t.differ(
        "column names",
        *(block.set_axis(names, axis=1) for names in (["p", "p"], [0, 1], ["0", "1"])),
    )
    t.differ("name of columns", block, block.rename_axis("n", axis=1))
    t.differ("attributes", block, with_attrs(block.copy(), k=1), with_attrs(block.copy(), k=2))
    t.differ("flags", block, block.set_flags(allows_duplicate_labels=False))
    t.differ("kind", block[["p"]], block["p"], block["p"].to_numpy(), block["p"].tolist())
    rows = 200_000
    large = pd.DataFrame({"a": np.arange(rows), "b": np.arange(rows) % 7})
    changed = large.copy()
    changed.loc[rows // 2, "b"] = -1
    t.differ("one cell of many", large, changed)


def with_attrs(frame: Any, **attrs: Any) -> Any:
    frame.attrs.update(attrs)
    return frame


@family_with("pandas", "pyarrow")
def pandas_columns(t: Table) -> None:
    import numpy as np
    import pandas as pd

    words = ["x", None, LONG, "", "\u00e9"]

    def column(dtype: Any, items: Any = words) -> Any:
        return pd.Series(items, dtype=dtype)

    def chunked(dtype: str) -> Any:
        return pd.concat([column(dtype, words[:2]), column(dtype, words[2:])], ignore_index=True)

    for dtype in ("str", "string[python]", "string[pyarrow]", "object"):
        t.agree(
            f"chunks of {dtype}",
            column(dtype),
            chunked(dtype),
            column(dtype, [*words, "c"]).iloc[:5],
        )
    t.differ(
        "texts of other kinds",
        *(
            pd.arrays.StringArray(np.array([each, "x"], dtype=object))
            for each in (*Side, np.str_("a"), np.str_("b"), "\ud800", "\udc01", "a", None)
        ),
    )
    gaps = (None, float("nan"), pd.NA)
    t.agree("gaps", *(column("string[python]", ["x", gap]) for gap in gaps))
    t.differ("text", *(column(d) for d in ("str", "object", "string[python]", "string[pyarrow]")))
    t.differ(
        "missing",
        *(column("object", ["x", gap]) for gap in (None, float("nan"), pd.NA, pd.NaT, "")),
    )
    t.differ(
        "missing number",
        column("f8", [1, None]),
        column("Float64", [1, None]),
        column("Int64", [1, None]),
        column("f8", [1, 0]),
    )
    hidden = pd.array([1, 2, None], dtype="Int64")
    hidden._data[2] = 77
    t.agree("under the mask", pd.array([1, 2, None], dtype="Int64"), hidden)
    cut = column("int64[pyarrow]", [0, 1, None, 3]).iloc[1:].reset_index(drop=True)
    t.agree("arrow, cut", column("int64[pyarrow]", [1, None, 3]), cut)
    t.differ(
        "arrow",
        *(
            column(d, [1, None])
            for d in ("int64[pyarrow]", "int32[pyarrow]", "double[pyarrow]", "Int64")
        ),
    )
    t.differ("arrow times", *(column(f"timestamp[{u}][pyarrow]", [1, None]) for u in ("us", "ns")))
    letters = ["a", "b", "a"]
    t.agree("category", pd.Categorical(letters), pd.Categorical(letters, categories=["a", "b"]))
    t.differ(
        "category",
        pd.Categorical(letters),
        pd.Categorical(letters, categories=["b", "a"]),
        pd.Categorical(letters, ordered=True),
        pd.Categorical(letters, categories=["a", "b", "c"]),
        letters,
    )
    days = pd.date_range("2020-01-01", periods=3, unit="ns")
    t.agree("dates", days, days.copy(), pickled(days))
    t.differ(
        "dates",
        days,
        days.as_unit("us"),
        days.tz_localize("UTC"),
        days.tz_localize("Europe/Berlin"),
        pd.DatetimeIndex(list(days)).as_unit("ns"),
    )
    t.differ(
        "moments",
        days[0],
        days[0].tz_localize("UTC"),
        days.as_unit("us")[0],
        days[0].to_pydatetime(),
        days[0].to_datetime64(),
    )
    t.differ("periods", *(pd.period_range("2020-01", periods=3, freq=f) for f in ("M", "D", "Y")))
    t.differ(
        "intervals", *(pd.interval_range(0, 3, closed=side) for side in ("left", "right", "both"))
    )
    t.differ(
        "sparse",
        column("f8", [0.0, 1.0]),
        column(pd.SparseDtype("f8", 0.0), [0.0, 1.0]),
        column(pd.SparseDtype("f8"), [0.0, 1.0]),
    )
    t.differ(
        "index",
        pd.RangeIndex(3),
        pd.Index([0, 1, 2]),
        pd.Index([0.0, 1, 2]),
        pd.Index([0, 1, 2], name="n"),
        pd.Index(["0", "1", "2"]),
    )
    multi = pd.MultiIndex.from_product([[1, 2], ["x", "y"]], names=["i", "j"])
    t.agree("several levels", multi, pickled(multi), multi.copy())
    t.differ("several levels", multi, multi[::-1], multi.rename(["i", "k"]), multi.swaplevel())
    t.differ("singletons", pd.NA, pd.NaT, None, float("nan"), np.datetime64("NaT"))
    t.differ("offsets", pd.offsets.MonthEnd(1), pd.offsets.MonthEnd(2), pd.offsets.MonthBegin(1))


@family_with("sklearn", "pandas")
def learners(t: Table) -> None:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    rng = np.random.default_rng(0)
    x = rng.random((100, 4))
    y = (x[:, 0] + x[:, 1] > 1).astype(int)

    def forest(seed: int) -> Any:
        return RandomForestClassifier(3, random_state=seed).fit(x, y)

    def pipeline(**options: Any) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(**options)).fit(x, y)

    t.agree("fitted", Ridge().fit(x, y), Ridge().fit(x.copy(), y), pickled(Ridge().fit(x, y)))
    t.agree("forest", forest(0), forest(0), pickled(forest(0)))
    t.agree("pipeline", pipeline(), pipeline(), copy.deepcopy(pipeline()))
    t.differ(
        "fitted",
        Ridge(),
        Ridge().fit(x, y),
        Ridge(2.0).fit(x, y),
        Ridge().fit(x, 1 - y),
        Ridge(2.0),
    )
    t.differ("forest", forest(0), forest(1), RandomForestClassifier(3, random_state=0))
    t.differ("pipeline", pipeline(), pipeline(C=2.0), pipeline(fit_intercept=False))
    t.differ("functions", *(FunctionTransformer(f) for f in (np.log1p, np.sqrt, None)))


@family_with("scipy")
def scipy_sparse(t: Table) -> None:
    import numpy as np
    from scipy import sparse

    dense = np.array([[0.0, 1.0], [2.0, 0.0]])
    kinds = (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix)
    t.agree(
        "csr",
        sparse.csr_array(dense),
        sparse.csr_array(dense.copy()),
        pickled(sparse.csr_array(dense)),
    )
    t.differ("format", *(kind(dense) for kind in kinds), dense)
    t.differ(
        "content",
        *(
            sparse.csr_array(d)
            for d in (dense, dense.T, dense * 2, np.zeros((2, 2)), dense.astype("f4"))
        ),
    )
    t.differ("shape", sparse.csr_array((2, 2)), sparse.csr_array((2, 3)), sparse.csr_array((3, 2)))


@family_with("pyarrow")
def arrow_tables(t: Table) -> None:
    import pyarrow as pa

    table = pa.table({"a": [1, 2, 3], "b": ["x", None, LONG]})
    halves = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    longer = pa.concat_tables([table.slice(2), table]).slice(1)
    t.agree("chunks", table, halves, halves.combine_chunks(), longer)
    t.agree("offsets", pa.array([1, None, 3]), pa.array([0, 1, None, 3])[1:])
    t.agree("text", pa.array(["x", None]), pa.array(["-", "x", None])[1:])
    t.differ(
        "columns",
        table,
        table.select(["b", "a"]),
        table.rename_columns(["A", "b"]),
        table.select(["a"]),
    )
    t.differ(
        "types",
        *(pa.array([1, 2], type=k) for k in (pa.int8(), pa.int64(), pa.float64())),
        pa.array(["1", "2"]),
    )
    t.differ(
        "missing",
        pa.array([1, None]),
        pa.array([1, 0]),
        pa.array([1.0, float("nan")]),
        pa.array([1.0, None]),
    )
    t.differ("metadata", table, table.replace_schema_metadata({"k": "v"}))
    t.differ(
        "kind",
        pa.array([1]),
        pa.chunked_array([[1]]),
        pa.table({"a": [1]}),
        pa.schema([("a", pa.int64())]),
    )


@family_with("polars")
def polars_frames(t: Table) -> None:
    import polars as pl

    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, LONG]})
    halves = pl.concat([frame.head(1), frame.tail(2)], rechunk=False)
    t.agree("chunks", frame, halves, halves.rechunk(), frame.clone(), pickled(frame))
    t.agree("cut", frame, pl.concat([frame.tail(1), frame]).slice(1))
    t.agree("read before", frame, frame.with_columns(c=1).drop("c"))
    t.differ("columns", frame, frame.select("b", "a"), frame.rename({"a": "A"}), frame.select("a"))
    t.differ("types", *(pl.Series("a", [1, 2], dtype=k) for k in (pl.Int8, pl.Int64, pl.Float64)))
    t.differ(
        "missing",
        *(pl.Series("a", items) for items in ([1.0, None], [1.0, float("nan")], [1.0, 0.0])),
    )
    t.differ("name", pl.Series("a", [1]), pl.Series("b", [1]), pl.DataFrame({"a": [1]}))
    t.differ("rows", frame, frame.reverse(), frame.head(2), frame.clear())
    t.differ(
        "category", pl.Series("a", ["x", "y"]), pl.Series("a", ["x", "y"], dtype=pl.Categorical)
    )


@family_with("torch")
def torch_tensors(t: Table) -> None:
    import torch

    base = torch.arange(12.0).reshape(3, 4)

    def linear(bias: float) -> Any:
        module = torch.nn.Linear(2, 1)
        with torch.no_grad():
            module.weight.fill_(1.0)
            module.bias.fill_(bias)
        return module

    t.agree("layout", base, base.clone(), base.T.contiguous().T, base[:, :], pickled(base))
    t.agree("views", base[1:], base.clone()[1:], base[1:].clone())
    t.differ("shape", base, base.T, base.ravel(), base.reshape(4, 3), base[None])
    t.differ(
        "type",
        *(
            torch.ones(2, dtype=k)
            for k in (torch.float32, torch.float64, torch.int32, torch.bfloat16, torch.bool)
        ),
    )
    t.differ(
        "kind",
        torch.ones(1),
        torch.ones(1).requires_grad_(),
        torch.nn.Parameter(torch.ones(1)),
        torch.ones(1).numpy(),
        [1.0],
    )
    t.differ("content", base, base + 1, base.clone().fill_(0), torch.zeros(0))
    t.agree("modules", linear(0.0), linear(0.0), copy.deepcopy(linear(0.0)))
    t.differ("modules", linear(0.0), linear(1.0), linear(0.0).eval(), linear(0.0).state_dict())


@family_with("PIL")
def images(t: Table) -> None:
    from PIL import Image

    red = Image.new("RGB", (4, 3), (255, 0, 0))
    t.agree("pixels", red, red.copy(), Image.new("RGB", (4, 3), "red"))
    t.differ("pixels", red, Image.new("RGB", (4, 3), (254, 0, 0)), Image.new("RGB", (3, 4), "red"))
    t.differ("mode", red, red.convert("RGBA"), red.convert("L"), red.convert("P"))


@family_with("attr")
def attrs_classes(t: Table) -> None:
    t.agree(
        "fields",
        Attrs(1, {"a": 1, "b": 2}),
        Attrs(1, {"b": 2, "a": 1}),
        pickled(Attrs(1, {"a": 1, "b": 2})),
    )
    t.differ("fields", Attrs(1), Attrs(2), Attrs("1"), Attrs(1, []), Slotless(1))


if importlib.util.find_spec("attr"):
    import attrs

    @attrs.define
    class Attrs:
        a: Any
        b: Any = None

    @attrs.define(slots=False)
    class Slotless:
        a: Any
        b: Any = None


@family_with("pydantic")
def pydantic_models(t: Table) -> None:
    t.agree("fields", Settings(a=1), Settings.model_validate({"a": 1}))
    # `exclude_unset` tells them apart.
    t.differ("set fields", Settings(a=1), Settings(a=1, words=set()))
    t.agree("sets", Settings(a=1, words=set(WORDS)), Settings(a=1, words=set(reversed(WORDS))))
    t.agree("copies", Settings(a=1), Settings(a=1).model_copy(), pickled(Settings(a=1)))
    t.differ(
        "fields", Settings(a=1), Settings(a=2), Settings(a=1, words={"x"}), Other(a=1), {"a": 1}
    )


if importlib.util.find_spec("pydantic"):
    import pydantic

    class Settings(pydantic.BaseModel):
        a: int
        words: set[str] = set()

    class Other(pydantic.BaseModel):
        a: int
        words: set[str] = set()
