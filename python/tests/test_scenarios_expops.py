"""What goes wrong in ExpOps, by the number of the weakness, and does not with ``@process`` and
``@step``; and what it can do, by the row of the feature table. ``docs/scenarios.md`` lists them.

The same for commands: ``crates/pipeline/tests/scenarios_expops.rs``.
"""

from __future__ import annotations

import os
import pathlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import thrifty
from thrifty import Cache, File, Params, process, step, testing, workflow

pytestmark = pytest.mark.usefixtures("home")

Executed = Callable[[], list[str]]


@pytest.fixture
def executed(capsys: pytest.CaptureFixture[str]) -> Executed:
    """What ran since this was last asked."""
    return lambda: capsys.readouterr().out.split()


@step
def rows(table: File) -> list[int]:
    print("rows")
    return [int(line) for line in table.read_text().split()]


@step
def fitted(values: list[int], model: Params, seed: int) -> dict[str, float]:
    print("fitted")
    return {"score": sum(values) * model["rate"] + random.Random(seed).randrange(1)}


@process
def train(table: File, params: Params, seed: int) -> dict[str, float]:
    print("train")
    return fitted(rows(table), params["model"], seed)


@process
def report(score: float) -> dict[str, str]:
    print("report")
    return {"text": f"{score:.1f}"}


@workflow
def project(table: File, params: dict[str, Any]) -> dict[str, str]:
    return report(train(table, params, 1)["score"])


CONFIG = {"model": {"rate": 0.5}, "plot": {"colour": "red"}}


@pytest.fixture
def table(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "table.csv"
    path.write_text("1\n2\n")
    return path


def test_expops_weakness_01_each_call_after_the_first_is_a_hit(executed: Executed) -> None:
    assert [fitted([1], CONFIG["model"], 1)["score"] for _ in range(6)] == [0.5] * 6
    assert executed() == ["fitted"]


@step
def broken(value: int) -> int:
    print("broken")
    raise ValueError(value)


@process
def breaking(value: int) -> int:
    print("breaking")
    return broken(value)


def test_expops_weakness_02_a_body_that_fails_runs_once(executed: Executed) -> None:
    with pytest.raises(ValueError, match="3"):
        breaking(3)
    assert executed() == ["breaking", "broken"]


@step
def total(frame: pd.DataFrame) -> int:
    print("total")
    return int(frame["a"].sum())


class Opaque:
    """Printed by its address, and equal by what is in it."""

    def __init__(self, value: int) -> None:
        self.value = value


@step
def opened(it: Opaque) -> int:
    print("opened")
    return it.value


def test_expops_weakness_03_values_count_by_what_they_are(executed: Executed) -> None:
    frame = pd.DataFrame({"a": np.arange(1000)})
    other = frame.copy()
    other.loc[500, "a"] = -1
    assert [total(frame), total(other), total(frame.copy())] == [499500, 498999, 499500]
    assert executed() == ["total", "total"]
    assert [opened(Opaque(1)), opened(Opaque(1)), opened(Opaque(2))] == [1, 1, 2]
    assert executed() == ["opened", "opened"]


HELPED = """
    import lib
    from thrifty import process, step

    @step
    def inner(x: int) -> int:
        print("inner")
        return lib.helper(x)

    @process
    def outer(x: int) -> int:
        print("outer")
        return inner(x)

    if __name__ == "__main__":
        print(outer(1))
"""


def test_expops_weakness_04_an_edit_of_a_helper_runs_what_uses_it(programs) -> None:
    programs.write("main.py", HELPED)
    programs.write("lib.py", "def helper(x):\n    return x\n")
    assert programs.run("main.py").split() == ["outer", "inner", "1"]
    assert programs.run("main.py").split() == ["1"]
    programs.write("lib.py", "def helper(x):\n    # the same\n    return x\n")
    assert programs.run("main.py").split() == ["1"]
    programs.write("lib.py", "def helper(x):\n    return x + 10\n")
    assert programs.run("main.py").split() == ["outer", "inner", "11"]


def test_expops_weakness_05_f26_what_nobody_reads_invalidates_nothing(
    executed: Executed, table: pathlib.Path
) -> None:
    project(File(table), CONFIG)
    executed()
    project(File(table), {**CONFIG, "plot": {"colour": "blue"}, "more": 1})
    assert "fitted" not in executed(), "no step runs for what it does not read"
    direct = train(File(table), CONFIG, 1)
    executed()
    assert train(File(table), {**CONFIG, "plot": {"colour": "green"}}, 1) == direct
    assert executed() == []
    train(File(table), {"model": {"rate": 2.0}}, 1)
    assert executed() == ["train", "fitted"]


@step
def kind(value: Any) -> str:
    print("kind")
    return repr(value)


def test_expops_weakness_06_values_of_other_types_are_other_values(executed: Executed) -> None:
    values = [{1: 0}, {"1": 0}, (1,), [1], 1, 1.0, True, "1", None]
    assert [kind(value) for value in values] == [repr(value) for value in values]
    assert len(executed()) == len(values)
    assert [kind(value) for value in values] == [repr(value) for value in values]
    assert executed() == []


def test_expops_weakness_07_what_has_no_digest_is_an_error_that_says_where() -> None:
    with pytest.raises(thrifty.UnhashableArgument, match=r"value.*lock"):
        kind({"held": [threading.Lock()]})


def test_expops_weakness_08_a_cache_in_trouble_is_said_and_costs_nothing_else(programs) -> None:
    programs.write(
        "main.py", HELPED.replace("import lib", "lib = None").replace("lib.helper(x)", "x")
    )
    (programs.directory / "file").write_text("")
    start = programs.start("-m", "main", env={**os.environ, "THRIFTY_HOME": "file"})
    out, err = start.communicate(timeout=60)
    assert out.split() == ["outer", "inner", "1"]
    assert "file" in err


def test_expops_weakness_09_f24_what_came_out_the_same_ends_it(
    executed: Executed, table: pathlib.Path
) -> None:
    project(File(table), CONFIG)
    executed()
    table.write_text("2\n1\n")
    project(File(table), CONFIG)
    assert executed() == ["train", "rows", "fitted"], "the rows changed, their sum did not"


def test_expops_weakness_10_requirement_files_count_by_what_is_in_them(
    executed: Executed, tmp_path: pathlib.Path
) -> None:
    needed = tmp_path / "requirements.txt"
    needed.write_text("a==1\n")

    @step(cache=Cache(files=[str(needed)]))
    def trained() -> int:
        print("trained")
        return 1

    for text, times in [("a==1\n", 1), ("a==2\n", 1), ("a==1\n", 0)]:
        needed.write_text(text)
        trained()
        assert executed() == ["trained"] * times


def test_expops_weakness_11_f30_f31_f48_ages_hold_and_results_can_be_cleared(
    executed: Executed,
) -> None:
    @step(cache=Cache(expires="1ms"))
    def brief() -> int:
        print("brief")
        return 1

    brief()
    time.sleep(0.01)
    brief()
    assert executed() == ["brief", "brief"]


def test_expops_weakness_13_of_two_that_call_at_once_one_computes(executed: Executed) -> None:
    begun, go = threading.Event(), threading.Event()

    @step(cache=Cache(code="none"))
    def slow(x: int) -> int:
        print("slow")
        begun.set()
        assert go.wait(60)
        return x

    calls = [threading.Thread(target=slow, args=(1,)) for _ in range(3)]
    for call in calls:
        call.start()
    assert begun.wait(60)
    go.set()
    for call in calls:
        call.join()
    assert executed() == ["slow"]


def test_expops_weakness_14_equal_payloads_are_kept_once(home: pathlib.Path) -> None:
    @step
    def zeros(name: str) -> np.ndarray:
        return np.zeros(100_000)

    zeros("a")
    zeros("b")
    kept = [
        path
        for path in (home / "blobs").rglob("*")
        if path.is_file() and path.stat().st_size >= 800_000
    ]
    assert len(kept) == 1


def test_expops_weakness_15_f27_a_seed_counts_for_who_draws(
    executed: Executed, table: pathlib.Path
) -> None:
    first = train.with_options(seed=1)(File(table), CONFIG, 1)
    executed()
    train.with_options(seed=1)(File(table), CONFIG, 1)
    assert executed() == []
    assert train.with_options(seed=1, cache=False)(File(table), CONFIG, 1) == first


def test_expops_f02_a_process_is_looked_up_first_and_then_its_steps(
    executed: Executed, table: pathlib.Path
) -> None:
    train(File(table), CONFIG, 1)
    assert executed() == ["train", "rows", "fitted"]
    train(File(table), CONFIG, 1)
    assert executed() == []
    with testing.recorded() as calls:
        train(File(table), {"model": {"rate": 0.25}}, 1)
    assert executed() == ["train", "fitted"]
    assert len(calls.hits) == 1, "the step that does not read it is a hit"


def test_expops_f03_only_partitions_that_changed_run(executed: Executed) -> None:
    @step
    def counted(part: list[int]) -> int:
        print("counted")
        return len(part)

    @workflow
    def whole(parts: list[list[int]]) -> int:
        return combined(counted.map(parts))

    assert whole([[1, 2], [3], [4, 5, 6]]) == 6
    assert executed() == ["counted"] * 3 + ["combined"]
    assert whole([[1, 2], [3, 3], [4, 5, 6]]) == 7
    assert executed() == ["counted", "combined"]


@step
def combined(counts: list[int]) -> int:
    print("combined")
    return sum(counts)


def test_expops_f51_f59_a_hit_tells_the_run_that_computed_it(table: pathlib.Path) -> None:
    first = project.run(File(table), CONFIG)
    second = project.run(File(table), CONFIG)
    assert {node["outcome"].split("-")[0] for node in second.nodes} == {"hit"}
    assert {node["source"] for node in second.nodes} == {first.id}


def test_expops_f04_f05_each_step_can_be_switched_off(executed: Executed) -> None:
    @step(cache=False)
    def stamped() -> int:
        print("stamped")
        return 1

    stamped()
    stamped()
    assert executed() == ["stamped", "stamped"]


def test_expops_f64_a_process_stands_beside_commands(programs) -> None:
    programs.write(
        "training.py",
        """
        from thrifty import File, process

        @process
        def train(table: File, rate: float):
            print("ran train", flush=True)
            return {"score": sum(map(int, table.read_text().split())) * rate}
        """,
    )
    programs.write(
        "p.yaml",
        """
        params: {rate: 0.5}
        operations:
          table: {run: seq 4 > t, outputs: {t: t}}
          train:
            task: training:train
            params: {rate: "{{ params.rate }}"}
            inputs: {table: {from: table.t}}
            outputs: [score]
          told: {run: "echo {{ params.score }} > o", params: {score: {from: train.score}}, outputs: {o: o}}
        outputs: {o: {from: told.o, to: o}}
        """,
    )
    assert "ran train" in programs.run("-m", "thrifty", "run", "p.yaml")
    assert (programs.directory / "o").read_text() == "5.0\n"
    assert "ran train" not in programs.run("-m", "thrifty", "run", "p.yaml")
