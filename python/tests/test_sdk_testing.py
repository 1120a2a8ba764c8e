"""`thrifty.testing`: the cache in memory, forced hits and misses, what happened."""

from __future__ import annotations

import threading

import pytest
import thrifty
from thrifty import Cache, task, testing, workflow

pytestmark = pytest.mark.usefixtures("home")


@task
def load(name: str) -> list[int]:
    return [len(name)]


@task
def total(rows: list[int]) -> int:
    return sum(rows)


@task
def fail(a: int) -> int:
    raise LookupError(a)


@workflow
def experiment(name: str) -> int:
    return total(load(name))


def test_a_cache_in_memory_is_empty_and_leaves_nothing(home):
    with testing.memory_cache():
        load("abc")
        with testing.recorded() as calls:
            load("abc")
        assert calls.hits == ["load"]
        with testing.memory_cache(), testing.recorded() as calls:
            load("abc")
        assert calls.computed == ["load"]
        with testing.recorded() as calls:
            load("abc")
        assert calls.hits == ["load"]
    assert not home.exists()
    with testing.recorded() as calls:
        load("abc")
    assert calls.computed == ["load"]


def test_the_real_cache_comes_back_after_an_error():
    load("abc")
    with pytest.raises(LookupError), testing.memory_cache():
        fail(1)
    with testing.recorded() as calls:
        load("abc")
    assert calls.hits == ["load"]


def test_the_environment_does_not_count_in_memory(monkeypatch):
    monkeypatch.setenv("THRIFTY_CACHE", "off")
    with testing.memory_cache(), testing.recorded() as calls:
        load("abc")
        load("abc")
    assert (calls.computed, calls.hits) == (["load"], ["load"])


def test_large_values_and_files_in_memory(tmp_path):
    import numpy as np

    @task
    def array() -> np.ndarray:
        return np.arange(100_000)

    @task
    def written() -> thrifty.File:
        path = tmp_path / "text"
        path.write_text("x" * 100_000)
        return thrifty.File(path)

    with testing.memory_cache():
        for _ in range(2):
            assert array()[-1] == 99_999
            assert written().read_text() == "x" * 100_000


def test_what_happened():
    with testing.memory_cache():
        with testing.recorded() as calls:
            experiment("abc")
            experiment("xyz")
            with pytest.raises(LookupError):
                fail(1)
        assert calls.computed == ["load", "load", "total"]
        assert calls.hits == ["total"]
        assert calls.failed == ["fail"]
        expected = "computed=['load', 'load', 'total'], hits=['total'], failed=['fail']"
        assert repr(calls) == f"Calls({expected})"


def test_a_forced_hit():
    rows = [1, 2]
    with testing.memory_cache(), testing.force_hit(load, rows):
        given = load("abc")
        assert given == [1, 2]
        given.append(3)
        assert load.with_options(cache=False)("abc") == [1, 2]
        assert load.with_overrides(cache=Cache(salt="x"))("y") == [1, 2]
        assert load.map(["a", "b"]) == [[1, 2], [1, 2]]
        assert thrifty.compute(load.defer("a")) == [1, 2]
        assert experiment("abc") == 3
        with pytest.raises(TypeError, match="name"):
            load()  # pyright: ignore
        with testing.force_hit(load, []):
            assert load("abc") == []
        assert total([5]) == 5
        assert load("abc") == rows == [1, 2]
    assert load("abc") == [3]


def test_a_forced_hit_of_a_workflow():
    with testing.memory_cache(), testing.force_hit(experiment, 7):
        assert experiment("abc") == 7


def test_a_forced_miss():
    with testing.memory_cache():
        experiment("abc")
        with testing.force_miss(load), testing.recorded() as calls:
            load("abc")
            experiment("abc")
        assert (calls.computed, calls.hits) == (["load", "load"], ["total"])
        with testing.recorded() as calls:
            load("abc")
        assert calls.hits == ["load"]


def test_only_tasks_are_forced():
    with pytest.raises(TypeError, match="a task or workflow is wanted, not function"):
        testing.force_hit(load.__wrapped__, 1).__enter__()  # pyright: ignore


def test_forced_in_other_threads_too():
    found = []
    with testing.memory_cache(), testing.force_hit(load, [9]):
        thread = threading.Thread(target=lambda: found.append(load("abc")))
        thread.start()
        thread.join()
    assert found == [[9]]
