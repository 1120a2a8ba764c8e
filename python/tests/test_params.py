"""Parameters of which only those that are read count; processes and steps."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from thrifty import Cache, Params, Task, process, step, task, testing, workflow

CONFIG: dict[str, Any] = {
    "data": {"rows": [1, 2, 3]},
    "model": {"rate": 0.5, "depth": 3, "kind": "linear"},
    "plot": {"colour": "red"},
}


Executed = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with testing.memory_cache():
        yield


@pytest.fixture
def executed(capsys: pytest.CaptureFixture[str]) -> Executed:
    """What ran since this was last asked."""
    return lambda: capsys.readouterr().out.split()


def changed(**places: Any) -> dict[str, Any]:
    """The configuration with other values: ``model_rate=1.0``."""
    config = {name: dict(part) for name, part in CONFIG.items()}
    for place, value in places.items():
        part, _, name = place.partition("_")
        config[part][name] = value
    return config


@step
def load(params: Params) -> list[int]:
    print("load")
    return [2 * row for row in params["data"]["rows"]]


@step()
def fit(rows: list[int], model: Params) -> float:
    print("fit")
    if model["kind"] == "tree":
        return sum(rows) * float(model["depth"])
    return sum(rows) * model["rate"]


@process
def train(params: Params) -> dict[str, float]:
    print("train")
    return {"score": fit(load(params), params["model"])}


def test_a_process_and_its_steps_depend_on_what_they_read(executed: Executed) -> None:
    assert train(CONFIG) == {"score": 6.0}
    assert executed() == ["train", "load", "fit"]
    assert train(CONFIG) == {"score": 6.0}
    assert executed() == []
    # What nobody reads invalidates nothing, at neither level.
    assert train(changed(plot_colour="blue", model_depth=9)) == {"score": 6.0}
    assert executed() == []
    # The process misses, and of its steps the one that reads it.
    assert train(changed(model_rate=1.0)) == {"score": 12.0}
    assert executed() == ["train", "fit"]
    assert train(changed(data_rows=[3, 2, 1])) == {"score": 6.0}
    assert executed() == ["train", "load", "fit"]
    # All of these are known now, in whatever order they come.
    assert [train(it)["score"] for it in (CONFIG, changed(model_rate=1.0), CONFIG)] == [6, 12, 6]
    assert executed() == []


def test_another_branch_reads_other_parameters(executed: Executed) -> None:
    tree = changed(model_kind="tree")
    assert train(tree) == {"score": 36.0}
    assert executed() == ["train", "load", "fit"]
    assert train(changed(model_kind="tree", model_rate=7.0)) == {"score": 36.0}
    assert executed() == []
    assert train(changed(model_kind="tree", model_depth=4)) == {"score": 48.0}
    assert executed() == ["train", "fit"]
    assert train(CONFIG) == {"score": 6.0}
    assert executed() == ["train", "fit"]


def test_every_second_call_is_a_hit_and_every_third(executed: Executed) -> None:
    assert [fit([1], CONFIG["model"]) for _ in range(5)] == [0.5] * 5
    assert executed() == ["fit"]


@step
def failing(params: Params) -> int:
    print("failing")
    raise ValueError(params["why"])


def test_a_body_that_fails_runs_once(executed: Executed) -> None:
    with pytest.raises(ValueError, match="so"):
        failing({"why": "so"})
    assert executed() == ["failing"]


@pytest.mark.parametrize(
    ("body", "same", "other"),
    [
        (lambda it: it.get("a", 0), {"b": 1}, {"a": 1}),
        (lambda it: "a" in it, {"a": 2}, {"b": 1}),
        (lambda it: sorted(it), {"a": 9}, {"a": 1, "b": 2}),
        (lambda it: len(it), {"a": 9}, {"a": 1, "b": 2}),
        (lambda it: it.to_dict(), {"a": 1}, {"a": 1, "b": {"c": 1}}),
        (lambda it: dict(it), {"a": 1}, {"a": 1, "b": 2}),
        (lambda it: repr(it), {"a": 1}, {"a": 1.0}),
        (lambda it: it == {"a": 1}, {"a": 1}, {"a": True}),
        (lambda it: isinstance(it.get("a"), Params), {"a": 1, "z": 2}, {"a": {}}),
    ],
)
def test_each_way_to_read_counts_and_no_more(
    body: Any, same: Any, other: Any, executed: Executed
) -> None:
    first = {} if same == {"b": 1} else {"a": 1}

    def read(params: Params) -> Any:
        print("read")
        found = body(params)
        return str(found)

    reading = step(cache=Cache(version="1"))(read)
    reading(first)
    reading(same)
    assert executed() == ["read"]
    reading(other)
    assert executed() == ["read"]


@step
def nested(params: Params) -> int:
    print("nested")
    return params["a"]["b"]["c"]


def test_a_nested_read_counts_only_its_path(executed: Executed) -> None:
    assert nested({"a": {"b": {"c": 1, "x": 0}, "y": 0}}) == 1
    assert nested({"a": {"b": {"c": 1}}, "z": 5}) == 1
    assert executed() == ["nested"]
    assert nested({"a": {"b": {"c": 2}}}) == 2
    with pytest.raises(TypeError):
        nested({"a": 3})


@step
def scaled(value: float, params: Params) -> float:
    print("scaled")
    return value * params["factor"]


@process
def twice(params: Params) -> float:
    print("twice")
    # The same names at two places are two mappings.
    return scaled(1.0, params["one"]) + 10 * scaled(1.0, params["two"])


def test_the_same_step_with_two_parts_of_a_mapping() -> None:
    assert twice({"one": {"factor": 1}, "two": {"factor": 2}}) == 21.0
    assert twice({"one": {"factor": 2}, "two": {"factor": 1}}) == 12.0
    assert twice({"one": {"factor": 1}, "two": {"factor": 1}}) == 11.0


@process
def mixed(params: Params) -> float:
    print("mixed")
    return scaled(1.0, {"factor": params["factor"], "other": 1})


def test_a_mapping_that_a_process_makes_itself_is_none_of_its_own(executed: Executed) -> None:
    assert mixed({"factor": 2, "other": 1}) == 2.0
    executed()
    assert mixed({"factor": 2, "other": 7}) == 2.0
    assert executed() == []
    assert mixed({"factor": 3, "other": 7}) == 3.0
    assert executed() == ["mixed", "scaled"]


@task
def whole(params: Any) -> Any:
    print("whole")
    return params["factor"]


@process
def handing(params: Params) -> Any:
    print("handing")
    return whole(params["part"])


def test_what_is_handed_to_another_task_counts_whole(executed: Executed) -> None:
    assert handing({"part": {"factor": 1, "other": 1}}) == 1
    executed()
    assert handing({"part": {"factor": 1, "other": 1}, "more": 1}) == 1
    assert executed() == []
    assert handing({"part": {"factor": 1, "other": 2}}) == 1
    assert executed() == ["handing", "whole"]


@step
def escaping(params: Params) -> Params:
    return params


def test_a_mapping_that_outlives_its_call_is_a_mapping_like_any_other() -> None:
    escaped = escaping({"factor": 2})
    assert scaled(1.0, escaped) == 2.0
    assert scaled(1.0, escaping({"factor": 3})) == 3.0
    assert scaled(1.0, escaping({"factor": 2})) == 2.0


@process
def returning(params: Params) -> Any:
    print("returning")
    return {"part": step_back(params["part"])}


@step
def step_back(part: Params) -> Any:
    print("step")
    return [part, part["in"]]


def test_parameters_in_a_result_are_dicts_and_count_whole(executed: Executed) -> None:
    for factor in (1, 2, 1):
        part = {"factor": factor, "in": {"a": 1}}
        for more in (1, 2):
            found = returning({"part": part, "more": more})["part"]
            assert found == [part, {"a": 1}]
            assert [type(each) for each in found] == [dict, dict]
    assert executed() == ["returning", "step", "returning", "step"]


def test_parameters_that_are_a_result_are_a_dict_where_nothing_is_stored() -> None:
    @step
    def part(params: Params) -> Any:
        return params["m"]

    for mode in ("on", "off"):
        found = part.with_overrides(cache=Cache(mode=mode))({"m": {"a": 1}})  # type: ignore[arg-type]
        assert type(found) is dict
        assert found == {"a": 1}


def test_a_result_that_holds_itself_and_parameters_is_handed_on() -> None:
    @step
    def around(params: Params) -> Any:
        held: list[Any] = [params["m"]]
        held.append(held)
        return held

    found = around({"m": {"a": 1}})
    assert found[1] is found


def test_a_deep_copy_and_a_union_of_parameters_are_dicts() -> None:
    given = Params({"a": 1, "m": {"b": [1]}})
    copied = copy.deepcopy({"x": given, "y": given["m"]})
    assert copied == {"x": {"a": 1, "m": {"b": [1]}}, "y": {"b": [1]}}
    assert type(copied["x"]) is type(copied["y"]) is dict
    copied["y"]["b"].append(2)
    assert given["m"]["b"] == [1]
    for found in (given | {"q": 1}, given | Params({"q": 1})):
        assert found == {"a": 1, "m": {"b": [1]}, "q": 1}
        assert type(found) is dict
    assert {"a": 0, "q": 1} | given == {"a": 1, "m": {"b": [1]}, "q": 1}
    with pytest.raises(TypeError):
        given | 1


@step
def merges(params: Params) -> Any:
    print("merges")
    return params["m"] | {"q": 1}


def test_a_union_counts_all_of_what_it_reads(executed: Executed) -> None:
    assert merges({"m": {"a": 1}, "z": 1}) == {"a": 1, "q": 1}
    assert merges({"m": {"a": 1}, "z": 2}) == {"a": 1, "q": 1}
    assert executed() == ["merges"]
    assert merges({"m": {"a": 2}}) == {"a": 2, "q": 1}
    assert executed() == ["merges"]


def test_in_a_workflow_a_body_finds_parameters() -> None:
    @task(cache=Cache(version="1"))
    def kind(params: Params, held: Any) -> list[str]:
        return [type(params).__name__, type(held[0]).__name__]

    @workflow
    def both() -> list[str]:
        params = Params({"a": 1})
        return kind(params, [params])

    assert both() == ["Params", "Params"]


@step
def threaded(params: Params) -> float:
    print("threaded")
    found: list[float] = []
    reader = threading.Thread(target=lambda: found.append(params["factor"]))
    reader.start()
    reader.join()
    return found[0]


def test_what_a_thread_of_the_body_reads_counts(executed: Executed) -> None:
    assert threaded({"factor": 1, "other": 1}) == 1
    assert threaded({"factor": 1, "other": 2}) == 1
    assert executed() == ["threaded"]
    assert threaded({"factor": 2}) == 2


def test_calls_at_once_with_other_parameters_do_not_mix() -> None:
    gate = threading.Barrier(4)
    found: dict[int, float] = {}

    def call(number: int) -> None:
        gate.wait()
        found[number] = scaled(1.0, {"factor": number})

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}


@workflow
def experiment(params: dict[str, Any]) -> float:
    return train(params)["score"]


def test_in_a_workflow_the_steps_are_still_found(executed: Executed) -> None:
    assert experiment(CONFIG) == 6.0
    assert executed() == ["train", "load", "fit"]
    # As a node of a graph the process counts whole; its steps do not run.
    assert experiment(changed(plot_colour="blue")) == 6.0
    assert executed() == ["train"]


def test_it_is_counted_also_where_nothing_is_observed(executed: Executed) -> None:
    unseen = scaled.with_overrides(cache=Cache(observe=False))
    assert unseen(1.0, {"factor": 1}) == 1.0
    assert unseen(1.0, {"factor": 2}) == 2.0
    assert unseen(1.0, params={"factor": 2, "x": 1}) == 2.0
    assert executed() == ["scaled", "scaled"]


def test_what_cannot_go_with_it_is_an_error() -> None:
    keyed: Task[..., float] = scaled.with_overrides(cache=Cache(key=lambda **_: 1))
    with pytest.raises(TypeError, match="annotate them as Mapping instead"):
        keyed(1.0, {"factor": 1})
    with pytest.raises(TypeError, match="the names of parameters are text, not 1"):
        nested({1: 2})  # pyright: ignore[reportArgumentType]


def test_code_and_other_arguments_count_as_ever(executed: Executed) -> None:
    assert scaled(1.0, {"factor": 1}) == 1.0
    assert scaled(2.0, {"factor": 1}) == 2.0
    assert executed() == ["scaled", "scaled"]
    assert scaled.with_options(cache="refresh")(2.0, {"factor": 1}) == 2.0
    assert executed() == ["scaled"]
    assert scaled.with_options(cache=False)(2.0, {"factor": 1}) == 2.0
    assert executed() == ["scaled"]
