"""Values for `test_digest.py`: each group holds ways to write one value.

All members of a group must have one digest, and no two groups the same.
"""

from __future__ import annotations

import argparse
import array
import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import operator
import pathlib
import pickle
import random
import re
import string
import sys
import types
import typing
import uuid
import warnings
import zoneinfo


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Word(str, enum.Enum):
    A = "a"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Place:
    x: float
    y: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: float
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass
class Measured:
    side: float

    @functools.cached_property
    def area(self):
        return self.side**2


class Mode(enum.IntFlag):
    R = 1
    W = 2


class TypedPair(typing.NamedTuple):
    a: int
    b: str


Pair = collections.namedtuple("Pair", "a b")
Couple = collections.namedtuple("Couple", "a b")


class MyInt(int):
    pass


class MyStr(str):
    pass


class MyDict(dict):
    pass


class MyList(list):
    pass


class MySet(set):
    pass


class MyTuple(tuple):
    pass


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class OtherPlain(Plain):
    pass


class Node:
    __slots__ = ("parent", "children", "name")

    def __init__(self, name, parent=None):
        self.name, self.parent, self.children = name, parent, []
        if parent is not None:
            parent.children.append(self)


class Liar:
    """Says it is equal to anything, and shows itself as something else."""

    def __init__(self, inner):
        self.inner = inner

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")

    def __hash__(self):
        raise AssertionError("__hash__ was called")

    def __repr__(self):
        raise AssertionError("__repr__ was called")

    __str__ = __repr__


class Forgetful:
    def __init__(self, kept, dropped):
        self.kept, self.dropped = kept, dropped

    def __getstate__(self):
        return {"kept": self.kept}


class Stateful:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Stateful, (self.value,)


class Bag:
    """Holds a set of texts, whose order depends on PYTHONHASHSEED."""

    def __init__(self, words):
        self.words = set(words)
        self.by_word = {word: len(word) for word in self.words}


def uninterned(text):
    return "".join(list(text))


def noted(error, note):
    error.add_note(note)
    return error


def loop(*before):
    value = [*before]
    value.append(value)
    return value


def tree():
    root = Node("root")
    Node("left", root)
    Node("right", root)
    return root


def deep(levels, leaf):
    value = leaf
    for _ in range(levels):
        value = [value]
    return value


def shared(levels):
    value = ["a part that is long enough to be remembered when it is met again" * 2]
    for _ in range(levels):
        value = [value, value]
    return value


def unshared(levels):
    if levels == 0:
        return ["a part that is long enough to be remembered when it is met again" * 2]
    return [unshared(levels - 1), unshared(levels - 1)]


WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


def plain_groups():
    yield "none", [None]
    yield "false", [False]
    yield "true", [True]
    yield "0", [0]
    yield "1", [1]
    yield "-1", [-1]
    for number in (
        127,
        128,
        255,
        256,
        -128,
        -129,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        10**40,
    ):
        yield f"int {number}", [number, int(str(number))]
    yield "0.0", [0.0]
    yield "-0.0", [-0.0]
    yield "1.0", [1.0]
    yield "nan", [float("nan"), -float("nan"), float("inf") - float("inf")]
    yield "inf", [float("inf")]
    yield "-inf", [float("-inf")]
    yield "0.1", [0.1]
    yield "0.30000000000000004", [0.1 + 0.2]
    yield "0.3", [0.3]
    yield "0j", [0j]
    yield "1+0j", [1 + 0j]
    yield "complex nan", [complex(float("nan"), 0)]
    yield "text empty", [""]
    yield "text 1", ["1"]
    yield "text None", ["None"]
    yield "text True", ["True"]
    yield "text nul", ["\0"]
    yield "text composed", ["\u00e9"]
    yield "text decomposed", ["e\u0301"]
    yield "text surrogate", ["\ud800"]
    yield "text other surrogate", ["\udfff"]
    yield "text astral", ["\U0001f600"]
    yield "text surrogate pair", ["\ud83d\ude00"]
    yield "text interned", ["hello_world", uninterned("hello_world"), sys.intern("hello_world")]
    yield "text 31", ["x" * 31]
    yield "text 32", ["x" * 32]
    yield "text long", ["x" * 100_000]
    yield "bytes empty", [b""]
    yield "bytes 1", [b"1"]
    yield "bytes 31", [b"x" * 31]
    yield "bytes 32", [b"x" * 32, bytes(bytearray(b"x" * 32))]
    yield "bytes long", [b"x" * 300_000]
    yield "bytearray", [bytearray(b"1")]
    yield "memoryview", [memoryview(b"1"), memoryview(bytearray(b"1"))]
    yield "ellipsis", [...]
    yield "not implemented", [NotImplemented]


def container_groups():
    yield "tuple empty", [()]
    yield "list empty", [[]]
    yield "dict empty", [{}]
    yield "set empty", [set()]
    yield "frozenset empty", [frozenset()]
    yield "(1,)", [(1,)]
    yield "[1]", [[1]]
    yield "[1, 2]", [[1, 2]]
    yield "[2, 1]", [[2, 1]]
    yield "[[1], 2]", [[[1], 2]]
    yield "[1, [2]]", [[1, [2]]]
    yield "[[1, 2]]", [[[1, 2]]]
    yield "[[], [[]]]", [[[], [[]]]]
    yield "[[[]], []]", [[[[]], []]]
    yield "['ab', 'c']", [["ab", "c"]]
    yield "['a', 'bc']", [["a", "bc"]]
    yield "set words", [set(WORDS), set(reversed(WORDS)), set(WORDS + WORDS)]
    yield "frozenset words", [frozenset(WORDS), frozenset(reversed(WORDS))]
    yield "set of sets", [{frozenset(WORDS), frozenset()}, {frozenset(), frozenset(WORDS[::-1])}]
    yield "set {1}", [{1}]
    yield "set {1.0}", [{1.0}]
    yield "set {True}", [{True}]
    yield "list of words", [list(WORDS)]
    yield "dict", [{"a": 1, "b": 2}, {"b": 2, "a": 1}, dict([("b", 2), ("a", 1)])]
    yield "dict other value", [{"a": 1, "b": 3}]
    yield "dict swapped", [{"a": 2, "b": 1}]
    yield "dict inverse", [{1: "a", 2: "b"}]
    yield "dict key 1", [{1: "x"}]
    yield "dict key 1.0", [{1.0: "x"}]
    yield "dict key True", [{True: "x"}]
    yield "dict key text", [{"1": "x"}]
    yield "dict of pairs as list", [[("a", 1), ("b", 2)]]
    yield "nested dict", [{"p": {"x": 1}, "q": {"y": 2}}, {"q": {"y": 2}, "p": {"x": 1}}]
    yield "nested dict crossed", [{"p": {"x": 2}, "q": {"y": 1}}]
    item = ["a list that is shared or copied, and longer than a short leaf is"]
    yield "aliased", [[item, item], [item, copy.deepcopy(item)]]
    yield "deep sharing", [shared(8), unshared(8)]
    yield "deep sharing, one more", [shared(9), unshared(9)]
    yield "very deep sharing", [shared(100), copy.deepcopy(shared(100))]
    yield "cycle", [loop(), loop()]
    yield "cycle with 1", [loop(1)]
    yield "list of cycle", [[loop()]]
    yield "cycle of two", [(lambda a: (a.append([a]), a)[1])([])]
    yield "deep 150", [deep(150, 1)]
    yield "deep 151", [deep(151, 1)]
    yield "range", [range(3), range(0, 3, 1)]
    yield "range other", [range(1, 3)]
    yield "slice", [slice(1, 2)]
    yield "slice step", [slice(1, 2, 1)]


def subclass_groups():
    yield "MyInt 1", [MyInt(1)]
    yield "MyStr 1", [MyStr("1")]
    yield "MyDict", [MyDict(a=1, b=2), MyDict(b=2, a=1)]
    yield "MyList", [MyList([1])]
    yield "MySet", [MySet(WORDS), MySet(WORDS[::-1])]
    yield "MyTuple", [MyTuple((1,))]
    yield "Pair", [Pair(1, 2), pickle.loads(pickle.dumps(Pair(1, 2)))]
    yield "Couple", [Couple(1, 2)]
    yield "tuple (1, 2)", [(1, 2)]
    yield "OrderedDict ab", [collections.OrderedDict(a=1, b=2)]
    yield "OrderedDict ba", [collections.OrderedDict(b=2, a=1)]
    yield "defaultdict list", [collections.defaultdict(list, a=1)]
    yield "defaultdict int", [collections.defaultdict(int, a=1)]
    yield "dict a", [{"a": 1}]
    yield "Counter", [collections.Counter("aab"), collections.Counter("baa")]
    yield "Counter other", [collections.Counter("aabb")]
    yield "deque", [collections.deque([1, 2])]
    yield "deque maxlen", [collections.deque([1, 2], 2)]
    yield "Colour.RED", [Colour.RED, Colour.CRIMSON, pickle.loads(pickle.dumps(Colour.RED))]
    yield "Colour.GREEN", [Colour.GREEN]
    yield "Level.LOW", [Level.LOW]
    yield "Access", [Access.READ | Access.WRITE, Access.WRITE | Access.READ]
    yield "Access read", [Access.READ]
    yield "Word", [Word.A]
    yield "text a", ["a"]


def object_groups():
    yield "Point", [Point(1.0), Point(1.0, 0.0), copy.deepcopy(Point(1.0))]
    yield "Point int", [Point(1)]
    yield "Point extra", [(lambda p: (setattr(p, "extra", 1), p)[1])(Point(1.0))]
    yield "Place", [Place(1.0)]
    yield "Slotted", [Slotted(1.0), pickle.loads(pickle.dumps(Slotted(1.0)))]
    yield "Slotted note", [Slotted(1.0, "n")]
    yield "Plain", [Plain(a=1, b=[2]), Plain(b=[2], a=1), copy.deepcopy(Plain(a=1, b=[2]))]
    yield "Plain other", [Plain(a=1, b=[3])]
    yield "OtherPlain", [OtherPlain(a=1, b=[2])]
    yield "Plain empty", [Plain()]
    yield "tree", [tree(), pickle.loads(pickle.dumps(tree()))]
    yield "tree child", [tree().children[0]]
    yield "Liar", [Liar([1]), Liar([1])]
    yield "Liar 2", [Liar([2])]
    yield "Forgetful", [Forgetful(1, 2), Forgetful(1, 3)]
    yield "Forgetful 2", [Forgetful(2, 2)]
    yield "Stateful", [Stateful(1), Stateful(1)]
    yield "Stateful 2", [Stateful(2)]
    yield "Bag", [Bag(WORDS), Bag(WORDS[::-1]), pickle.loads(pickle.dumps(Bag(WORDS)))]
    yield "namespace", [types.SimpleNamespace(a=1, b=2), types.SimpleNamespace(b=2, a=1)]
    yield "exception", [ValueError("a"), pickle.loads(pickle.dumps(ValueError("a")))]
    yield "exception other", [ValueError("b")]
    measured = Measured(2.0)
    yield "cached property", [measured, Measured(2.0)]
    used = Measured(2.0)
    _ = used.area
    yield "cached property used", [used]
    yield "IntFlag", [Mode.R | Mode.W, Mode(3)]
    yield "typed pair", [TypedPair(1, "a"), TypedPair(b="a", a=1)]
    yield "random 1", [random.Random(1), random.Random(1)]
    yield "random 2", [random.Random(2)]


def standard_groups():
    utc = dt.timezone.utc
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    yield "date", [dt.date(2020, 1, 2)]
    yield "datetime", [dt.datetime(2020, 1, 2)]
    yield "datetime fold", [dt.datetime(2020, 1, 2, fold=1)]
    yield (
        "datetime utc",
        [
            dt.datetime(2020, 1, 2, tzinfo=utc),
            dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta())),
        ],
    )
    yield "datetime offset", [dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1)))]
    yield (
        "datetime Berlin",
        [
            dt.datetime(2020, 1, 2, tzinfo=berlin),
            dt.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Berlin")),
        ],
    )
    yield "datetime Paris", [dt.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))]
    yield "time", [dt.time(1)]
    yield "time fold", [dt.time(1, fold=1)]
    yield "timedelta", [dt.timedelta(hours=24), dt.timedelta(days=1)]
    yield "timezone", [utc, dt.timezone(dt.timedelta())]
    yield "ZoneInfo", [berlin]
    yield "Decimal 1.0", [decimal.Decimal("1.0")]
    yield "Decimal 1.00", [decimal.Decimal("1.00")]
    yield "Decimal NaN", [decimal.Decimal("NaN")]
    yield "Fraction", [fractions.Fraction(1, 3), fractions.Fraction(2, 6)]
    yield "UUID", [uuid.UUID(int=5), uuid.UUID(str(uuid.UUID(int=5)))]
    yield "UUID other", [uuid.UUID(int=6)]
    yield "PurePosixPath", [pathlib.PurePosixPath("/a/b"), pathlib.PurePosixPath("/a") / "b"]
    yield "PurePosixPath other", [pathlib.PurePosixPath("a/b")]
    yield "PureWindowsPath", [pathlib.PureWindowsPath("/a/b")]
    yield "path text", ["/a/b"]
    yield "pattern", [re.compile("a+"), re.compile("a+", re.UNICODE)]
    yield "pattern flags", [re.compile("a+", re.I)]
    yield "pattern bytes", [re.compile(b"a+")]
    yield "partial", [functools.partial(max, 1), functools.partial(max, 1)]
    yield "partial other argument", [functools.partial(max, 2)]
    yield "partial other function", [functools.partial(min, 1)]
    yield "partial keyword", [functools.partial(max, key=None)]
    yield "builtin function", [max]
    yield "library function", [copy.deepcopy]
    yield "class int", [int]
    yield "class library", [collections.OrderedDict]
    yield "class of None", [type(None)]
    yield "module", [re]
    yield "array", [array.array("d", [1.0]), array.array("d", [1.0])]
    yield "array of float", [array.array("f", [1.0])]
    yield (
        "ChainMap",
        [collections.ChainMap({"a": 1}, {"b": 2}), collections.ChainMap({"a": 1}, {"b": 2})],
    )
    yield "ChainMap order", [collections.ChainMap({"b": 2}, {"a": 1})]
    yield "UserDict", [collections.UserDict(a=1)]
    yield (
        "mapping proxy",
        [types.MappingProxyType({"a": 1, "b": 2}), types.MappingProxyType({"b": 2, "a": 1})],
    )
    yield "mapping proxy other", [types.MappingProxyType({"a": 1})]
    yield "address", [ipaddress.ip_address("10.0.0.1"), ipaddress.IPv4Address(0x0A000001)]
    used = ipaddress.ip_network("10.0.0.0/8")
    _ = used.broadcast_address, used.hostmask, used.num_addresses
    yield "network", [ipaddress.ip_network("10.0.0.0/8"), used]
    yield "interface", [ipaddress.ip_interface("10.0.0.1/8")]
    yield "itemgetter", [operator.itemgetter(1), operator.itemgetter(1)]
    yield "itemgetter 2", [operator.itemgetter(1, 2)]
    yield "attrgetter", [operator.attrgetter("a.b")]
    yield "methodcaller", [operator.methodcaller("a", 1)]
    yield "namespace of arguments", [argparse.Namespace(a=1, b=2), argparse.Namespace(b=2, a=1)]
    yield "template", [string.Template("$a")]
    yield "memoryview of array", [memoryview(array.array("d", [1.0]))]
    yield "union", [int | str]
    yield "exception with note", [noted(ValueError("a"), "n")]
    yield "exception cause", [OSError(2, "no")]
    yield "generic alias", [list[int], list[int]]
    yield "bound builtin", [[1].append]
    yield "bound other", [[2].append]
    yield "class method", [dict.fromkeys]


def numpy_groups():
    import numpy as np

    base = np.arange(12.0).reshape(3, 4)
    wide = np.arange(24.0).reshape(3, 8)
    wide[:, ::2] = base
    yield (
        "array",
        [
            base,
            base.copy(),
            np.asfortranarray(base),
            base.T.copy().T,
            wide[:, ::2],
            base[::-1][::-1],
            base[::-1].copy()[::-1],
            pickle.loads(pickle.dumps(base)),
        ],
    )
    yield "array transposed", [base.T, base.T.copy()]
    yield "array flat", [base.ravel()]
    yield "array f4", [base.astype("f4")]
    yield "array big-endian", [base.astype(">f8")]
    yield "array int", [base.astype("i8")]
    yield "array uint", [base.astype("u8")]
    yield "array as list", [base.tolist()]
    big = np.arange(3_000_000.0).reshape(1000, 3000)
    yield "large", [big, np.asfortranarray(big), np.repeat(big, 2, axis=1)[:, ::2]]
    yield "large, one element", [np.where(big == 5, 6, big)]
    yield "large, one row", [big.reshape(1, -1), np.repeat(big, 2).reshape(1, -1)[:, ::2]]
    yield "empty", [np.empty((0,))]
    yield "empty 0x3", [np.empty((0, 3))]
    yield "empty 3x0", [np.empty((3, 0))]
    yield "0-d", [np.array(1.0)]
    yield "1-d of one", [np.array([1.0])]
    yield "np.float64", [np.float64(1.0), np.array([1.0])[0]]
    yield "np.float32", [np.float32(1.0)]
    yield "np.int64", [np.int64(1)]
    yield "np.int32", [np.int32(1)]
    yield "np.bool", [np.True_, np.array([True])[0]]
    yield "np.str_", [np.str_("a")]
    yield "bools", [np.array([True, False])]
    yield "bytes as u1", [np.array([1, 0], dtype="u1")]
    yield "U3", [np.array(["a", "b"], dtype="U3")]
    yield "U4", [np.array(["a", "b"], dtype="U4")]
    yield "S3", [np.array([b"a", b"b"], dtype="S3")]
    yield "StringDType", [np.array(["a", "b" * 50], dtype=np.dtypes.StringDType())]
    yield "datetime64 D", [np.array(["2020-01-01"], dtype="M8[D]")]
    yield "datetime64 ns", [np.array(["2020-01-01"], dtype="M8[ns]")]
    yield "timedelta64", [np.array([1], dtype="m8[s]")]
    yield "NaT", [np.datetime64("NaT")]
    yield "c16", [np.array([1 + 2j])]
    extended = np.zeros(4, dtype="g")
    dirty = np.full(64, 0xFF, dtype="u1").view("g")
    dirty[:] = np.array([1, 2, 3, 4], dtype="g")
    clean = extended.copy()
    clean[:] = np.array([1, 2, 3, 4], dtype="g")
    yield "long double", [clean, dirty]
    yield (
        "object array",
        [
            np.array(["a", None, 1, "b"], dtype=object),
            np.array([uninterned("a"), None, 1, "b"], dtype=object),
            np.array(["a", 9, None, 9, 1, 9, "b", 9], dtype=object)[::2],
        ],
    )
    yield "object array moved", [np.array(["a", 1, None, "b"], dtype=object)]
    yield "object array of empty", [np.array(["", "ab"], dtype=object)]
    yield "object array of parts", [np.array(["a", "b"], dtype=object)]
    yield "object array joined", [np.array(["ab", ""], dtype=object)]
    yield "object array nested", [np.array([[1], {"a": 2}, None], dtype=object)]
    yield "object array surrogate", [np.array(["\ud800"], dtype=object)]
    record = np.dtype([("flag", "u1"), ("value", "f8")], align=True)
    zeros, ones = np.zeros(3, dtype=record), np.full(48, 0xFF, dtype="u1").view(record)
    for records in (zeros, ones):
        records["flag"], records["value"] = [1, 2, 3], [4, 5, 6]
    yield "structured, padding", [zeros, ones, ones[::-1][::-1]]
    yield "structured packed", [zeros.astype([("flag", "u1"), ("value", "f8")])]
    yield (
        "structured names",
        [zeros.astype(np.dtype([("flat", "u1"), ("value", "f8")], align=True))],
    )
    nested = np.zeros(2, dtype=[("a", [("b", "i4"), ("c", "O")]), ("d", "f4", (2,))])
    yield "structured nested", [nested, nested.copy()]
    yield "structured subarray", [np.zeros(2, dtype=[("d", "f4", (2,))])]
    yield "structured subarray 2", [np.zeros(2, dtype=[("d", "f4", (2, 1))])]
    yield "np.void", [zeros[0], ones[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        yield "matrix", [np.matrix([[1.0, 2.0]])]
    yield "2-d", [np.array([[1.0, 2.0]])]
    yield "recarray", [zeros.view(np.recarray)]
    yield (
        "masked",
        [
            np.ma.array([1.0, 2.0], mask=[False, True]),
            np.ma.array([1.0, 3.0], mask=[False, True]),
        ],
    )
    yield "masked none", [np.ma.array([1.0, 2.0])]
    yield "masked fill", [np.ma.array([1.0, 2.0], mask=[False, True], fill_value=7.0)]
    yield "dtype f4", [np.dtype("f4"), np.dtype(np.float32)]
    yield "dtype f8", [np.dtype("f8")]
    yield "class float64", [np.float64]
    yield "ufunc add", [np.add]
    yield "ufunc multiply", [np.multiply]
    yield "np.sum", [np.sum]
    yield (
        "generator 1",
        [np.random.default_rng(1), pickle.loads(pickle.dumps(np.random.default_rng(1)))],
    )
    yield "generator 2", [np.random.default_rng(2)]
    used = np.random.default_rng(1)
    used.random()
    yield "generator used", [used]
    yield "RandomState", [np.random.RandomState(1), np.random.RandomState(1)]
    yield "RandomState 2", [np.random.RandomState(2)]
    part = np.arange(100.0)
    yield "arrays aliased", [[part, part], [part, part.copy()]]


def pandas_groups():
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    a, b, c = np.arange(5.0), np.arange(5) * 10, ["x", "y", None, "z", "w"]

    def built():
        return pd.DataFrame({"a": a, "b": b, "c": c})

    def one_by_one():
        frame = pd.DataFrame({"a": a})
        frame["b"] = b
        frame["c"] = c
        return frame

    yield "frame", [built(), one_by_one(), built().copy(), pickle.loads(pickle.dumps(built()))]
    yield "frame reordered", [built()[["b", "a", "c"]]]
    yield "frame renamed", [built().rename(columns={"a": "A"})]
    yield "frame dtype", [built().astype({"b": "i4"})]
    yield "frame cell", [built().replace({"c": {"x": "X"}})]
    yield "frame index", [built().set_index(pd.Index([1, 2, 3, 4, 5]))]
    yield "frame row order", [built().iloc[::-1]]
    yield "frame attrs", [(lambda f: (f.attrs.update(k=1), f)[1])(built())]
    yield "frame flags", [built().set_flags(allows_duplicate_labels=False)]
    yield "frame object column", [built().astype({"c": object})]
    numbers = np.arange(10.0).reshape(5, 2)
    yield (
        "frame of numbers",
        [
            pd.DataFrame(numbers, columns=["p", "q"]),
            pd.DataFrame(np.asfortranarray(numbers), columns=["p", "q"]),
            pd.DataFrame({"p": numbers[:, 0], "q": numbers[:, 1]}),
            pd.concat(
                [pd.DataFrame({"p": numbers[:, 0]}), pd.DataFrame({"q": numbers[:, 1]})], axis=1
            ),
        ],
    )
    yield "frame empty", [pd.DataFrame()]
    yield "frame no rows", [built().iloc[:0]]
    yield "frame duplicate columns", [pd.DataFrame([[1, 2]], columns=["k", "k"])]
    yield "frame columns name", [pd.DataFrame([[1, 2]], columns=pd.Index(["k", "k"], name="n"))]
    yield "series", [pd.Series(a, name="a"), built()["a"]]
    yield "series name", [pd.Series(a, name="b")]
    yield "series no name", [pd.Series(a)]
    yield "frame of one", [pd.DataFrame({"a": a})]
    yield "index", [pd.Index([0, 1, 2])]
    yield "range index", [pd.RangeIndex(3)]
    yield "index name", [pd.Index([0, 1, 2], name="n")]
    yield "index float", [pd.Index([0.0, 1.0, 2.0])]
    days = pd.date_range("2020-01-01", periods=3, unit="ns")
    yield "dates", [days, days.copy()]
    yield "dates no freq", [pd.DatetimeIndex(list(days)).as_unit("ns")]
    yield "dates us", [days.as_unit("us")]
    yield "dates utc", [days.tz_localize("UTC")]
    yield "dates Berlin", [days.tz_localize("Europe/Berlin")]
    yield "date series", [pd.Series(days)]
    yield "date series Berlin", [pd.Series(days.tz_localize("Europe/Berlin"))]
    yield "timedeltas", [pd.Series(pd.to_timedelta([1, 2], unit="s"))]
    yield "timedelta index", [pd.to_timedelta([1, 2], unit="s")]
    yield "periods", [pd.period_range("2020-01", periods=3, freq="M")]
    yield "periods D", [pd.period_range("2020-01", periods=3, freq="D")]
    yield "intervals", [pd.interval_range(0, 3)]
    yield "intervals left", [pd.interval_range(0, 3, closed="left")]
    multi = pd.MultiIndex.from_product([[1, 2], ["x", "y"]], names=["i", "j"])
    yield "multi", [multi, pickle.loads(pickle.dumps(multi))]
    yield "multi names", [multi.rename(["i", "k"])]
    yield "multi order", [multi[::-1]]
    cat = pd.Categorical(["a", "b", "a"])
    yield "categorical", [cat, pd.Categorical(["a", "b", "a"], categories=["a", "b"])]
    yield "categorical order", [pd.Categorical(["a", "b", "a"], categories=["b", "a"])]
    yield "categorical ordered", [pd.Categorical(["a", "b", "a"], ordered=True)]
    yield "categorical more", [pd.Categorical(["a", "b", "a"], categories=["a", "b", "c"])]
    yield "categorical series", [pd.Series(cat), pd.Series(["a", "b", "a"]).astype("category")]
    hidden = pd.array([1, 2, None], dtype="Int64")
    hidden._data[2] = 77
    yield "Int64", [pd.array([1, 2, None], dtype="Int64"), hidden]
    yield "Int64 zero", [pd.array([1, 2, 0], dtype="Int64")]
    yield "Int32", [pd.array([1, 2, None], dtype="Int32")]
    yield "Float64", [pd.array([1, 2, None], dtype="Float64")]
    yield "boolean", [pd.array([True, None], dtype="boolean")]
    yield "float with nan", [pd.Series([1, 2, None])]
    words = ["x", None, "a much longer text than a short leaf can hold, really", "", "\u00e9"]
    yield (
        "str",
        [
            pd.Series(words, dtype="str"),
            pd.Series([None if w is None else uninterned(w) for w in words], dtype="str"),
            pd.concat(
                [pd.Series(words[:2], dtype="str"), pd.Series(words[2:], dtype="str")],
                ignore_index=True,
            ),
            pd.Series(["cut", *words], dtype="str").iloc[1:].reset_index(drop=True),
        ],
    )
    yield "str empty for missing", [pd.Series(["x", "", *words[2:]], dtype="str")]
    yield "string python", [pd.Series(words, dtype="string[python]")]
    yield (
        "string pyarrow",
        [
            pd.Series(words, dtype="string[pyarrow]"),
            pd.concat([pd.Series([w], dtype="string[pyarrow]") for w in words], ignore_index=True),
        ],
    )
    yield (
        "object words",
        [pd.Series(words, dtype=object), pd.Series(words * 2, dtype=object).iloc[:5]],
    )
    yield (
        "object nan",
        [pd.Series([w if w is not None else float("nan") for w in words], dtype=object)],
    )
    yield "object NA", [pd.Series([w if w is not None else pd.NA for w in words], dtype=object)]
    yield (
        "arrow int",
        [
            pd.Series([1, None, 3], dtype="int64[pyarrow]"),
            pd.Series([0, 1, None, 3], dtype="int64[pyarrow]").iloc[1:].reset_index(drop=True),
        ],
    )
    yield "arrow int 0", [pd.Series([1, 0, 3], dtype="int64[pyarrow]")]
    yield "arrow bool", [pd.Series([True, None], dtype="bool[pyarrow]")]
    yield "arrow time", [pd.Series([1, None], dtype="timestamp[us][pyarrow]")]
    yield "arrow time ns", [pd.Series([1, None], dtype="timestamp[ns][pyarrow]")]
    yield "Timestamp", [pd.Timestamp("2020-01-01"), days.as_unit("us")[0]]
    yield "Timestamp ns", [days[0]]
    yield "Timestamp tz", [pd.Timestamp("2020-01-01", tz="UTC")]
    yield "Timedelta", [pd.Timedelta("1s")]
    yield "Period", [pd.Period("2020-01", "M")]
    yield "Interval", [pd.Interval(0, 1)]
    yield "NA", [pd.NA]
    yield "pandas NaT", [pd.NaT]
    sparse = pd.arrays.SparseArray([0, 0, 1, 2])
    yield "sparse", [sparse, pd.arrays.SparseArray([0, 0, 1, 2]), pd.Series(sparse).array]
    yield "sparse series", [pd.Series(sparse), pickle.loads(pickle.dumps(pd.Series(sparse)))]
    yield "sparse fill", [pd.arrays.SparseArray([0, 0, 1, 2], fill_value=1)]
    yield "sparse float", [pd.arrays.SparseArray([0.0, 0.0, 1.0, 2.0])]
    yield "sparse blocks", [pd.arrays.SparseArray([0, 0, 1, 2], kind="block")]
    yield "sparse value", [pd.arrays.SparseArray([0, 0, 1, 3])]
    yield "sparse frame", [pd.DataFrame({"a": sparse}), pd.DataFrame({"a": sparse}).copy()]
    lists = pd.ArrowDtype(pa.list_(pa.int64()))
    yield (
        "arrow lists",
        [
            pd.Series([[1], None, []], dtype=lists),
            pd.Series([[9], [1], None, []], dtype=lists).iloc[1:].reset_index(drop=True),
            pd.concat([pd.Series([v], dtype=lists) for v in ([1], None, [])], ignore_index=True),
        ],
    )
    yield "arrow lists other", [pd.Series([[1], [], None], dtype=lists)]
    coded = pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))
    yield "arrow codes", [pd.Series(["a", "b"], dtype=coded)]
    yield "arrow text", [pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string()))]
    yield "arrow large text", [pd.Series(["a", None], dtype=pd.ArrowDtype(pa.large_string()))]
    dtype = pd.ArrowDtype(pa.int64())
    asked = pd.ArrowDtype(pa.int64())
    _ = asked.kind, asked.name, asked.itemsize, asked.numpy_dtype
    yield "arrow dtype", [dtype, asked, pickle.loads(pickle.dumps(dtype))]
    yield "arrow dtype other", [pd.ArrowDtype(pa.int32())]
    yield "Int64 dtype", [pd.Int64Dtype(), pd.array([1], dtype="Int64").dtype]
    yield "categorical dtype", [pd.CategoricalDtype(["a", "b"]), cat.dtype]
    yield "categorical dtype order", [pd.CategoricalDtype(["b", "a"])]
    yield "categorical dtype ordered", [pd.CategoricalDtype(["a", "b"], ordered=True)]
    yield "zone dtype", [pd.DatetimeTZDtype("ns", "UTC"), days.tz_localize("UTC").dtype]
    yield "zone dtype us", [pd.DatetimeTZDtype("us", "UTC")]
    yield (
        "period dtype",
        [pd.PeriodDtype("M"), pd.period_range("2020-01", periods=3, freq="M").dtype],
    )
    yield "interval dtype", [pd.IntervalDtype("int64", "right")]
    yield "string dtype", [pd.StringDtype("pyarrow"), pd.StringDtype("pyarrow")]
    yield "string dtype python", [pd.StringDtype("python")]
    yield "sparse dtype", [pd.SparseDtype("int64", 0), sparse.dtype]
    yield "sparse dtype fill", [pd.SparseDtype("int64", 1)]
    yield (
        "frames in a column",
        [pd.Series([built(), built()]), pd.Series([built().copy(), built()])],
    )
    yield "offset", [pd.offsets.MonthEnd(1), pd.offsets.MonthEnd(1)]
    yield "offset 2", [pd.offsets.MonthEnd(2)]


def learn_groups():
    import io

    import joblib
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        RandomForestClassifier,
        VotingClassifier,
    )
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KernelDensity, KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.utils import Bunch

    def data():
        rng = np.random.default_rng(0)
        x = rng.random((200, 4))
        return x, (x[:, 0] + x[:, 1] > 1).astype(int)

    def neighbours(k):
        """Fitted, and fitted and asked: queries leave their number in a tree."""
        asked = KNeighborsClassifier(k).fit(*data())
        asked.predict(data()[0])
        return [*three(lambda: KNeighborsClassifier(k)), asked]

    def three(make):
        first = make().fit(*data())
        second = make().fit(*data())
        buffer = io.BytesIO()
        joblib.dump(first, buffer)
        buffer.seek(0)
        return [first, second, pickle.loads(pickle.dumps(first)), joblib.load(buffer)]

    def forest(seed):
        return lambda: RandomForestClassifier(5, random_state=seed)

    def boosting(rate):
        return lambda: HistGradientBoostingClassifier(
            max_iter=5, learning_rate=rate, random_state=0
        )

    yield "neighbours 3", neighbours(3)
    yield "neighbours 4", neighbours(4)
    yield "density", three(KernelDensity)
    yield "voting", three(lambda: VotingClassifier([("a", LogisticRegression())]))
    yield "bunch", [Bunch(a=1, b=[2]), pickle.loads(pickle.dumps(Bunch(b=[2], a=1)))]
    yield "bunch other", [Bunch(a=1, b=[3])]
    yield "random state", [np.random.RandomState(5), np.random.RandomState(5)]
    yield "ridge", three(Ridge)
    yield "ridge alpha", three(lambda: Ridge(alpha=2.0))
    yield "ridge unfitted", [Ridge()]
    yield "pipeline", three(lambda: make_pipeline(StandardScaler(), LogisticRegression()))
    yield "pipeline C", three(lambda: make_pipeline(StandardScaler(), LogisticRegression(C=2.0)))
    yield "forest 0", three(forest(0))
    yield "forest 1", three(forest(1))
    yield "boosting 0.1", three(boosting(0.1))
    yield "boosting 0.2", three(boosting(0.2))
    yield "function", three(lambda: make_pipeline(FunctionTransformer(np.log1p), Ridge()))
    yield "function other", three(lambda: make_pipeline(FunctionTransformer(np.sqrt), Ridge()))
    yield (
        "columns",
        three(
            lambda: make_pipeline(
                ColumnTransformer(
                    [("n", StandardScaler(), [0, 1]), ("o", OneHotEncoder(max_categories=5), [2])]
                ),
                Ridge(),
            )
        ),
    )


SOURCES = [
    plain_groups,
    container_groups,
    subclass_groups,
    object_groups,
    standard_groups,
    numpy_groups,
    pandas_groups,
    learn_groups,
]


def groups(sources=SOURCES):
    for source in sources:
        for name, members in source():
            yield f"{source.__name__}: {name}", members


def digests(sources=SOURCES):
    from thrifty import _native

    return {
        name: [_native.digest(member) for member in members] for name, members in groups(sources)
    }


def check_groups(table, *, at_least):
    """Members of a group have one digest, and no two groups have the same."""
    assert {name: members for name, members in table.items() if len(set(members)) != 1} == {}
    names = {}
    for name, members in table.items():
        names.setdefault(members[0], []).append(name)
    assert [same for same in names.values() if len(same) > 1] == []
    assert len(table) >= at_least


def in_another_process(sources, seed):
    """As `digests`, of these sources, as an expression, with another seed for hashes."""
    import json
    import os
    import pathlib
    import subprocess

    from thrifty import _native

    here = pathlib.Path(__file__).parent
    package = pathlib.Path(_native.__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    environment["PYTHONPATH"] = os.pathsep.join([str(package), str(here)])
    program = (
        "import json, sys, digest_values;"
        f"{sources.split('.')[0]} = __import__({sources.split('.')[0]!r});"
        f"json.dump(digest_values.digests({sources}), sys.stdout)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True
    )
    return json.loads(ran.stdout)
