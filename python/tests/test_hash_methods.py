"""A `HashMethod` that raises."""

from __future__ import annotations

from typing import Annotated

import pytest
from thrifty import HashMethod, UnhashableArgument, task, testing, workflow


def of_missing(value):
    return value["missing"]


@task
def train(rows: int) -> Annotated[dict, HashMethod(of_missing)]:
    return {"model": rows}


@task
def rows(model: dict) -> int:
    return model["model"]


@task
def use(model: Annotated[dict, HashMethod(of_missing)]) -> int:
    return 1


@workflow
def both(n: int) -> int:
    return rows(train(n))


@pytest.fixture(autouse=True)
def memory():
    with testing.memory_cache():
        yield


def test_a_result_is_handed_on_and_not_stored():
    assert train(1) == {"model": 1}
    with pytest.warns(RuntimeWarning, match="not stored"):
        run = train.run(2)
    assert run.value == {"model": 2}
    assert run.nodes[0]["detail"] == "the hash method of the result raised 'missing'"


@pytest.mark.filterwarnings("ignore:.*not stored")
def test_what_takes_it_computes():
    run = both.run(3)
    assert (run.value, run.status) == (3, "succeeded")


def test_an_argument_is_named():
    with pytest.raises(UnhashableArgument, match="hash method of model raised") as told:
        use({})
    assert isinstance(told.value.__cause__, KeyError)
