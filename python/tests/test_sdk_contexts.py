"""Context variables of who began a run hold in all its bodies."""

from __future__ import annotations

import contextvars
import decimal
import threading

import pytest
from thrifty import sweep, task, testing, workflow

LEVEL = contextvars.ContextVar("LEVEL", default=0)
TOGETHER = threading.Barrier(2)


@task(cache=False)
def level(i: int) -> int:
    return LEVEL.get()


@task(cache=False)
def third(i: int) -> str:
    return str(decimal.Decimal(i) / 3)


@task(cache=False)
def raised(i: int) -> int:
    before = LEVEL.get()
    LEVEL.set(before + 1)
    return before


@task(cache=False)
def together(i: int) -> int:
    TOGETHER.wait(60)
    return LEVEL.get()


@task(cache=False)
def inner(n: int) -> list:
    LEVEL.set(LEVEL.get() + 10)
    return level.map(range(n))


@workflow
def levels(n: int) -> list:
    return [level(i) for i in range(n)]


@workflow
def thirds(n: int) -> list:
    return [third(i) for i in range(1, n + 1)]


@workflow
def nested(n: int) -> list:
    return [levels(n), level(n)]


@pytest.fixture(autouse=True)
def memory():
    with testing.memory_cache():
        yield


@pytest.fixture
def seven():
    token = LEVEL.set(7)
    yield
    LEVEL.reset(token)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_variable_holds_in_every_body(seven, workers):
    assert levels.with_options(workers=workers)(5) == [7] * 5
    assert nested.with_options(workers=workers)(3) == [[7] * 3, 7]
    assert level.with_options(workers=workers).map(range(5)) == [7] * 5


def test_the_precision_of_decimals_holds_in_every_body():
    with decimal.localcontext() as context:
        context.prec = 50
        assert thirds(4) == [str(decimal.Decimal(i) / 3) for i in range(1, 5)]


def test_what_a_body_sets_no_other_sees(seven):
    assert raised.map(range(5)) == [7] * 5
    assert LEVEL.get() == 7


def test_bodies_run_at_the_same_time(seven):
    assert together.with_options(workers=2).map(range(2)) == [7, 7]


def test_a_run_within_a_body_has_what_the_body_set(seven):
    assert inner.map([2, 3]) == [[17] * 2, [17] * 3]


def test_a_generator_of_a_seed_and_a_variable(seven):
    assert level.with_options(seed=1).map(range(3)) == [7] * 3


def test_a_sweep_has_the_variables_of_who_began_it(seven):
    swept = sweep(level, {"i": [1, 2, 3]})
    assert [trial.value for trial in swept.trials] == [7] * 3
