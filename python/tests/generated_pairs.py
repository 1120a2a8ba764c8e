"""Values made at random, each written in two ways that must agree and edited to one that must not.

`python generated_pairs.py 1000000` tries that many pairs on all cores. A value is described by a
tree of tuples, from which it is built as often as wanted: what must not count (order, layout,
interning, sharing, copies) is chosen anew each time it is built.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import multiprocessing
import os
import pathlib
import pickle
import random
import struct
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from thrifty import _native
from value_pairs import Colour, HalfSlots, MyDict, MyList, Plain, Point, Slots, uninterned

Tree = tuple[Any, ...]
Random = random.Random

WORDS = (
    "",
    "a",
    "b",
    "ab",
    "0",
    "None",
    "\u00e9",
    "e\u0301",
    "\ud800",
    "x" * 31,
    "x" * 32,
    "y" * 99,
)
NUMBERS = (0, 1, -1, 2, 127, 128, -128, -129, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30)
FLOATS = (0.0, -0.0, 1.0, -1.5, 0.1, 1e300, float("inf"), float("-inf"), float("nan"))
DTYPES = ("<i4", ">i4", "<i8", "<u2", "<f4", "<f8", "<c16", "?", "O", "U3", "S3", "M8[s]")
CLASSES = {"Plain": Plain, "Point": Point, "Slots": Slots, "HalfSlots": HalfSlots}
NAMES = {
    "Plain": ("a", "b", "c"),
    "Point": ("x", "y"),
    "Slots": ("a", "b"),
    "HalfSlots": ("a", "c"),
}


# -- making trees


def leaf(r: Random) -> Tree:
    kind = r.choice(
        ("none", "bool", "int", "int", "float", "complex", "str", "str", "bytes", "other")
    )
    match kind:
        case "none":
            return ("none",)
        case "bool":
            return ("bool", r.random() < 0.5)
        case "int":
            return ("int", r.choice(NUMBERS) if r.random() < 0.5 else r.randint(-300, 300))
        case "float":
            return ("float", bits(r.choice(FLOATS) if r.random() < 0.5 else r.random()))
        case "complex":
            return ("complex", bits(r.choice(FLOATS)), bits(r.choice(FLOATS)))
        case "str":
            return ("str", r.choice(WORDS) if r.random() < 0.7 else str(r.randint(0, 9999)))
        case "bytes":
            return ("bytes", r.choice(WORDS).encode("utf-8", "surrogatepass"))
    return other(r)


def other(r: Random) -> Tree:
    number = r.randint(0, 50)
    kind = r.choice(("date", "moment", "decimal", "path", "colour", "range"))
    return (kind, number % 2 if kind == "colour" else number)


def bits(number: float) -> bytes:
    return struct.pack("<d", number if number == number else float("nan"))


def key(r: Random, kind: str) -> Tree:
    """Keys of one type at a time: to Python, `1` and `True` are one key."""
    match kind:
        case "int":
            return ("int", r.randint(-5, 400))
        case "bytes":
            return ("bytes", str(r.randint(0, 99)).encode())
        case "tuple":
            return ("tuple", (("int", r.randint(0, 9)), ("str", r.choice(WORDS))))
    return ("str", r.choice(WORDS) + str(r.randint(0, 30)))


def keys(r: Random) -> list[Tree]:
    kind = r.choice(("str", "str", "int", "bytes", "tuple"))
    return list({key(r, kind): None for _ in range(r.choice((0, 1, 2, 3, 8)))})


def tree(r: Random, depth: int = 4) -> Tree:
    if depth == 0 or r.random() < 0.25:
        return leaf(r)
    kind = r.choice(
        (
            "tuple",
            "list",
            "list",
            "set",
            "frozenset",
            "dict",
            "dict",
            "object",
            "array",
            "subclass",
            "frame",
        )
    )
    match kind:
        case "tuple" | "list":
            return (kind, tuple(tree(r, depth - 1) for _ in range(r.choice((0, 1, 2, 3, 7)))))
        case "set" | "frozenset":
            return (kind, tuple(keys(r)))
        case "dict":
            return (kind, tuple((key, tree(r, depth - 1)) for key in keys(r)))
        case "object":
            name = r.choice(tuple(CLASSES))
            return (kind, name, tuple((part, tree(r, depth - 1)) for part in NAMES[name]))
        case "array":
            return array(r)
        case "subclass":
            items = tuple(tree(r, depth - 1) for _ in range(r.randint(0, 3)))
            return (kind, r.choice(("MyList", "MyDict")), items)
    return frame(r) if r.random() < 0.1 else array(r)


def array(r: Random) -> Tree:
    shape = tuple(r.randint(0, 4) for _ in range(r.choice((0, 1, 1, 2, 2, 3))))
    size = int(np.prod(shape, dtype=int))
    return (
        "array",
        r.choice(DTYPES),
        shape,
        tuple(r.randint(0, 1 if r.random() < 0.5 else 9) for _ in range(size)),
    )


def frame(r: Random) -> Tree:
    rows = r.randint(0, 4)
    names = list(dict.fromkeys(r.choice(WORDS[1:6]) for _ in range(r.randint(1, 3))))
    dtypes = ("int64", "float64", "Int64", "str", "object", "category", "bool")
    columns = tuple(
        (n, r.choice(dtypes), tuple(r.randint(0, 3) for _ in range(rows))) for n in names
    )
    return ("frame", columns)


# -- what a tree says


def canonical(value: Tree) -> Any:
    """Equal if and only if the values are."""
    match value:
        case ("set" | "frozenset" as kind, items):
            return (kind, tuple(sorted(map(canonical, items), key=repr)))
        case ("dict", items):
            pairs = [(canonical(key), canonical(item)) for key, item in items]
            return ("dict", tuple(sorted(pairs, key=repr)))
        case ("tuple" | "list" as kind, items):
            return (kind, tuple(map(canonical, items)))
        case ("object", name, parts):
            return ("object", name, tuple((part, canonical(item)) for part, item in parts))
        case ("subclass", name, items):
            return ("subclass", name, tuple(map(canonical, items)))
        case ("array", "?", shape, numbers):
            return ("array", "?", shape, tuple(map(bool, numbers)))
        case ("frame", columns):
            truths = [(n, d, tuple(i % 2 for i in c) if d == "bool" else c) for n, d, c in columns]
            return ("frame", tuple(truths))
    return value


# -- building values


def build(value: Tree, r: Random) -> Any:
    built = made(value, r)
    chance = r.random()
    if chance < 0.03:
        return copy.deepcopy(built)
    # numpy turns arrays of the other byte order into those of this machine on the way.
    is_pickled = chance < 0.06 and "'>i4'" not in repr(value)
    return pickle.loads(pickle.dumps(built)) if is_pickled else built


def made(value: Tree, r: Random) -> Any:
    match value:
        case ("float", packed):
            return struct.unpack("<d", packed)[0]
        case ("complex", real, imaginary):
            return complex(*struct.unpack("<dd", real + imaginary))
        case ("str", text):
            return uninterned(text) if r.random() < 0.5 else text
        case ("int" | "bool" | "bytes", content):
            return content
        case ("none",):
            return None
        case ("tuple", items):
            return tuple(build(item, r) for item in items)
        case ("list", items):
            return [build(item, r) for item in items]
        case ("set" | "frozenset" as kind, items):
            built = [build(item, r) for item in shuffled(items, r)]
            return set(built) if kind == "set" else frozenset(built)
        case ("dict", items):
            return {build(key, r): build(item, r) for key, item in shuffled(items, r)}
        case ("array", dtype, shape, numbers):
            return built_array(dtype, shape, numbers, r)
        case ("frame", columns):
            return built_frame(columns, r)
    return made_of_class(value, r)


def made_of_class(value: Tree, r: Random) -> Any:
    match value:
        case ("object", name, parts):
            built = {part: build(item, r) for part, item in shuffled(parts, r)}
            return CLASSES[name](**built)
        case ("subclass", "MyList", items):
            return MyList(build(item, r) for item in items)
        case ("subclass", "MyDict", items):
            numbered = shuffled(tuple(enumerate(items)), r)
            return MyDict((number, build(item, r)) for number, item in numbered)
        case ("date", number):
            return dt.date(2020, 1, 1) + dt.timedelta(number)
        case ("moment", number):
            return dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
        case ("decimal", number):
            return decimal.Decimal(number).scaleb(-1)
        case ("path", number):
            return pathlib.Path("a" + "/" * r.randint(1, 2) + str(number))
        case ("colour", number):
            return (Colour.RED, Colour.GREEN)[number]
        case ("range", number):
            return range(number)
    raise ValueError(value)


def shuffled(items: tuple[Any, ...], r: Random) -> list[Any]:
    return r.sample(items, len(items))


def built_array(dtype: str, shape: tuple[int, ...], numbers: tuple[int, ...], r: Random) -> Any:
    if dtype == "O":
        items: list[Any] = [uninterned(f"t{n}") if n % 2 else n for n in numbers]
        flat = np.empty(len(items), dtype=object)
        flat[:] = items
    else:
        text = dtype[0] in "US"
        flat = np.array([f"t{n}" if text else n for n in numbers], dtype="U3" if text else "i8")
        flat = flat.astype(dtype)
    whole = flat.reshape(shape)
    match r.randint(0, 4):
        case 0:
            return np.asfortranarray(whole) if whole.ndim else whole
        case 1 if whole.ndim:
            return np.repeat(whole, 2, axis=-1)[..., ::2]
        case 2 if whole.ndim:
            return whole[::-1].copy()[::-1]
        case 3:
            axes = shuffled(tuple(range(whole.ndim)), r)
            return whole.transpose(axes).copy().transpose(np.argsort(axes))
    return whole


def built_frame(columns: tuple[Any, ...], r: Random) -> Any:
    words = {"str", "object", "category"}
    data = {
        name: pd.Series(
            [f"t{n}" if dtype in words else n % 2 if dtype == "bool" else n for n in numbers]
        ).astype(dtype)
        for name, dtype, numbers in columns
    }
    whole = pd.DataFrame(data)
    match r.randint(0, 3):
        case 0:
            return whole.copy()
        case 1:
            one_by_one = pd.DataFrame(index=whole.index)
            for name in data:
                one_by_one[name] = data[name]
            one_by_one.columns = whole.columns
            return one_by_one
        case 2:
            return whole[list(data)]
    return whole


# -- editing trees


def changed(value: Tree, r: Random) -> Tree:
    """A tree that says something else, in one place."""
    for _ in range(20):
        edited = edit(value, r)
        if canonical(edited) != canonical(value):
            return edited
    return ("list", (value,))


def edit(value: Tree, r: Random) -> Tree:
    match value:
        case ("tuple" | "list" as kind, items) if items and r.random() < 0.8:
            return (kind, edited_items(items, r))
        case ("tuple" | "list", items):
            return ("list" if value[0] == "tuple" else "tuple", items)
        case ("set" | "frozenset", items) if items and r.random() < 0.5:
            return (value[0], items[1:])
        case ("set" | "frozenset", items):
            return ("frozenset" if value[0] == "set" else "set", items)
        case ("dict", items) if items:
            at = r.randrange(len(items))
            key, item = items[at]
            if r.random() < 0.3:
                return ("dict", items[:at] + items[at + 1 :])
            return ("dict", (*items[:at], (key, edit(item, r)), *items[at + 1 :]))
        case ("object", name, parts):
            at = r.randrange(len(parts))
            part, item = parts[at]
            return ("object", name, (*parts[:at], (part, edit(item, r)), *parts[at + 1 :]))
        case ("subclass", name, items) if items:
            return ("subclass", name, edited_items(items, r))
        case ("array", dtype, shape, numbers):
            return edited_array(dtype, shape, numbers, r)
        case ("frame", columns):
            return edited_frame(columns, r)
    return r.choice((leaf(r), ("tuple", (value,)), ("list", (value,)), tree(r, 1)))


def edited_items(items: tuple[Tree, ...], r: Random) -> tuple[Tree, ...]:
    at = r.randrange(len(items))
    match r.randint(0, 5):
        case 0:
            return items[:at] + items[at + 1 :]
        case 1:
            return (*items[:at], items[at], *items[at:])
        case 2:
            return (items[at], *items[:at], *items[at + 1 :])
    return (*items[:at], edit(items[at], r), *items[at + 1 :])


def edited_array(dtype: str, shape: tuple[int, ...], numbers: tuple[int, ...], r: Random) -> Tree:
    match r.randint(0, 3):
        case 0:
            return ("array", r.choice(DTYPES), shape, numbers)
        case 1:
            return ("array", dtype, shape[::-1] if r.random() < 0.5 else (1, *shape), numbers)
        case _ if numbers:
            at = r.randrange(len(numbers))
            return (
                "array",
                dtype,
                shape,
                (*numbers[:at], (numbers[at] + 1) % 10, *numbers[at + 1 :]),
            )
    return ("array", dtype, (*shape, 1), numbers)


def edited_frame(columns: tuple[Any, ...], r: Random) -> Tree:
    at = r.randrange(len(columns))
    name, dtype, numbers = columns[at]
    match r.randint(0, 2):
        case 0:
            return ("frame", (*columns[:at], (name + "!", dtype, numbers), *columns[at + 1 :]))
        case 1 if len(columns) > 1:
            return ("frame", columns[::-1])
        case 2 if numbers and dtype != "bool":
            return (
                "frame",
                (*columns[:at], (name, dtype, (numbers[0] + 4, *numbers[1:])), *columns[at + 1 :]),
            )
    other = "Float64" if dtype != "Float64" else "object"
    return ("frame", (*columns[:at], (name, other, numbers), *columns[at + 1 :]))


# -- trying them


def wrong_pairs(r: Random) -> tuple[int, list[str]]:
    """How many pairs one tree gave, and those that were wrong."""
    value, stranger = tree(r), tree(r, 2)
    edited = changed(value, r)
    digests = [_native.digest(build(it, r)) for it in (value, value, edited, stranger)]
    first, again, after, strange = digests
    found: list[str] = []
    if first != again:
        found.append(f"written in two ways, it differs: {value}")
    if first == after:
        found.append(f"edited, it agrees: {value} and {edited}")
    if (first == strange) != (canonical(value) == canonical(stranger)):
        found.append(f"two values: {value} and {stranger}")
    return 3, found


def campaign(seed_and_count: tuple[int, int]) -> tuple[int, list[str]]:
    seed, count = seed_and_count
    r, tried, wrong = random.Random(seed), 0, list[str]()
    while tried < count:
        more, found = wrong_pairs(r)
        tried += more
        wrong += found
    return tried, wrong


def main() -> int:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**40)
    cores, part = os.cpu_count() or 1, 10_000
    tasks = [(first + number, part) for number in range(-(-wanted // part))]
    started, tried, wrong = time.perf_counter(), 0, list[str]()
    print(f"{wanted} pairs from seed {first} on {cores} cores", flush=True)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for done, (more, found) in enumerate(pool.imap_unordered(campaign, tasks), 1):
            tried += more
            wrong += found
            if done % 10 == 0:
                rate = (time.perf_counter() - started) / tried * 100_000
                print(f"{tried} pairs, {rate:.1f} s for 100,000, {len(wrong)} wrong", flush=True)
    print(*wrong[:20], sep="\n")
    print(f"{tried} pairs: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
