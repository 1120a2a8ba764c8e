"""Values of pyarrow, polars, scipy, Pillow, attrs and pydantic: digests, refusals, round trips."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import pathlib
import pickle
import sys

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thrifty import _native

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import digest_values  # noqa: E402 - beside this file, which pytest does not put on the path
import library_values  # noqa: E402

digest = _native.digest


@pytest.fixture(scope="module")
def table():
    return digest_values.digests(library_values.sources())


def test_values_agree_where_they_are_the_same_and_differ_where_not(table):
    digest_values.check_groups(table, at_least=150)


def test_another_process_agrees(table):
    assert digest_values.in_another_process("library_values.sources()", "4242") == table


def lazy():
    polars = pytest.importorskip("polars")
    return polars.DataFrame({"a": [1]}).lazy()


def expression():
    return pytest.importorskip("polars").col("a") > 1


def frames():
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    first, second = image.new("L", (2, 2)), image.new("L", (2, 2), 255)
    first.save(stream, "GIF", save_all=True, append_images=[second])
    return image.open(stream)


def different_dictionaries():
    kind = pa.dictionary(pa.int8(), pa.list_(pa.int64()))
    parts = [
        pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array([[number]]))
        for number in (1, 2)
    ]
    return pa.chunked_array(parts, kind)


REFUSED = {
    "lazy": (lazy, r"value: polars.*LazyFrame: .*collect\(\)"),
    "lazy in a dict": (lambda: {"f": lazy()}, r'value\["f"\]: polars'),
    "expression": (expression, "pass a frame or a series"),
    "reader": (lambda: pa.table({"a": [1]}).to_reader(), "pass a table"),
    "union": (lambda: pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), r'Arrow type "\+us:0".*cast it'),
    "runs": (lambda: pa.array([1], pa.run_end_encoded(pa.int32(), pa.int64())), r'Arrow type "\+r"'),
    "dictionaries": (different_dictionaries, "dictionar"),
    "ctypes": (lambda: ctypes.c_int(1), r"bytes\(value\)"),
    "ctypes array": (lambda: (ctypes.c_char * 3)(), r"bytes\(value\)"),
    "frames": (frames, "several frames"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        digest(make())


def test_offsets_that_fall_are_refused():
    offsets = pa.py_buffer(np.array([0, 5, 2, 6], dtype="i4"))
    torn = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"abcdef")])
    with pytest.raises(TypeError, match="cannot hash value: "):
        digest(torn)


def test_nothing_of_an_argument_is_changed():
    matrix = sp.csr_matrix(([1.0, 2.0], [1, 0], [0, 2]), shape=(1, 2))
    before = pickle.dumps(matrix)
    digest(matrix)
    assert pickle.dumps(matrix) == before
    assert matrix.indices.tolist() == [1, 0]


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return _native._Probe(tmp_path_factory.mktemp("store"), _native.encoding)


def round_trips():
    for source in library_values.sources():
        for name, members in source():
            yield f"{source.__name__}: {name}", members


@pytest.fixture(scope="module")
def records(probe):
    return {
        f"{name} {number}": (member, probe.put(member))
        for name, members in round_trips()
        # What neither Arrow nor a pickle can hold.
        if "objects" not in name and "scalar month" not in name
        for number, member in enumerate(members)
    }


def test_every_value_comes_back(probe, records):
    for name, (value, record) in records.items():
        back = probe.get(record)
        assert type(back) is type(value), name
        assert digest(back) == digest(value), name


def test_codecs(probe, records):
    shape = {name: probe.shape(record) for name, (_, record) in records.items()}
    expected = {
        "arrow_groups: table 0": "arrow/1",
        "arrow_groups: batch 0": "arrow/1",
        "arrow_groups: array int64 1": "arrow/1",
        "arrow_groups: chunked string 1": "arrow/1",
        "arrow_groups: dictionary chunks 2": "arrow/1",
        "sparse_groups: csr matrix 2": "sparse/1",
        "sparse_groups: coo array 1": "sparse/1",
        "sparse_groups: dia array 0": "sparse/1",
        "sparse_groups: bsr matrix 0": "sparse/1",
        "sparse_groups: dok matrix 0": "pickle/1",
        "polars_groups: frame 2": "polars/1",
        "polars_groups: series name 0": "polars/1",
        "model_groups: attrs 0": "pickle/1",
    }
    present = {name: codec for name, codec in expected.items() if name in shape}
    assert {name: shape[name] for name in present} == present
    assert len(present) >= 9


def test_a_sparse_matrix_keeps_its_arrays(probe):
    indices = np.array([3, 0, 2, 1, 1], dtype="i8")
    matrix = sp.csr_array((np.arange(5.0), indices, np.array([0, 2, 3, 5])), shape=(3, 4))
    matrix.indices = indices
    back = probe.get(probe.put(matrix))
    assert back.indices.dtype == np.dtype("i8")
    assert back.indices.tolist() == indices.tolist()
    pairs = sp.coo_matrix(([1.0, 2.0], ([0, 0], [1, 1])), shape=(1, 2))
    back = probe.get(probe.put(pairs))
    assert back.nnz == 2
    back.sum_duplicates()
    assert back.data.tolist() == [3.0]


def test_a_sparse_matrix_is_the_readers_own(probe):
    matrix = sp.csr_array(np.ones((300, 300)))
    record = probe.put(matrix)
    probe.get(record).data[:] = 0
    assert probe.get(record).sum() == 90_000


def test_a_type_that_somebody_registers_is_kept_by_a_pickle(probe):
    uuids = pa.array([b"\0" * 16], pa.uuid())
    record = probe.put(uuids)
    assert probe.shape(record) == "pickle/1"
    assert probe.get(record).type == uuids.type


@pytest.mark.parametrize("codec", ["arrow/1", "polars/1", "sparse/1"])
@pytest.mark.parametrize(
    "header", [(), ("Table",), (False, True), ("csr_matrix", (1, 1), [], False), 7]
)
@pytest.mark.parametrize("buffers", [[], [b""], [b"torn" * 20]])
def test_a_torn_record_is_unreadable(probe, codec, header, buffers):
    if codec == "polars/1":
        pytest.importorskip("polars")
    with pytest.raises(_native.Unreadable):
        probe.get_object(codec, _native.encoding(header), buffers)


cells = st.none() | st.integers(-(2**63), 2**63 - 1)
words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
columns = {
    pa.int64(): cells,
    pa.string(): words,
    pa.large_string(): words,
    pa.string_view(): words,
    pa.list_(pa.string()): st.none() | st.lists(words, max_size=3),
    pa.struct({"a": pa.int64(), "b": pa.list_(pa.int64())}): st.none()
    | st.fixed_dictionaries({"a": cells, "b": st.none() | st.lists(cells, max_size=3)}),
    pa.dictionary(pa.int32(), pa.string()): words,
    pa.map_(pa.string(), pa.int64()): st.none()
    | st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), cells), max_size=3),
}  # fmt: skip


@given(st.sampled_from(list(columns)), st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_chunks_of_an_arrow_column_do_not_count(kind, data):
    values = data.draw(st.lists(columns[kind], max_size=12))
    other = data.draw(st.lists(columns[kind], max_size=12))
    cut = data.draw(st.integers(0, len(values)))
    whole = pa.chunked_array([values], kind)
    parts = pa.chunked_array([values[:cut], values[cut:]], kind)
    inside = pa.chunked_array([[*other, *values, *other]], kind)[
        len(other) : len(other) + len(values)
    ]
    assert digest(parts) == digest(whole)
    if not pa.types.is_dictionary(kind):
        assert digest(inside) == digest(whole)
        again = pa.chunked_array([other], kind)
        assert (digest(again) == digest(whole)) == (whole.to_pylist() == again.to_pylist())


@given(st.sampled_from(list(columns)), st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_arrow_column_comes_back(probe, kind, data):
    values = data.draw(st.lists(columns[kind], max_size=12))
    column = pa.array(values, kind)[data.draw(st.integers(0, 3)) :]
    back = probe.get(probe.put(column))
    assert back.equals(column)
    assert digest(back) == digest(column)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 9)), max_size=12),
    st.randoms(),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_of_stored_elements_does_not_count(probe, places, shuffler):
    def made(places, kind):
        rows, columns, values = (
            np.array([place[axis] for place in places], dtype="i8") for axis in range(3)
        )
        return kind((values.astype("f8"), (rows, columns)), shape=(5, 5))

    shuffled = list(places)
    shuffler.shuffle(shuffled)
    for kind in (sp.coo_array, sp.csr_array, sp.csc_matrix):
        matrix = made(places, kind)
        assert digest(made(shuffled, kind)) == digest(matrix)
        assert digest(probe.get(probe.put(matrix))) == digest(matrix)


@pytest.mark.skipif(not importlib.util.find_spec("polars"), reason="polars is not installed")
@given(st.lists(words, max_size=12), st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_chunks_of_a_polars_column_do_not_count(probe, values, data):
    import polars as pl

    cut = data.draw(st.integers(0, len(values)))
    kind = data.draw(st.sampled_from([pl.String, pl.Categorical]))
    whole = pl.Series("t", values, kind)
    assert digest(pl.concat([whole[:cut], whole[cut:]], rechunk=False)) == digest(whole)
    back = probe.get(probe.put(whole))
    assert back.equals(whole, null_equal=True)
    assert digest(back) == digest(whole)


@pytest.mark.skipif(not importlib.util.find_spec("polars"), reason="polars is not installed")
def test_a_large_frame_of_polars_comes_back(probe):
    import datetime as dt

    import polars as pl

    count = 100_000
    common = pl.DataFrame(
        {
            "number": range(count),
            "text": [None if n % 7 == 0 else f"word {n}" * (n % 3) for n in range(count)],
            "truth": [n % 2 == 0 for n in range(count)],
            "zoned": [dt.datetime(2020, 1, 1)] * count,
        },
        schema_overrides={"zoned": pl.Datetime("ms", "Europe/Berlin"), "number": pl.UInt32},
    )
    for frame in (common, common.with_columns(pl.col("text").cast(pl.Categorical))):
        record = probe.put(frame)
        back = probe.get(record)
        assert back.schema == frame.schema
        assert back.equals(frame)
        assert digest(back) == digest(frame)
    del record
    assert digest(back.with_columns(number=pl.lit(1))) != digest(frame)


PIPELINE = """
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from thrifty import task, workflow


@task
def table(rows):
    print("table ", end="")
    return pa.table({"n": range(rows), "t": [f"word {n}" for n in range(rows)]})


@task
def matrix(rows):
    print("matrix ", end="")
    return sp.csr_array(np.eye(rows))


@task
def total(table, matrix):
    print("total ", end="")
    return table.num_rows + float(matrix.sum())


@workflow
def pipeline(rows):
    return total(table(rows), matrix(rows))


print(pipeline(300))
print(matrix(300).nnz, total(table(300), matrix(300)))
"""


def test_values_of_libraries_go_through_a_pipeline(programs):
    programs.write("main.py", PIPELINE)
    first = programs.run("main.py")
    assert sorted(first.split()) == sorted("table matrix total 600.0 300 600.0".split())
    assert programs.run("main.py") == "600.0\n300 600.0\n"
    # The same values by another way: what follows does not run.
    programs.write("main.py", PIPELINE.replace("np.eye(rows)", "np.diag(np.ones(rows))"))
    assert programs.run("main.py") == "matrix 600.0\n300 600.0\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pa.table({"a": [1, 2]}), "Table(2×1)"),
        (sp.csr_array(np.ones((2, 3))), "csr_array(float64, 2×3)"),
        (pa.chunked_array([[1]]), "ChunkedArray(…)"),
        (np.float64(0.9321), "float64(0.9321)"),
        (np.float32(0.5), "float32(0.5)"),
        (np.int64(3), "int64(3)"),
        (np.bool_(True), "bool(True)"),
        (np.array(5), "ndarray(int64, 5)"),
        ([np.float64(1)], "[float64(1.0)]"),
    ],
    ids=["table", "sparse", "chunked", "float", "small", "int", "bool", "array", "list"],
)
def test_previews(value, shown):
    assert _native.preview(value) == shown
