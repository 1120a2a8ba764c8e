"""A warning names the line of the program that called us."""

from __future__ import annotations

import inspect
import warnings

import pytest
from thrifty import task, testing, workflow


@task
def generator(i: int):
    return (n for n in range(i))


@workflow
def one(i: int):
    return generator(i)


def call_the_workflow():
    one(3)


def call_the_run():
    one.run(3)


def call_map():
    generator.map([1, 2])


@pytest.mark.parametrize("call", [call_the_workflow, call_the_run, call_map])
def test_the_line_is_that_of_the_call(call):
    with testing.memory_cache(), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        call()
    line = inspect.getsourcelines(call)[1] + 1
    told = [it for it in told if "not stored" in str(it.message)]
    assert [(it.filename, it.lineno) for it in told] == [(__file__, line)]
