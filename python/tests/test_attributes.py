"""Attributes that somebody puts into objects whose classes do not keep them: in keys, and never lost by a hit."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import fractions
import ipaddress
import pathlib
import pickle
import random
import sys

import numpy as np
import pandas as pd
import pytest
from thrifty import _native, task

pytestmark = pytest.mark.usefixtures("home")


class Money(decimal.Decimal):
    pass


class Day(datetime.date):
    pass


class Moment(datetime.datetime):
    pass


class Span(datetime.timedelta):
    pass


class Part(fractions.Fraction):
    pass


class Place(type(pathlib.Path())):
    pass


class Dice(random.Random):
    pass


class Tally(collections.Counter):
    pass


class Table(collections.defaultdict):
    pass


class Score(np.float64):
    pass


class Name(np.str_):
    pass


class Info(np.ndarray):
    def __array_finalize__(self, other):
        self.info = getattr(other, "info", None)


class Frame(pd.DataFrame):
    _metadata = ("source",)

    @property
    def _constructor(self):
        return Frame


def polars(kind):
    def make():
        return getattr(pytest.importorskip("polars"), kind)(
            {"a": [1]} if kind == "DataFrame" else [1]
        )

    return make


def sparse():
    return pytest.importorskip("scipy.sparse").csr_matrix(np.eye(2))


BARE = {
    "frame": lambda: pd.DataFrame({"a": [1, 2]}),
    "frame of a class": lambda: Frame({"a": [1, 2]}),
    "series": lambda: pd.Series([1.5, 2.5]),
    "index": lambda: pd.Index(["x", "y"]),
    "range index": lambda: pd.RangeIndex(3),
    "multi index": lambda: pd.MultiIndex.from_product([[1], ["x"]]),
    "masked": lambda: np.ma.array([1.0, 2.0], mask=[False, True]),
    "array": lambda: np.ones(3).view(Info),
    "sparse": sparse,
    "polars frame": polars("DataFrame"),
    "polars series": polars("Series"),
    "decimal": lambda: Money("1.5"),
    "date": lambda: Day(2020, 1, 2),
    "datetime": lambda: Moment(2020, 1, 2),
    "timedelta": lambda: Span(3),
    "fraction": lambda: Part(1, 3),
    "path": lambda: Place("a/b"),
    "random": lambda: Dice(1),
    "counter": lambda: Tally("abc"),
    "default dict": lambda: Table(list),
    "scalar": lambda: Score(1.5),
    "text": lambda: Name("a"),
}
WITHIN = {
    "itself": lambda value: value,
    "list": lambda value: [value],
    "dict": lambda value: {"a": (value, 1)},
    "attribute": lambda value: collections.deque([value]),
    "array": lambda value: np.array([value, None], dtype=object),
}


def with_label(kind, label):
    value = BARE[kind]()
    value.label = label
    return value


@pytest.mark.parametrize("kind", BARE)
def test_an_attribute_counts(kind):
    digests = [_native.digest(with_label(kind, label)) for label in ("a", "b", "a")]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]
    assert b"\0attributes" not in _native.encoding(BARE[kind]())
    if kind != "array":  # which has the attribute in any case
        assert _native.digest(BARE[kind]()) not in digests


@task(cache=True)
def seen(value):
    return value.label


@pytest.mark.parametrize("kind", BARE)
def test_a_task_that_reads_an_attribute_runs_again_for_another(kind):
    assert seen(with_label(kind, "a")) == "a"
    assert seen(with_label(kind, "b")) == "b"


@task
def made(kind, within):
    print("ran")
    return WITHIN[within](with_label(kind, "a"))


UNWRAPPED = {
    "itself": lambda held: held,
    "list": lambda held: held[0],
    "dict": lambda held: held["a"][0],
    "attribute": lambda held: held[0],
    "array": lambda held: held[0],
}


@pytest.mark.parametrize(
    ("kind", "within"),
    [(kind, "itself") for kind in BARE]
    + [(kind, within) for kind in ("frame", "decimal", "scalar") for within in WITHIN],
)
def test_a_value_that_would_lose_an_attribute_is_not_stored(capsys, reopen, kind, within):
    for _ in range(2):
        value = UNWRAPPED[within](made(kind, within))
        assert type(value) is type(BARE[kind]())
        assert value.label == "a"
        reopen()
    assert capsys.readouterr().out == "ran\nran\n"


def test_the_reason_is_told():
    @task
    def table():
        return with_label("frame", "a")

    run = table.run()
    assert run.reasons == {"unstorable": 1}


class Keeps(np.ndarray):
    def __array_finalize__(self, other):
        self.label = getattr(other, "label", None)

    def __reduce__(self):
        return _kept, (np.asarray(self), self.label)


def _kept(array, label):
    array = array.view(Keeps)
    array.label = label
    return array


class Own(pd.DataFrame):
    _metadata = ["label"]  # noqa: RUF012

    @property
    def _constructor(self):
        return Own


@pytest.mark.parametrize("make", [lambda: np.ones(3).view(Keeps), lambda: Own({"a": [1]})])
def test_a_value_that_keeps_its_attributes_is_stored(capsys, reopen, make):
    @task
    def whole():
        print("ran")
        value = make()
        value.label = "a"
        return value

    for _ in range(2):
        assert whole().label == "a"
        reopen()
    assert capsys.readouterr().out == "ran\n"


class Client:
    """Says itself what it is."""

    def __init__(self, url):
        self.url = url

    def __reduce__(self):
        return Client, (self.url,)


class Special(Client):
    pass


@pytest.mark.parametrize("kind", [Client, Special])
def test_what_an_objects_own_method_leaves_out_does_not_count(kind):
    one, other = kind("a"), kind("a")
    other.socket = sys.stdout
    assert _native.digest(one) == _native.digest(other)


def used_network():
    network = ipaddress.ip_network("10.0.0.0/24")
    return network, network.broadcast_address, network.num_addresses, hash(network)


def test_what_libraries_remember_in_their_values_does_not_count():
    network, *_ = used_network()
    assert _native.digest(network) == _native.digest(ipaddress.ip_network("10.0.0.0/24"))
    frame, used = BARE["frame"](), BARE["frame"]()
    _ = used.a, used.describe(), used.groupby("a").size(), used.index.is_unique, used.T
    assert _native.digest(used) == _native.digest(frame)
    texts, asked = pd.Series(["a"]), pd.Series(["a"])
    _ = asked.str.upper(), asked.str
    assert _native.digest(asked) == _native.digest(texts)
    index, found = BARE["index"](), BARE["index"]()
    _ = found.get_loc("x"), found.str.upper(), found.is_unique
    assert _native.digest(found) == _native.digest(index)
    masked, shown = BARE["masked"](), BARE["masked"]()
    _ = shown.mean(), shown + 1, shown.fill_value
    assert _native.digest(shown) == _native.digest(masked)
    dice, thrown = random.Random(1), random.Random(1)
    assert thrown.gauss(0, 1) != thrown.gauss(0, 1)  # of which the second is remembered
    thrown.setstate(dice.getstate())
    assert _native.digest(thrown) == _native.digest(dice)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_what_a_sparse_matrix_remembers_does_not_count(form):
    scipy = pytest.importorskip("scipy.sparse")
    for make in (scipy.csr_matrix, scipy.csr_array):
        matrix, used = make(np.eye(2)).asformat(form), make(np.eye(2)).asformat(form)
        _ = used.sum(), used @ used, used.T, used.nnz, used.maxprint, copy.copy(used)
        if hasattr(used, "sum_duplicates"):
            used.sum_duplicates()
        again = pickle.loads(pickle.dumps(used))
        assert _native.digest(used) == _native.digest(matrix) == _native.digest(again)
        assert b"\0attributes" not in _native.encoding(used)
