"""`Cache`, the decorators and the marks: what is accepted, and what is told of the rest."""

from __future__ import annotations

import copy
import functools
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thrifty import Cache, File, HashMethod, Secret, Task, _annotations, task, workflow


def key(*arguments, **named):
    return 1


def test_fields_are_as_given():
    cache = Cache(
        mode="refresh",
        version=2,
        code="function",
        ignore="a",
        inputs=["b", "c"],
        salt="s",
        key=key,
        env={"B", "A"},
        packages=("numpy",),
        files=Path("x"),
        sources=["y", Path("z")],
        serialize=True,
        on_failure="share",
        max_age=90,
        expires=timedelta(days=1),
    )
    assert cache.version == "2"
    assert cache.ignore == ("a",)
    assert cache.inputs == ("b", "c")
    assert cache.env == ("A", "B")
    assert cache.files == ("x",)
    assert cache.sources == ("y", "z")
    assert (cache.max_age, cache.expires) == (90, timedelta(days=1))
    assert eval(repr(Cache(version="1", ignore="a"))) == Cache(version="1", ignore="a")
    assert repr(Cache()) == "Cache()"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("500ms", 0.5),
        (0, 0),
        (1.5, 1.5),
        (timedelta(minutes=1), 60),
    ],
)
def test_lengths_of_time(written, seconds):
    cache = Cache(expires=written, max_age=written)
    assert cache._expires_seconds == cache._max_age_seconds == seconds
    assert cache == Cache(expires=seconds, max_age=seconds)
    assert hash(cache) == hash(Cache(expires=seconds, max_age=seconds))


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"verison": "1"}, TypeError, "did you mean `version`"),
        ({"nonsense": 1}, TypeError, "no field 'nonsense': known: "),
        ({"mode": "of"}, ValueError, "did you mean `off`"),
        ({"mode": True}, TypeError, "one of 'on', 'refresh', 'read-only', 'off', not bool"),
        ({"code": "all"}, ValueError, "closure"),
        ({"on_failure": ["next"]}, TypeError, "not list"),
        ({"version": 1.0}, TypeError, "text, such as"),
        ({"version": True}, TypeError, "not bool"),
        ({"ignore": 1}, TypeError, "a name, or several in a tuple"),
        ({"ignore": ["a", 1]}, TypeError, "a name, or several in a tuple"),
        ({"ignore": {"a": 1}}, TypeError, "not dict"),
        ({"files": [1]}, TypeError, "a path, or several"),
        ({"key": "a"}, TypeError, "a function"),
        ({"serialize": 1}, TypeError, "True or False"),
        ({"salt": b"a"}, TypeError, "text, not bytes"),
        ({"expires": "7"}, ValueError, "expires='7'.*not a duration"),
        ({"expires": ""}, ValueError, "not a duration"),
        ({"max_age": -1}, ValueError, "no length of time"),
        ({"max_age": float("nan")}, ValueError, "no length of time"),
        ({"max_age": True}, TypeError, "timedelta, not bool"),
    ],
)
def test_what_makes_no_sense(fields, error, text):
    with pytest.raises(error, match=text):
        Cache(**fields)


def test_a_cache_does_not_change():
    cache = Cache(version="1")
    for change in (
        lambda: setattr(cache, "version", "2"),
        lambda: setattr(cache, "other", "2"),
        lambda: delattr(cache, "version"),
    ):
        with pytest.raises(AttributeError, match="make another"):
            change()
    assert copy.deepcopy(cache) == cache == pickle.loads(pickle.dumps(cache))
    assert cache != Cache(version="2")
    assert cache != "1"


names = st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple)
fields = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["on", "refresh", "read-only", "off"]),
        "version": st.text(max_size=5),
        "salt": st.text(max_size=5),
        "ignore": names,
        "env": names,
        "serialize": st.booleans(),
        "expires": st.floats(0, 1e9),
    },
)


@given(fields, fields)
def test_equal_fields_make_equal_caches(one, other):
    assert (Cache(**one) == Cache(**other)) == (one == other)
    assert pickle.loads(pickle.dumps(Cache(**one))) == Cache(**one)


def function(a: int, b: str = "x", *rest: int, c: float = 0.0, **more: int) -> list[int]:
    """What it does."""
    return [a]


function.note = "kept"  # pyright: ignore


@pytest.mark.parametrize("decorator", [task, workflow, task(cache=Cache()), workflow(name="w")])
def test_a_task_looks_like_its_function(decorator):
    import inspect

    made = decorator(function)
    assert isinstance(made, Task)
    assert callable(made)
    for name in ("__doc__", "__name__", "__qualname__", "__module__", "__annotations__", "note"):
        assert getattr(made, name) == getattr(function, name)
    assert made.__wrapped__ is function
    assert inspect.signature(made) == inspect.signature(function)
    assert copy.copy(made) is copy.deepcopy(made) is made
    with pytest.raises(AttributeError, match="has no 'absent'"):
        _ = made.absent


def test_names_of_operations():
    assert task(function).operation_name == f"{__name__}.function"
    assert task(name="mine")(function).operation_name == "mine"
    assert repr(task(name="mine")(function)) == "<task mine>"
    assert repr(workflow(name="mine")(function)) == "<workflow mine>"
    for wrong in ("", 1):
        with pytest.raises(TypeError, match="name of an operation"):
            task(name=wrong)(function)  # pyright: ignore


class Thing:
    def __call__(self, a):
        return a

    @staticmethod
    @task
    def static(a: int) -> int:
        return a

    @task
    def method(self, a: int) -> int:
        return a


async def coroutine():
    pass


async def asynchronous_generator():
    yield


def generator():
    yield


@pytest.mark.parametrize(
    ("decorated", "text"),
    [
        (Thing, "Thing is a class"),
        (len, "len is a builtin_function_or_method"),
        (Thing(), "is a Thing, not a function"),
        (functools.partial(function, 1), "is a partial, not a function"),
        (coroutine, "coroutine is asynchronous.*asyncio.run"),
        (asynchronous_generator, "asynchronous"),
        (generator, "generator is a generator.*return a list"),
        (staticmethod(function), "stands below @staticmethod"),
        (task(function), "already"),
        (5, "decorates a function, not int"),
        (Cache(), r"by keyword: @task\(cache="),
        (False, r"by keyword: @task\(cache="),
    ],
)
def test_what_is_no_function(decorated, text):
    with pytest.raises(TypeError, match=text):
        task(decorated)


def test_methods_are_refused_and_static_methods_are_not(home):
    assert Thing.static(1) == Thing().static(1) == 1
    with pytest.raises(TypeError, match="Thing.method is used as a method.*@staticmethod"):
        Thing().method(1)


@pytest.mark.parametrize("field", ["ignore", "inputs"])
def test_names_of_parameters_are_checked(field):
    for known in ("a", "b", "c", "rest", "more"):
        task(cache=Cache(**{field: known}))(function)
    with pytest.raises(ValueError, match=f"{field}=.*'aa'.*did you mean `a`"):
        task(cache=Cache(**{field: "aa"}))(function)
    with pytest.raises(ValueError, match="no parameter of function"):
        task(function).with_overrides(cache=Cache(**{field: "x"}))
    with pytest.raises(ValueError, match="it has none"):
        task(cache=Cache(**{field: "x"}))(lambda: 1)


@pytest.mark.parametrize("wrong", [1, ["on"], {"version": "1"}])
def test_what_is_no_cache(wrong):
    with pytest.raises(
        TypeError, match="the cache of .*function is a Cache, True, False or a mode"
    ):
        task(cache=wrong)(function)
    with pytest.raises(TypeError, match="a Cache, True, False or a mode"):
        task(function).with_overrides(cache=wrong)
    with pytest.raises(TypeError, match="not None"):
        task(function).with_overrides(cache=None)  # pyright: ignore


def test_marks_on_annotations():
    assert HashMethod(len) == HashMethod(len) != HashMethod(abs)
    assert repr(HashMethod(len)) == "HashMethod(len)"
    with pytest.raises(TypeError, match="takes a function, not int"):
        HashMethod(1)  # pyright: ignore
    assert get_origin(Secret[str]) is Annotated
    assert get_args(Secret[str])[0] is str


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("declared", "parts"),
    [
        (tuple[int, str], 2),
        ("tuple[int, str, float]", 3),
        (tuple[()], 0),
        (tuple[int, ...], None),
        ("tuple[Absent, int]", None),
        (Annotated[tuple[int, int], "mark"], 2),
        (Pair, 2),
        (tuple, None),
        (list[int], None),
        (None, None),
    ],
)
def test_how_many_parts_a_result_has(declared, parts):
    def f(): ...

    f.__annotations__ = {"return": declared}
    assert _annotations.arity(f) == parts
    del f.__annotations__["return"]
    assert _annotations.arity(f) is None


def test_lazy_names():
    import thrifty

    assert thrifty.File is File
    assert set(thrifty.__all__) <= set(dir(thrifty))
    with pytest.raises(AttributeError, match="nothing"):
        _ = thrifty.nothing  # pyright: ignore
