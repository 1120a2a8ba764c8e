"""The digest of a value: what agrees, what differs, what is refused."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import os
import pathlib
import pickle
import re
import socket
import sys
import threading
import types
import uuid
import weakref
from random import Random
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from thrifty import Secret, _native

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import digest_values  # noqa: E402 - beside this file, which pytest does not put on the path

digest = _native.digest
VECTOR_MODULES = [
    collections, datetime, decimal, fractions, np, pa, pathlib, pd, re, scipy, types, uuid,
]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return digest_values.digests()


def test_values_agree_where_they_are_the_same_and_differ_where_not(table):
    digest_values.check_groups(table, at_least=300)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_agrees(table, seed):
    assert digest_values.in_another_process("digest_values.SOURCES", seed) == table


def vectors():
    text = (HERE.parents[1] / "docs/formats/vectors/key.txt").read_text()
    fields = [line.split(" | ") for line in text.splitlines()]
    return [field[1:] for field in fields if field[0] == "value"]


@pytest.mark.parametrize(
    ("expression", "encoding", "expected"), vectors(), ids=lambda text: text[:40]
)
def test_golden_vectors(expression, encoding, expected):
    cycle = []
    cycle.append(cycle)
    names = {module.__name__: module for module in VECTOR_MODULES}
    value = eval(expression, {**names, "cycle": cycle})
    assert bytes(_native.encoding(value)).hex() == encoding
    assert digest(value) == expected


def test_a_forked_child_agrees():
    array = np.arange(1_000_000.0)
    expected = digest(array)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, digest(array).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() == expected


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters())
    | st.binary(max_size=80)
)
keys = st.text(max_size=50) | st.integers() | st.booleans() | st.none()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=5)
        | st.frozensets(leaves, max_size=5)
        | st.builds(digest_values.Plain, a=inner)
    ),
    max_leaves=20,
)


@given(values)
def test_copies_agree(value):
    assert digest(copy.deepcopy(value)) == digest(value)
    assert digest(pickle.loads(pickle.dumps(value))) == digest(value)


def spelled(value):
    """A text that tells values apart in another way than the encoding does."""
    if isinstance(value, digest_values.Plain):
        return f"Plain({spelled(value.__dict__)})"
    if type(value) in (list, tuple):
        return f"{type(value).__name__}[{','.join(map(spelled, value))}]"
    if type(value) is frozenset:
        return f"frozenset[{','.join(sorted(map(spelled, value)))}]"
    if type(value) is dict:
        return f"dict[{','.join(sorted(f'{spelled(k)}:{spelled(v)}' for k, v in value.items()))}]"
    return f"{type(value).__name__}({value!r})"


@given(values, values)
def test_digests_agree_if_and_only_if_values_do(one, other):
    assert (digest(one) == digest(other)) == (spelled(one) == spelled(other))


@given(st.dictionaries(keys, leaves, max_size=8), st.randoms())
def test_the_order_of_a_dict_does_not_count(value, shuffler):
    items = list(value.items())
    shuffler.shuffle(items)
    assert digest(dict(items)) == digest(value)


@given(st.lists(values, max_size=4))
def test_aliasing_does_not_count(value):
    assert digest([value, value]) == digest([value, copy.deepcopy(value)])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.randoms())
def test_the_layout_of_an_array_does_not_count(shape, shuffler):
    array = np.arange(float(np.prod(shape))).reshape(shape)
    axes = list(range(len(shape)))
    shuffler.shuffle(axes)
    back = np.argsort(axes)
    assert digest(array.transpose(axes).copy().transpose(back)) == digest(array)
    assert digest(np.repeat(array, 2, axis=0)[::2]) == digest(array)


columns = st.lists(
    st.text(st.characters(exclude_categories=["Cs"])) | st.none(), min_size=1, max_size=8
)


@given(columns, st.data())
def test_the_chunks_of_a_text_column_do_not_count(words, data):
    cut = data.draw(st.integers(0, len(words)))
    for dtype in ("object", "str", "string[python]", "string[pyarrow]"):
        whole = pd.Series(words, dtype=dtype)
        halves = [pd.Series(part, dtype=dtype) for part in (words[:cut], words[cut:]) if part]
        assert digest(pd.concat(halves, ignore_index=True)) == digest(whole)


@given(columns, columns)
def test_text_columns_agree_if_and_only_if_equal(one, other):
    for dtype in ("object", "str", "string[pyarrow]"):
        left, right = (pd.Series(words, dtype=dtype) for words in (one, other))
        assert (digest(left) == digest(right)) == (one == other)


def generator():
    yield 1


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


class Endless:
    def __reduce__(self):
        return Endless, (Endless(),)


class Raises:
    def __reduce__(self):
        raise KeyError("no state")


class Interrupts:
    def __reduce__(self):
        raise KeyboardInterrupt


class Torn:
    def __reduce__(self):
        return 7


class Grows:
    def __init__(self, owner):
        self.owner = owner

    def __getstate__(self):
        self.owner.append(1)
        return {}


def grown():
    owner = []
    owner.append(Grows(owner))
    return owner


def local_class():
    class Local:
        pass

    return Local


class Entangled:
    """Everyone knows everyone."""

    def __init__(self, friends):
        self.friends = friends


def entangled(count):
    everyone = []
    everyone.extend(Entangled([]) for _ in range(count))
    for one in everyone:
        one.friends.extend(other for other in everyone if other is not one)
    return everyone


lock = threading.Lock()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (generator(), "value: generator"),
        ([1, {"hook": generator()}], 'value[1]["hook"]: generator'),
        (
            types.SimpleNamespace(cfg={"hook": [0, 0, 0, iter([])]}),
            'value.cfg["hook"][3]: list_iterator',
        ),
        ({3: lock}, "value[3]: _thread.lock"),
        ({lock}, "value{…}: _thread.lock"),
        (map(str, []), "value: map"),
        (itertools.count(), "value: itertools.count"),
        (itertools.cycle([1]), "value: itertools.cycle"),
        (weakref.ref(lock), "value: weakref"),
        (re.match("a", "a"), "value: re.Match"),
        (lambda: lock, f"value: function {__name__}.<lambda>"),
        (functools.partial(lambda: 1), "value.func: function"),
        (digest_values.Plain, "value: type digest_values.Plain"),
        (digest_values.Plain().__init__, "value.__func__: function"),
        (digest_values, "value: module"),
        (local_class()(), f"value: type {__name__}.local_class.<locals>.Local"),
        (nested(300), "value[0][0]"),
        (nested(100_000), "value[0][0]"),
        (Endless(), "value.args[0]"),
        (Raises(), "KeyError: 'no state'"),
        (Torn(), f"value: {__name__}.Torn"),
        (grown(), "it changed while it was read"),
        (entangled(12), "too many cycles"),
        (np.array([None, lock], dtype=object), "value[1]: _thread.lock"),
        (np.frompyfunc(lambda x: x, 1, 1), "it says that it is `<lambda> (vectorized)`"),
        (pd.DataFrame({"a": [lock]}), 'value["a"][0]: _thread.lock'),
        (pd.Series([1], name=lock), "value.name: _thread.lock"),
    ],
    ids=lambda value: value if type(value) is str else type(value).__name__,
)
def test_what_has_no_digest_is_named(value, place):
    with pytest.raises(TypeError) as raised:
        digest(value)
    message = str(raised.value)
    assert place in message
    assert "HashMethod" in message
    assert 'ignore=("value",)' in message


def test_open_files_and_sockets_are_refused():
    with open(__file__) as file, socket.socket() as connection:
        for value in (file, connection):
            with pytest.raises(TypeError, match="cannot hash value: "):
                digest(value)


def test_the_exception_of_the_object_is_the_cause():
    with pytest.raises(TypeError) as raised:
        digest([Raises()])
    assert isinstance(raised.value.__cause__, KeyError)


def test_an_interrupt_stays_one():
    with pytest.raises(KeyboardInterrupt):
        digest([Interrupts()])


def test_nothing_of_an_argument_is_changed():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    before = pickle.dumps(frame)
    digest(frame)
    assert pickle.dumps(frame) == before


@dataclasses.dataclass
class Shown:
    """A part of it is not to be seen."""

    kind: str
    setting: float
    more: int = dataclasses.field(default=1, repr=False)


class Point(NamedTuple):
    x: int
    other: object


@dataclasses.dataclass
class Login:
    user: str
    password: str
    other: Secret[str]


class Colour(enum.Enum):
    RED = 1


@given(values)
@settings(max_examples=50)
def test_previews_are_short_lines(value):
    shown = _native.preview(value)
    assert len(shown.encode()) <= 120
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (0.1, "0.1"),
        ("a\nb", '"a\\nb"'),
        (None, "None"),
        ([1, "a"], '[1, "a"]'),
        (list(range(9)), "[0, 1, 2, 3, … 9]"),
        ((1,), "(1,)"),
        ({"a": [1]}, '{"a": [1]}'),
        (digest_values.Liar(1), "Liar(…)"),
        ([digest_values.Liar(1)], "[Liar(…)]"),
        (b"abc", "bytes(3)"),
        ({1, 2}, "set(2)"),
        (10**5000, "int(…)"),
        (np.zeros((2, 3)), "ndarray(float64, 2×3)"),
        (pd.DataFrame({"a": [1, 2]}), "DataFrame(2×1)"),
        (nested(300), "[[[list(…)]]]"),
        (Shown("forest", 10.0), 'Shown("forest", 10.0, …)'),
        (Point(1, Shown("x", 2.0)), 'Point(1, Shown("x", 2.0, …))'),
        (Login("ada", "hunter2", "hunter3"), 'Login("ada", …, …)'),
        (Colour.RED, "Colour.RED"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (datetime.date(2013, 1, 2), "2013-01-02"),
        ("pg://ada:hunter2@db/x", '"pg://ada:…@db/x"'),
        (["pg://ada:" + "hunter2" * 90], '["pg://ada:…"]'),
    ],
    ids=lambda value: value if type(value) is str else type(value).__name__,
)
def test_previews(value, shown):
    assert _native.preview(value) == shown


class Linked:
    """A part of a web in which everything leads to everything."""

    def __init__(self, name, others=()):
        self.name = name
        self.others = list(others)
        self.below = set()


def web(seed):
    """Parts that lead to each other in some ways, not all of them back."""
    random = Random(seed)
    parts = [Linked(f"part {number} " + "x" * random.randrange(90)) for number in range(6)]
    for part in parts:
        part.others = random.sample(parts, random.randrange(3))
        part.below = set(random.sample(parts, random.randrange(2)))
    return parts


@pytest.mark.parametrize("seed", range(60))
def test_what_shares_a_web_is_what_has_copies_of_it(seed):
    random = Random(seed)
    taken = random.choices(web(seed), k=8)
    shared = [taken[:4], {"a": taken[4], "b": (taken[5], taken[:2])}, taken[6:]]
    copies = [
        [copy.deepcopy(part) for part in taken[:4]],
        {
            "a": copy.deepcopy(taken[4]),
            "b": (copy.deepcopy(taken[5]), [copy.deepcopy(part) for part in taken[:2]]),
        },
        [copy.deepcopy(part) for part in taken[6:]],
    ]
    assert digest(shared) == digest(copies)


def test_a_web_in_many_places_is_taken_apart_once_for_each_way_into_it():
    root = Linked("root")
    leaves = [Linked(f"leaf {number}", [root]) for number in range(50)]
    root.others = leaves
    once = len(_native.encoding(leaves[:2]))
    # In turn: neither way into the web makes the other forgotten.
    often = len(_native.encoding(leaves[:2] * 100))
    assert often < once + 200 * 40
