"""Workflows: handles, graphs, what runs and what is never looked at."""

from __future__ import annotations

import collections
import copy
import gc
import pickle
import threading
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import pytest
import thrifty
from thrifty import Cache, File, Handle, HashMethod, task, testing, workflow

pytestmark = pytest.mark.usefixtures("home")


def outcomes(run):
    """Pairs of the last part of the name and the outcome, hits from anywhere alike."""
    return [(node["name"].rsplit(".", 1)[-1], node["outcome"].split("-")[0]) for node in run.nodes]


@task
def load(name: str) -> list[int]:
    return [len(name), 2, 3]


@task
def total(rows: list[int]) -> int:
    return sum(rows)


@task
def scale(number: int, factor: int = 10) -> int:
    return number * factor


@workflow
def experiment(name: str, factor: int = 10) -> int:
    return scale(total(load(name)), factor)


def test_the_second_run_computes_nothing():
    first = experiment.run("abc")
    assert first.value == 80
    assert outcomes(first) == [("load", "computed"), ("total", "computed"), ("scale", "computed")]
    second = experiment.run("abc")
    assert second.value == 80
    assert outcomes(second) == [("load", "hit"), ("total", "hit"), ("scale", "hit")]
    assert second.status == "succeeded"
    assert second.id != first.id
    assert [node["source"] for node in second.nodes] == [first.id] * 3


def test_only_what_changed_is_computed():
    experiment("abc")
    assert outcomes(experiment.run("abc", 20)) == [
        ("load", "hit"),
        ("total", "hit"),
        ("scale", "computed"),
    ]


def test_calls_on_their_own_and_in_workflows_are_the_same_calls():
    assert total(load("abc")) == 8
    assert outcomes(experiment.run("abc"))[:2] == [("load", "hit"), ("total", "hit")]
    with testing.recorded() as calls:
        assert scale(8) == 80
    assert calls.hits == ["scale"]


def test_an_equal_result_upstream_stops_a_rerun():
    # "xyz" is another input of `load`, and makes an equal output.
    experiment("abc")
    assert outcomes(experiment.run("xyz")) == [
        ("load", "computed"),
        ("total", "hit"),
        ("scale", "hit"),
    ]


def test_what_is_not_needed_is_not_looked_at():
    @workflow
    def wasteful(name: str) -> int:
        scale(total(load(name + "!")))
        return total(load(name))

    assert outcomes(wasteful.run("abc")) == [("load", "computed"), ("total", "computed")]


def test_equal_calls_are_computed_once():
    @workflow
    def repeated() -> list[int]:
        return [total(load("abc")) for _ in range(5)]

    run = repeated.run()
    assert run.value == [8] * 5
    assert sum(outcome == "computed" for _, outcome in outcomes(run)) == 2


def test_values_with_handles_in_them():
    @workflow
    def shapes(name: str):
        rows = load(name)
        return {"sum": total(rows), "all": (rows, [rows[0], 1]), "plain": "text", 3: None}

    expected = {"sum": 8, "all": ([3, 2, 3], [3, 1]), "plain": "text", 3: None}
    assert shapes("abc") == expected
    assert shapes("abc") == expected


def test_workflows_without_tasks():
    @workflow
    def nothing(a: int) -> int:
        return a + 1

    run = nothing.run(1)
    assert (run.value, run.nodes, run.status) == (2, [], "succeeded")


class Parts(NamedTuple):
    low: int
    high: int


@task
def divide(number: int, by: int) -> tuple[int, int]:
    return divmod(number, by)


@task
def named(number: int) -> Parts:
    return Parts(number - 1, number + 1)


def test_outputs_are_taken_apart():
    @workflow
    def parts(number: int):
        quotient, rest = divide(number, 3)
        low, high = named(number)
        return [scale(quotient), scale(rest), scale(low), scale(high)]

    assert parts(10) == [30, 10, 90, 110]
    assert {outcome for _, outcome in outcomes(parts.run(10))} == {"hit"}


def test_a_part_that_did_not_change_stops_a_rerun():
    @workflow
    def quotient(number: int) -> int:
        return scale(divide(number, 3)[0])

    quotient(9)
    assert outcomes(quotient.run(10)) == [("divide", "computed"), ("scale", "hit")]


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda handle: 1 if handle else 0, "condition"),
        (lambda handle: len(handle), "length"),
        (lambda handle: handle.shape, "shape"),
        (list, r"tuple\[A, B\]"),
        (lambda handle: handle + 1, "cannot be calculated with"),
        (lambda handle: 1 + handle, "cannot be calculated with"),
        (lambda handle: sum([handle, handle]), "cannot be calculated with"),
        (lambda handle: -handle, "cannot be calculated with"),
        (lambda handle: 2**handle, "cannot be calculated with"),
        (lambda handle: divmod(handle, 2), "cannot be calculated with"),
        (int, "cannot be calculated with"),
        (float, "cannot be calculated with"),
        (range, "cannot be calculated with"),
        (lambda handle: handle == 3, "cannot be compared"),
        (lambda handle: 3 != handle, "cannot be compared"),
        (lambda handle: handle > 3, "cannot be compared"),
        (lambda handle: handle in [1, 2, 3], "cannot be compared"),
        (lambda handle: sorted([handle, handle]), "cannot be compared"),
        (lambda handle: {3: "ok"}.get(handle), "a key of a dict"),
        (lambda handle: {handle, 1}, "in a set"),
        (lambda handle: 3 in handle["a"], "cannot be searched"),
        (str, "has no text yet"),
        (lambda handle: f"model-{handle}.bin", "has no text yet"),
        (lambda handle: f"{handle:>8}", "has no text yet"),
        (lambda handle: "%s" % handle, "has no text yet"),
        (lambda handle: "{}".format(handle), "has no text yet"),
        (lambda handle: handle(), "cannot be called"),
        (copy.deepcopy, "cannot be copied"),
        (pickle.dumps, "cannot be copied"),
        (lambda handle: total.map(handle), "map of .* goes through"),
    ],
)
def test_a_handle_is_not_its_value(use, text):
    @workflow
    def wrong():
        return use(load("abc"))

    with pytest.raises(TypeError, match=f"{text}.*which has not run yet"):
        wrong()


def test_a_case_of_a_match_is_a_comparison():
    @workflow
    def wrong():
        match load("abc"):
            case 3:
                return 1

    with pytest.raises(thrifty.HandleError, match="cannot be compared"):
        wrong()


class Box:
    def __init__(self, held):
        self.held = held


@workflow(cache=False)
def boxed(wrap):
    return wrap(total([1, 2]))


@pytest.mark.parametrize(
    ("wrap", "kind"),
    [
        (Box, "Box"),
        (lambda handle: [handle, Box(handle)], "Box"),
        (lambda handle: {"a": (1, collections.deque([handle]))}, "deque"),
        (lambda handle: np.array([handle, 1], dtype=object), "ndarray"),
        (lambda handle: pd.Series([handle, 1], dtype=object), "Series"),
    ],
)
def test_a_handle_in_an_object_that_a_workflow_returns(wrap, kind):
    with pytest.raises(thrifty.HandleError, match=rf"inside an object, a .*{kind}; return it"):
        boxed(wrap)
    with pytest.raises(thrifty.HandleError, match="inside an object"):
        boxed.plan(wrap)

    @workflow(cache=False)
    def around():
        return boxed(wrap)

    @task
    def deferred():
        return wrap(total.defer([1, 2]))

    for nested in (around, deferred):
        with pytest.raises(thrifty.HandleError, match="inside an object"):
            nested()


def test_objects_without_handles_are_returned_as_they_are():
    box = Box(threading.Lock())

    @workflow(cache=False)
    def whole():
        return [box, total([1, 2]), total, np.array([None, 1], dtype=object), File("none.txt")]

    result = whole()
    assert result[0] is box
    assert result[1:3] == [3, total]


def test_handles_are_told_apart_by_identity():
    seen = []

    @workflow
    def both():
        one, other = total([1, 2]), total([1, 3])
        seen.extend([one is one, one is other, one is None, isinstance(one, Handle), repr(one)])
        return [one, other, one]

    assert both() == [3, 4, 3]
    assert seen[:4] == [True, False, False, True]


def test_a_handle_says_what_it_is():
    seen = []

    @workflow
    def shown():
        seen.append(load("abc")[0])
        return seen[0]

    shown()
    assert isinstance(seen[0], Handle)
    assert repr(seen[0]).endswith("load[0]>")


def test_wrong_arguments_are_told_when_the_workflow_is_built():
    @workflow
    def wrong():
        return total(load("abc"), 1)

    with pytest.raises(TypeError, match="too many positional arguments"):
        wrong()


@workflow(cache=Cache(version="1"))
def inner(name: str) -> int:
    return scale(total(load(name)))


@workflow
def outer(name: str) -> int:
    return scale(inner(name), 2)


def test_a_nested_workflow_is_one_operation():
    assert outer("abc") == 160
    run = outer.run("abc")
    assert outcomes(run) == [("inner", "hit"), ("scale", "hit")]


def test_a_nested_workflow_expands_on_a_miss():
    first = outer.run("abc")
    assert sorted(outcomes(first)) == [
        ("inner", "computed"),
        ("load", "computed"),
        ("scale", "computed"),
        ("scale", "computed"),
        ("total", "computed"),
    ]


def test_a_nested_workflow_runs_again_for_another_version():
    @workflow
    def other(name: str) -> int:
        return inner(name).with_overrides(cache=Cache(version="2"))

    outer("abc")
    run = other.run("abc")
    assert outcomes(run)[0] == ("inner", "computed")
    # What is in it did not change.
    assert {outcome for _, outcome in outcomes(run)[1:]} == {"hit"}


def test_handles_pass_into_nested_workflows():
    @workflow
    def rest(rows: list[int], factor: int) -> list[int]:
        return [total(rows), scale(rows[0], factor)]

    @workflow
    def whole(name: str):
        return rest(load(name), 2)

    assert whole("abc") == [8, 6]
    assert outcomes(whole.run("abc"))[-1] == ("rest", "hit")


def test_a_handle_of_another_workflow():
    escaped = []

    @workflow
    def first(rows: list[int]) -> int:
        escaped.append(rows)
        return total(rows)

    @workflow
    def both():
        return first(load("abc"))

    @workflow
    def second() -> int:
        return total(escaped[0])

    both()
    with pytest.raises(thrifty.HandleError, match="outside of the workflow"):
        second()


@task
def countdown(number: int) -> int:
    return 0 if number == 0 else countdown.defer(number - 1)


@task
def spread(number: int) -> list[int]:
    return [scale.defer(n) for n in range(number)]


def test_a_task_may_return_handles():
    @workflow
    def dynamic() -> list[int]:
        return [total(spread(3)), countdown(3)]

    assert dynamic() == [30, 0]
    run = dynamic.run()
    assert {outcome for _, outcome in outcomes(run)} == {"hit"}
    assert [name for name, _ in outcomes(run)] == ["spread", "total", "countdown"]


def test_a_task_called_on_its_own_may_return_handles():
    assert spread(3) == [0, 10, 20]
    assert countdown(3) == 0
    with testing.recorded() as calls:
        spread(3)
    assert calls.hits == ["spread"]


def test_deferred_calls_are_computed_together():
    handles = [scale.defer(1), {"two": scale.defer(2)}]
    assert thrifty.compute(handles) == [10, {"two": 20}]
    assert scale.defer(3).result() == 30  # pyright: ignore


def test_map_outside_a_workflow():
    assert scale.map([1, 2, 3], factor=2) == [2, 4, 6]
    assert scale.map([1, 2], [3, 4]) == [3, 8]
    with testing.recorded() as calls:
        assert scale.map(range(5), factor=2) == [0, 2, 4, 6, 8]
    assert (calls.hits, calls.computed) == (["scale"] * 3, ["scale"] * 2)
    assert scale.map([]) == []


def test_map_inside_a_workflow():
    @workflow
    def mapped(name: str) -> int:
        low, high = divide(10, 3)
        return total(scale.map([low, high, 5], factor=2))

    assert mapped("abc") == 18


def test_keywords_of_map_are_the_same_for_all():
    @task
    def pick(index: int, items: list[str]) -> str:
        return items[index]

    assert pick.map([0, 1], items=["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("iterables", "error", "text"),
    [
        (([1, 2], [1]), ValueError, "one length, and was given 2, 1"),
        ((), TypeError, "at least one"),
        (("abc",), TypeError, "goes through lists, not text"),
        ((5,), TypeError, "not iterable"),
    ],
)
def test_map_of_what_cannot_be_mapped(iterables, error, text):
    with pytest.raises(error, match=text):
        scale.map(*iterables)


def test_elements_run_in_parallel():
    barrier = threading.Barrier(2, timeout=30)

    @task(cache=Cache(version="1", key=lambda n: n))
    def meet(n: int) -> int:
        barrier.wait()
        return n

    assert meet.with_options(workers=2).map([1, 2]) == [1, 2]


class Fault(Exception):
    pass


@task
def fail_on_two(number: int) -> int:
    if number == 2:
        raise Fault(number)
    return number


def test_one_failure_does_not_lose_the_others():
    with pytest.raises(Fault):
        fail_on_two.map([1, 2, 3])
    with testing.recorded() as calls, pytest.raises(Fault):
        fail_on_two.map([1, 2, 3])
    assert (calls.hits, calls.failed) == (["fail_on_two"] * 2, ["fail_on_two"])


def test_a_failure_in_a_workflow():
    @workflow
    def failing() -> list[int]:
        return [scale(fail_on_two(2)), scale(fail_on_two(3)), total(load("abc"))]

    run = failing.run()
    assert run.status == "failed"
    assert dict(outcomes(run)[:2]) == {"fail_on_two": "failed", "scale": "upstream"}
    assert outcomes(run)[2:] == [
        ("fail_on_two", "computed"),
        ("scale", "computed"),
        ("load", "computed"),
        ("total", "computed"),
    ]
    ((name, error),) = run.failures
    assert name.endswith("fail_on_two")
    assert error.args == (2,)
    with pytest.raises(Fault) as raised:
        failing()
    assert raised.traceback[-1].name == "fail_on_two"


def test_a_run_tells_its_value_or_raises():
    run = experiment.run("abc")
    assert run.value == 80
    assert "3 operations, 0 hits" in repr(run)
    with pytest.raises(Fault):
        _ = fail_on_two.run(2).value


def test_a_run_explains_itself():
    experiment("abc")
    text = experiment.run("abc", 20).why("scale")
    assert "factor" in text
    assert "20" in text
    with pytest.raises(ValueError, match="scale"):
        experiment.run("abc").why("scael")


def test_an_argument_changed_after_the_call():
    rows = [1, 2]

    @workflow
    def changing() -> int:
        result = total(rows)
        rows.append(3)
        return result

    with pytest.raises(thrifty.ArgumentChanged, match="rows of .*total"):
        changing()


def test_consumers_do_not_see_each_others_changes():
    @task
    def array() -> np.ndarray:
        return np.zeros(50_000)

    @task
    def spoil(values: np.ndarray, number: int) -> float:
        values += number
        return float(values.sum())

    @workflow
    def shared() -> list:
        values = array()
        return [spoil(values, 1), spoil(values, 2), values]

    for _ in range(2):
        first, second, values = shared.with_options(refresh="spoil")()
        assert (first, second) == (50_000.0, 100_000.0)
        assert not values.any()
        values += 1


def test_the_body_of_a_task_calls_tasks_at_once():
    @task
    def outermost(name: str) -> int:
        return total(load(name)) + 1

    @workflow
    def around(name: str) -> int:
        return outermost(name)

    assert around("abc") == 9


def test_a_run_lets_go_of_its_values():
    class Weight:
        pass

    @task(cache=False)
    def heavy() -> object:
        return Weight()

    @task(cache=Cache(mode="off", ignore="weight"))
    def look(weight: object) -> int:
        return 1

    @workflow
    def passing() -> int:
        return look(heavy())

    assert passing() == 1
    gc.collect()
    assert not [object for object in gc.get_objects() if isinstance(object, Weight)]


# The example of the page of another system, in our names: a child workflow that calls the same
# task five times, three times in a parent, each time as one unit.


@task(cache=Cache(version="1.0", serialize=True))
def add(a: int, b: int, c: int) -> int:
    return a + b + c


@workflow
def child(a: int, b: int, c: int) -> list[int]:
    return [add(a=a, b=b, c=c) for _ in range(5)]


@workflow
def parent(number: int = 0) -> list[list[int]]:
    unit = Cache(version="1.0", serialize=True)
    return [child.with_overrides(cache=unit)(a=number, b=3, c=4) for _ in [1, 2, 3]]


def test_five_times_three():
    first = parent.run(1)
    assert first.value == [[8] * 5] * 3
    computed = [name for name, outcome in outcomes(first) if outcome == "computed"]
    assert computed.count("add") == 1
    assert computed.count("child") == 1
    second = parent.run(1)
    assert outcomes(second) == [("child", "hit")] * 3
    with testing.recorded() as calls:
        assert add(1, 3, 4) == 8
    assert calls.hits == ["add"]


def test_five_times_three_with_another_version_or_signature():
    parent(1)

    @workflow
    def other(number: int) -> list[list[int]]:
        unit = Cache(version="1.1")
        return [child(number, 3, 4).with_overrides(cache=unit) for _ in [1, 2, 3]]

    run = other.run(1)
    assert outcomes(run)[0] == ("child", "computed")
    assert [outcome for name, outcome in outcomes(run) if name == "add"] == ["hit"] * 5

    def signature(a: float, b: int, c: int) -> int:
        return int(a) + b + c

    same_name = task(cache=Cache(version="1.0"), name=add.operation_name)(signature)
    with testing.recorded() as calls:
        same_name(1, 3, 4)
    assert calls.computed == ["add"]


def hash_frame(frame: pd.DataFrame) -> str:
    return str(pd.util.hash_pandas_object(frame))


@task(cache=False)
def read_uncached() -> Annotated[pd.DataFrame, HashMethod(hash_frame)]:
    return pd.DataFrame({"column_1": [1, 2, 3]})


@task(cache=Cache(version="1.0"))
def process(frame: pd.DataFrame) -> pd.DataFrame:
    return frame * 2


@task(cache=False)
def compare(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.equals(other)


@workflow
def cached_frame() -> bool:
    raw = read_uncached()
    return compare(process(frame=raw), process(frame=raw))


def test_a_frame_with_a_hash_function():
    first = cached_frame.run()
    assert first.value is True
    assert outcomes(first).count(("process", "computed")) == 1
    second = cached_frame.run()
    assert outcomes(second) == [
        ("read_uncached", "uncached"),
        ("process", "hit"),
        ("process", "hit"),
        ("compare", "uncached"),
    ]


# The example of the page of a third system: steps cached by default, switched at the step, at
# the pipeline and at run time.


@task
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    digits = np.arange(20.0).reshape(10, 2)
    return digits, digits[:, 0] > 8


@task(cache=False)
def train_model(samples: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {"threshold": float(samples[labels][:, 0].min())}


@workflow
def training() -> dict[str, float]:
    samples, labels = load_digits()
    return train_model(samples, labels)


def test_caching_at_the_step():
    training()
    run = training.run()
    assert outcomes(run) == [("load_digits", "hit"), ("train_model", "uncached")]
    assert run.value == {"threshold": 10.0}


def test_caching_at_the_pipeline_and_at_run_time():
    off = workflow(cache=False, name="training")(training.__wrapped__)
    training()
    assert outcomes(off.run()) == [("load_digits", "uncached"), ("train_model", "uncached")]
    assert outcomes(off.with_options(cache=True).run()) == [
        ("load_digits", "hit"),
        ("train_model", "computed"),
    ]
    overridden = train_model.with_overrides(cache=True)

    @workflow(cache=False)
    def mixed() -> dict[str, float]:
        samples, labels = load_digits()
        return overridden(samples, labels)

    mixed()
    assert outcomes(mixed.run()) == [("load_digits", "uncached"), ("train_model", "hit")]


def test_an_operation_within_a_unit_that_hits_can_be_refreshed() -> None:
    ran: list[str] = []

    @task(cache=Cache(version="1"))
    def first(number: int) -> int:
        ran.append("first")
        return number + 1

    @task(cache=Cache(version="1"))
    def second(number: int) -> int:
        ran.append("second")
        return number * 2

    @workflow(cache=Cache(version="1"))
    def inner(number: int) -> int:
        return second(first(number))

    @workflow
    def outer() -> int:
        return inner(1)

    assert outer() == 4
    assert ran == ["first", "second"]
    assert outer.with_options(refresh="second")() == 4
    assert ran == ["first", "second", "second"]
    assert outer() == 4
    assert ran == ["first", "second", "second"]
