"""Pairs of values that must have one digest, and pairs that must not: builtins and what is like them.

`python value_pairs.py FAMILY…` prints the digests of all values, for `test_value_pairs.py`.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import itertools
import json
import operator
import pathlib
import pickle
import random
import re
import sys
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

Family = Callable[[], "Table"]
FAMILIES: dict[str, Family] = {}


class Pair(typing.NamedTuple):
    name: str
    same: bool
    left: Any
    right: Any


class Table:
    """The pairs of one family."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.pairs: list[Pair] = []

    def differ(self, what: str, *values: Any) -> None:
        """Every two of the values."""
        for (i, left), (j, right) in itertools.combinations(enumerate(values), 2):
            self.pairs.append(Pair(f"{self.family}: {what} [{i} is not {j}]", False, left, right))

    def agree(self, what: str, first: Any, *others: Any) -> None:
        """Each of the others with the first."""
        for i, other in enumerate(others, 1):
            self.pairs.append(Pair(f"{self.family}: {what} [0 is {i}]", True, first, other))


def family(fill: Callable[[Table], None]) -> Callable[[Table], None]:
    """Makes a function that fills a table a family."""

    def table() -> Table:
        table = Table(fill.__name__)
        fill(table)
        return table

    FAMILIES[fill.__name__] = table
    return fill


def uninterned(text: str) -> str:
    return "".join(list(text))


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
LONG = "a text that is too long to stand in a container by itself" * 3


@family
def builtins(t: Table) -> None:
    t.differ(
        "one", 1, 1.0, True, "1", b"1", 1 + 0j, (1,), [1], {1}, frozenset({1}), bytearray(b"1")
    )
    t.differ("nothing", None, False, 0, 0.0, "", b"", (), [], {}, set(), "None", ...)
    t.differ("zero", 0.0, -0.0, 0j, -0j, complex(0, -0.0))
    t.differ("bounds", 127, 128, -128, -129, 255, 256, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1)
    t.differ("large", 10**40, 10**40 + 1, -(10**40), float(10**40), str(10**40))
    t.differ("nearly", 0.1 + 0.2, 0.3, 0.1, 0.30000000000000001 - 1e-16)
    t.differ("infinite", float("inf"), float("-inf"), float("nan"), "inf", "nan")
    t.differ("unicode", "\u00e9", "e\u0301", "\u0065", "\ufffd")
    t.differ("surrogates", "\ud800", "\udfff", "\U0001f600", "\ud83d\ude00", "?")
    t.differ("space", "a", "a ", " a", "A", "a\0", "a\n", "\ta")
    t.differ("framing", "ab", "a\0b", b"ab", ["a", "b"], ("a", "b"), ["ab"])
    t.differ("leaf", "x" * 31, "x" * 32, "x" * 33, b"x" * 31, b"x" * 32)
    t.differ("long", "x" * 100_000, "x" * 99_999 + "y", "y" + "x" * 99_999, b"x" * 100_000)
    t.differ("views", memoryview(b"ab"), bytearray(b"ab"), b"ab", memoryview(b"ab").cast("b"))
    t.differ("ranges", range(3), range(0, 4), range(0, 3, 2), [0, 1, 2], (0, 1, 2))
    t.differ("empty ranges", range(0), range(5, 5), range(0, 0, 2))
    t.differ("slices", slice(1), slice(0, 1), slice(None, 1, 1), slice(1, None), range(1))
    t.differ("singletons", None, ..., NotImplemented)
    t.agree("int", 10**40, int(str(10**40)), 10**20 * 10**20)
    t.agree("nan", float("nan"), -float("nan"), float("inf") - float("inf"))
    t.agree("text", "hello_world", uninterned("hello_world"), sys.intern("hello_world"))
    t.agree("bytes", b"x" * 100_000, bytes(bytearray(b"x" * 100_000)))
    t.agree("view", memoryview(b"ab"), memoryview(bytearray(b"ab")), memoryview(b"cab")[1:])
    t.agree("strided view", memoryview(b"abc"), memoryview(b"a-b-c")[::2])


class Shared:
    """Ways to hold one thing twice."""

    def __init__(self, *parts: Any) -> None:
        self.parts = list(parts)


def nested(levels: int, leaf: Any) -> list[Any]:
    value = leaf
    for _ in range(levels):
        value = [value]
    return value


@family
def containers(t: Table) -> None:
    t.differ("kind", [1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {1: 2}, [[1, 2]], [(1, 2)])
    t.differ("order", [1, 2, 3], [1, 3, 2], [3, 2, 1], [1, 2], [1, 2, 3, 3])
    t.differ("nesting", [[1], 2], [1, [2]], [[1, 2]], [1, 2], [[1], [2]], [[[1]], 2])
    t.differ("empties", [[], [[]]], [[[]], []], [[], []], [[[], []]], [[[[]]]])
    t.differ("splits", ["ab", "c"], ["a", "bc"], ["abc"], ["", "abc"], ["abc", ""])
    t.differ("elements", [1], [1.0], [True], ["1"], [b"1"], [None])
    t.differ("set elements", {1}, {1.0}, {True}, {"1"}, {2})
    t.differ("dict keys", {1: "a"}, {"1": "a"}, {1.0: "a"}, {True: "a"}, {b"1": "a"}, {(1,): "a"})
    t.differ("dict values", {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": [1]})
    t.differ("pairing", {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"b": 1, "c": 2}, {1: "a", 2: "b"})
    t.differ("pairs of", [("a", 1)], {"a": 1}, [["a", 1]], {("a", 1)})
    t.differ("missing", {"a": None}, {}, {"a": ""}, {None: "a"}, {"a": {}})
    t.differ("deep", nested(150, 1), nested(150, 2), nested(149, 1), nested(151, 1))
    t.differ("one in many", list(range(1000)), [*range(999), 0], list(range(1001)))
    t.differ("long", [LONG], [LONG + "."], (LONG,), {LONG}, {LONG: None})
    t.agree("dict order", {"a": 1, "b": 2, "c": 3}, {"c": 3, "b": 2, "a": 1})
    t.agree("dict order, mixed", {1: 0, "1": 0, None: 0}, {None: 0, "1": 0, 1: 0})
    t.agree("nested dict order", [{"a": {"x": 1, "y": 2}}], [{"a": {"y": 2, "x": 1}}])
    t.agree("long keys", {LONG: 1, "k": 2}, {"k": 2, uninterned(LONG): 1})
    t.agree("set order", set(WORDS), set(reversed(WORDS)), {*WORDS, *WORDS})
    t.agree("frozenset order", frozenset(WORDS), frozenset(reversed(WORDS)))
    t.agree(
        "nested frozensets",
        {frozenset(WORDS), frozenset()},
        {frozenset(), frozenset(reversed(WORDS))},
    )
    t.agree("set in dict", {"k": set(WORDS)}, {"k": set(reversed(WORDS))})
    t.agree("copies", [WORDS, {"k": WORDS}], copy.deepcopy([WORDS, {"k": WORDS}]))
    t.agree("dict that had more", {"a": 1}, dropped({"a": 1, "b": 2}, "b"))
    t.agree("set that had more", set(WORDS), {*WORDS, *range(1000)} - {*range(1000)})


def dropped(mapping: dict[Any, Any], key: Any) -> dict[Any, Any]:
    del mapping[key]
    return mapping


class Node:
    def __init__(self, name: str, parent: Node | None = None) -> None:
        self.name, self.parent, self.children = name, parent, list[Node]()
        if parent is not None:
            parent.children.append(self)


def family_of(*names: str) -> Node:
    root = Node("root")
    for name in names:
        Node(name, root)
    return root


def loop(*before: Any, steps: int = 1) -> list[Any]:
    value: list[Any] = [*before]
    inner = value
    for _ in range(steps - 1):
        inner.append([])
        inner = inner[-1]
    inner.append(value)
    return value


def ring(*names: str) -> Node:
    nodes = [Node(name) for name in names]
    for one, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        one.parent = following
    return nodes[0]


@family
def cycles(t: Table) -> None:
    part, other = [LONG], [LONG]
    t.agree("aliased list", [part, part], [part, other], copy.deepcopy([part, part]))
    t.agree("aliased dict", {"a": part, "b": part}, {"b": other, "a": other})
    t.agree("aliased in objects", Shared(part, part), Shared(part, [LONG]))
    t.agree("aliased text", [LONG, LONG], [LONG, uninterned(LONG)])
    t.agree("aliased deep", [[part], [[part]]], [[other], [[[LONG]]]])
    t.agree("cycle", loop(), loop())
    t.agree("longer cycle", loop(1, steps=3), loop(1, steps=3))
    t.agree("tree", family_of("a", "b"), family_of("a", "b"), pickled(family_of("a", "b")))
    t.agree("ring", ring("a", "b", "c"), ring("a", "b", "c"), pickled(ring("a", "b", "c")))
    t.differ("cycle", loop(), loop(1), loop(1, 2), loop(steps=2), [[]], [[[]]])
    t.differ("tree", family_of("a", "b"), family_of("b", "a"), family_of("a"), family_of("a", "c"))
    t.differ(
        "seen from", family_of("a"), family_of("a").children[0], ring("a", "b"), ring("b", "a")
    )
    t.differ("ring", ring("a"), ring("a", "a"), ring("a", "b"), ring("a", "b", "c"))


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class OtherPlain(Plain):
    pass


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any = None) -> None:
        self.a, self.b = a, b


class HalfSlots(Slots):
    def __init__(self, a: Any, c: Any) -> None:
        super().__init__(a)
        self.c = c


class Liar:
    """Says it is equal to anything, and shows itself as something else."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "Liar()"


class Forgetful:
    def __init__(self, kept: Any, dropped: Any) -> None:
        self.kept, self.dropped = kept, dropped

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Made:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return Made, (self.value,)


class MyInt(int):
    pass


class MyFloat(float):
    pass


class MyStr(str):
    pass


class MyBytes(bytes):
    pass


class MyDict(dict):
    pass


class MyList(list):
    pass


class MySet(set):
    pass


class MyTuple(tuple):
    pass


def with_attribute(value: Any, **attributes: Any) -> Any:
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


@family
def objects(t: Table) -> None:
    t.differ("class", Plain(a=1), OtherPlain(a=1), types.SimpleNamespace(a=1), {"a": 1}, Slots(1))
    t.differ("attributes", Plain(a=1), Plain(a=2), Plain(b=1), Plain(a=1, b=None), Plain(a="1"))
    t.differ("deep", Plain(a=Plain(b=[1])), Plain(a=Plain(b=[2])), Plain(a=Plain(c=[1])))
    t.differ("slots", Slots(1), Slots(2), Slots(None, 1), Slots(1, 1), HalfSlots(1, 1))
    t.differ("slots and dict", HalfSlots(1, 1), HalfSlots(1, 2), HalfSlots(2, 1))
    t.differ("behind an eq", Liar(1), Liar(2), Liar("1"))
    t.differ("in a dict of liars", [Liar(1), Liar(2)], [Liar(2), Liar(1)])
    t.differ("reduced", Made(1), Made(2), Made([1]), Plain(value=1))
    t.differ("int", MyInt(1), 1, True, MyFloat(1), with_attribute(MyInt(1), note="x"))
    t.differ("float", MyFloat(0.0), MyFloat(-0.0), 0.0, MyFloat(float("nan")))
    t.differ("str", MyStr("a"), "a", MyBytes(b"a"), with_attribute(MyStr("a"), note="x"))
    t.differ("list", MyList([1]), [1], MyTuple([1]), MyList([2]), with_attribute(MyList([1]), a=1))
    t.differ("set", MySet({1}), {1}, MySet({2}), with_attribute(MySet({1}), a=1))
    t.differ("dict", MyDict(a=1), {"a": 1}, MyDict(a=2), with_attribute(MyDict(a=1), b=1))
    t.agree("attribute order", Plain(a=1, b=2), Plain(b=2, a=1))
    t.agree("copies", Plain(a=[1]), copy.copy(Plain(a=[1])), copy.deepcopy(Plain(a=[1])))
    t.agree("pickled", HalfSlots(1, 2), pickled(HalfSlots(1, 2)))
    t.agree("pickled slots", Slots([1]), pickled(Slots([1])))
    t.agree("state", Forgetful(1, 2), Forgetful(1, 3))
    t.agree("set attribute", Plain(words=set(WORDS)), Plain(words=set(reversed(WORDS))))
    t.agree("set subclass", MySet(WORDS), MySet(reversed(WORDS)))
    t.agree("dict subclass", MyDict(a=1, b=2), MyDict(b=2, a=1))
    t.agree("reduced", Made(set(WORDS)), Made(set(reversed(WORDS))))


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Place:
    x: float
    y: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: float
    note: str = dataclasses.field(default="", compare=False)


Pairs = collections.namedtuple("Pairs", "a b")
Couple = collections.namedtuple("Couple", "a b")


class Typed(typing.NamedTuple):
    a: int
    b: int = 2


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


class Word(enum.StrEnum):
    A = "a"


class Mode(enum.Enum):
    RED = 1


@family
def records(t: Table) -> None:
    t.differ("dataclass", Point(1), Point(1.0), Point(1.0, 1.0), Place(1.0), Frozen(1.0))
    t.differ("frozen", Frozen(1.0), Frozen(1.0, "note"), Frozen(2.0))
    t.differ("nested", [Point(1.0), Point(2.0)], [Point(2.0), Point(1.0)], Point(Point(1.0)))
    t.differ("named tuple", Pairs(1, 2), Couple(1, 2), (1, 2), Pairs(2, 1), Typed(1, 2), [1, 2])
    t.differ("as dict", Point(1.0), dataclasses.asdict(Point(1.0)), dataclasses.astuple(Point(1.0)))
    t.differ("enum", Colour.RED, Colour.GREEN, Mode.RED, 1, "RED", "Colour.RED")
    t.differ("int enum", Level.LOW, 1, Level.HIGH, True, Colour.RED)
    t.differ("str enum", Word.A, "a", "A", "Word.A")
    t.differ("flags", Access.READ, Access.WRITE, Access.READ | Access.WRITE, Access(0), 1)
    t.agree("dataclass", Point(1.0), Point(x=1.0, y=0.0), dataclasses.replace(Point(2.0), x=1.0))
    t.agree("frozen", Frozen(1.0), pickled(Frozen(1.0)), copy.copy(Frozen(1.0)))
    t.agree("named tuple", Pairs(1, 2), Pairs(a=1, b=2), Pairs(0, 2)._replace(a=1))
    t.agree("default", Typed(1), Typed(1, 2))
    t.agree("alias", Colour.RED, Colour.CRIMSON, Colour(1), Colour["RED"], pickled(Colour.RED))
    t.agree("flags", Access.READ | Access.WRITE, Access.WRITE | Access.READ, Access(3))


NOON = dt.datetime(2020, 6, 1, 12)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
AUTUMN = dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN)


@family
def times(t: Table) -> None:
    plus_two = dt.timezone(dt.timedelta(hours=2))
    t.differ(
        "date", dt.date(2020, 1, 2), dt.datetime(2020, 1, 2), dt.date(2020, 2, 1), "2020-01-02"
    )
    t.differ("zone", NOON, NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=BERLIN))
    t.differ("same moment", NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=plus_two))
    t.differ(
        "zones", dt.UTC, plus_two, BERLIN, zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Etc/UTC")
    )
    t.differ("named zone", plus_two, dt.timezone(dt.timedelta(hours=2), "CEST"))
    t.differ("fold", AUTUMN, AUTUMN.replace(fold=1))
    t.differ("time", dt.time(12), dt.time(12, tzinfo=dt.UTC), dt.time(12, fold=1), dt.time(0, 12))
    t.differ("microsecond", NOON, NOON.replace(microsecond=1), NOON.replace(second=1))
    t.differ("timedelta", dt.timedelta(1), dt.timedelta(0, 1), dt.timedelta(-1), 86400, 86400.0)
    t.agree("date", dt.date(2020, 1, 2), dt.date.fromisoformat("2020-01-02"))
    t.agree("timedelta", dt.timedelta(1), dt.timedelta(hours=24), dt.timedelta(0, 86400))
    t.agree("utc", dt.UTC, dt.timezone.utc, dt.timezone(dt.timedelta(0)))
    t.agree("zone", BERLIN, zoneinfo.ZoneInfo.no_cache("Europe/Berlin"), pickled(BERLIN))
    t.agree("datetime", AUTUMN, pickled(AUTUMN), copy.deepcopy(AUTUMN))


@family
def paths(t: Table) -> None:
    t.differ(
        "class", pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a"), "a"
    )
    t.differ("text", *(pathlib.PurePosixPath(p) for p in ("/a", "a", "a/b", "a/../b", "A")))
    t.differ("windows", pathlib.PureWindowsPath("C:/a"), pathlib.PureWindowsPath("c:/a"))
    t.agree("spelling", pathlib.Path("a/b"), pathlib.Path("a//b/"), pathlib.Path("a") / "b")
    t.agree("dot", pathlib.Path("a/./b"), pathlib.Path("a/b"), pickled(pathlib.Path("a/b")))
    t.agree("read before", touched(pathlib.Path("a/b.c")), pathlib.Path("a/b.c"))


def touched(path: pathlib.Path) -> pathlib.Path:
    """A path that has computed and kept all that it can."""
    _ = path.parts, path.name, path.suffix, str(path), hash(path), path.anchor, bytes(path)
    return path


def used(generator: random.Random) -> random.Random:
    generator.random()
    return generator


def ordered(*keys: str) -> collections.OrderedDict[str, int]:
    return collections.OrderedDict((key, 1) for key in keys)


def defaulting(factory: Any, **items: Any) -> collections.defaultdict[str, Any]:
    return collections.defaultdict(factory, items)


@family
def standard(t: Table) -> None:
    one = decimal.Decimal("1.0")
    t.differ(
        "number", one, decimal.Decimal("1.00"), decimal.Decimal(1), 1, 1.0, fractions.Fraction(1)
    )
    t.differ(
        "decimal", decimal.Decimal("NaN"), decimal.Decimal("sNaN"), decimal.Decimal("Infinity")
    )
    t.differ("decimal zero", decimal.Decimal("0"), decimal.Decimal("-0"), decimal.Decimal("0.0"))
    t.differ("fraction", fractions.Fraction(1, 3), fractions.Fraction(2, 3), 1 / 3, "1/3")
    t.differ("uuid", uuid.UUID(int=5), uuid.UUID(int=6), 5, str(uuid.UUID(int=5)))
    t.differ("pattern", *(re.compile(*a) for a in (("a",), ("b",), ("a", re.I), (b"a",))), "a")
    t.differ("deque", collections.deque([1, 2]), collections.deque([2, 1]), [1, 2])
    t.differ(
        "bounded deque",
        collections.deque([1], 5),
        collections.deque([1], 6),
        collections.deque([1]),
    )
    t.differ("counter", collections.Counter("ab"), {"a": 1, "b": 1}, collections.Counter("aab"))
    t.differ("ordered dict", ordered("a", "b"), ordered("b", "a"), {"a": 1, "b": 1}, ordered("a"))
    t.differ(
        "default dict", defaulting(int, a=1), defaulting(list, a=1), defaulting(None, a=1), {"a": 1}
    )
    t.differ(
        "chain map", collections.ChainMap({1: 2}, {3: 4}), collections.ChainMap({3: 4}, {1: 2})
    )
    t.differ("user dict", collections.UserDict(a=1), collections.UserDict(a=2), {"a": 1})
    t.differ("random", random.Random(1), random.Random(2), used(random.Random(1)))
    t.differ("address", *map(ipaddress.ip_address, ("127.0.0.1", "127.0.0.2", "::1")), "127.0.0.1")
    t.differ("network", ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("10.0.0.0/16"))
    t.differ("exception", ValueError("a"), ValueError("b"), TypeError("a"), ValueError("a", "b"))
    t.differ("alias", list[int], list[str], tuple[int], list)
    t.differ("getter", operator.itemgetter(1), operator.itemgetter(2), operator.attrgetter("a"))
    t.agree("decimal", one, decimal.Decimal("10e-1"), copy.copy(one), pickled(one))
    t.agree(
        "fraction", fractions.Fraction(1, 3), fractions.Fraction(2, 6), fractions.Fraction("1/3")
    )
    t.agree("uuid", uuid.UUID(int=5), uuid.UUID(str(uuid.UUID(int=5))), pickled(uuid.UUID(int=5)))
    t.agree("pattern", re.compile("a+"), pickled(re.compile("a+")), re.compile("a" + "+"))
    t.agree("deque", collections.deque([1, 2]), pickled(collections.deque([1, 2])))
    t.agree("counter", collections.Counter("abca"), collections.Counter("caab"))
    t.agree("ordered dict", ordered("a", "b"), pickled(ordered("a", "b")))
    t.agree("default dict", defaulting(int, a=1, b=2), defaulting(int, b=2, a=1))
    t.agree(
        "random", used(random.Random(1)), used(random.Random(1)), pickled(used(random.Random(1)))
    )
    t.agree("alias", list[int], list[int], pickled(list[int]))
    t.agree("getter", operator.itemgetter(1, "a"), pickled(operator.itemgetter(1, "a")))


def power(base: int, exponent: int = 2) -> int:
    return base**exponent


def scaled(base: int, exponent: int = 2) -> int:
    return base * exponent


def is_even(number: int) -> bool:
    return number == 0 or is_odd(number - 1)


def is_odd(number: int) -> bool:
    return number != 0 and is_even(number - 1)


def adder(step: int, scale: float = 1.0) -> Callable[[int], float]:
    return lambda number: (number + step) * scale


class Machine:
    def __init__(self, speed: int) -> None:
        self.speed = speed

    def run(self, hours: int) -> int:
        return self.speed * hours

    def stop(self, hours: int) -> int:
        return self.speed - hours

    @classmethod
    def fast(cls) -> Machine:
        return cls(9)

    @staticmethod
    def idle() -> int:
        return 0


class Engine(Machine):
    pass


# Each on a line of its own, or its text could not be told.
LAMBDAS = (
    lambda x: x,
    lambda x: x + 1,
    lambda x, y=1: x,
    lambda *x: x,
)


@family
def code(t: Table) -> None:
    partial = functools.partial
    t.differ("functions", power, scaled, is_even, is_odd, "power", max, copy.deepcopy)
    t.differ("lambdas", *LAMBDAS)
    t.differ("closures", adder(1), adder(2), adder(1, 2.0), adder("1"), adder)
    t.differ("defaults", adder_with(1), adder_with(2), adder_with("1"))
    t.differ(
        "partial", partial(power), partial(power, 1), partial(power, 2), partial(scaled, 1), power
    )
    t.differ("keywords", partial(power, exponent=3), partial(power, exponent=4), partial(power, 3))
    t.differ("methods", Machine(1).run, Machine(2).run, Machine(1).stop, Engine(1).run, Machine.run)
    t.differ("class methods", Machine.fast, Engine.fast, Machine.idle, Machine)
    t.differ("classes", Machine, Engine, Point, Place, int, float, type, "Machine")
    t.differ("builtins", max, min, len, [1].append, [2].append, [1].extend, dict.fromkeys)
    t.differ("modules", re, json, "re", operator)
    t.agree("closures", adder(1), adder(1), adder(1, 1.0))
    t.agree("defaults", adder_with([1]), adder_with([1]))
    t.agree("partial", partial(power, 1), partial(power, 1), partial(partial(power), 1))
    t.agree("keywords", partial(power, base=1, exponent=2), partial(power, exponent=2, base=1))
    t.agree("methods", Machine(1).run, Machine(1).run)
    t.agree("classes", Machine, sys.modules[Machine.__module__].Machine)
    t.agree("bound builtin", [1].append, [1].append)


def adder_with(step: Any) -> Callable[[int], Any]:
    def add(number: int, step: Any = step) -> Any:
        return [number, step]

    return add


@dataclasses.dataclass
class Deep:
    inner: Any


@family
def peers(t: Table) -> None:
    """What other caches were measured to confuse, as far as it needs no library."""
    t.differ("one and its text", 1, "1")
    t.differ("one and true", 1, True)
    t.differ("one and its float", 1, 1.0)
    t.differ("tuple and list", (1, 2), [1, 2])
    t.differ("set and frozen set", {1, 2}, frozenset({1, 2}))
    t.differ("keys and their texts", {1: "a"}, {"1": "a"})
    t.differ("bytes and text", b"abc", "abc")
    t.differ("nothing and its text", None, "None")
    t.differ("deep objects", Deep(Deep(Deep([1]))), Deep(Deep(Deep([2]))))
    t.differ("slots", Slots(1), Slots(2))
    t.differ("enumerations", Colour.RED, Colour.GREEN)
    t.agree("nested frozen sets", {"k": [frozenset(WORDS)]}, {"k": [frozenset(reversed(WORDS))]})
    t.agree("objects of this program", Point(1.0), pickled(Point(1.0)))


PORTABLE = ("builtins", "containers", "cycles", "objects", "records", "times", "paths", "standard")
"""The families that mean the same to every version of Python, and need no library."""


def pairs(families: Iterator[str] | list[str] | tuple[str, ...]) -> list[Pair]:
    return [pair for name in families for pair in FAMILIES[name]().pairs]


def digests(families: list[str] | tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """By the name of the pair, the digests of both."""
    import thrifty
    from thrifty import _native, testing

    # Not the digest alone: code of this program has none outside of an operation's key.
    take = thrifty.task(cache=thrifty.Cache(version="1"))(taken)
    digest = take.key if "code" in families else _native.digest
    with testing.memory_cache():
        return {pair.name: (digest(pair.left), digest(pair.right)) for pair in pairs(families)}


def taken(value: Any) -> Any:
    return value


if __name__ == "__main__":
    import value_pairs

    if any(name not in value_pairs.FAMILIES for name in sys.argv[1:]):
        import value_pairs_of_libraries  # noqa: F401 - adds its families

    json.dump([value_pairs.digests([name]) for name in sys.argv[1:]], sys.stdout)
