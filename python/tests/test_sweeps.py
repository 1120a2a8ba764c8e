"""`sweep`: a task or workflow with many values of some arguments; `log_metric`."""

import json
import os
import subprocess
import sys
import threading

import pytest
from thrifty import Cache, HandleError, log_metric, sweep, task, workflow

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def ran(capsys):
    """What ran since this was last asked, sorted: bodies print what they are given."""

    def lines() -> list[str]:
        return sorted(capsys.readouterr().out.split("\n")[:-1])

    return lines


@task
def loss(rate: float, depth: int = 1) -> float:
    print(f"{rate} {depth}")
    if rate == 13:
        raise ValueError("thirteen")
    return abs(rate - 0.2) + 1 / depth


@task
def square(number: float) -> dict:
    print(number)
    return {"score": number * number, "model": [number]}


def statuses(found) -> list[str]:
    return [trial.status for trial in found]


def test_a_grid_has_every_combination_and_the_rest_is_a_hit(ran):
    found = sweep(loss, {"rate": [0.1, 0.2], "depth": [2, 4]}, goal="minimize")
    assert [trial.params for trial in found] == [
        {"rate": rate, "depth": depth} for rate in (0.1, 0.2) for depth in (2, 4)
    ]
    assert statuses(found) == ["computed"] * 4
    assert found.best.params == {"rate": 0.2, "depth": 4}
    assert found.best.value == found.best.metric == 0.25
    other = sweep(loss, {"rate": [0.2, 0.3], "depth": [4]})
    assert statuses(other) == ["hit", "computed"]
    # A trial is a call like any other.
    assert loss(0.3, depth=4) == pytest.approx(0.35)
    assert ran() == ["0.1 2", "0.1 4", "0.2 2", "0.2 4", "0.3 4"]


def test_its_text_is_a_table():
    found = sweep(loss, {"rate": [0.1, 13]}, goal="minimize")
    lines = str(found).splitlines()
    assert lines[0].split() == ["trial", "params", "metric", "status", "time"]
    assert lines[1].split()[:5] == ["0", "rate=0.1", "1.1", "computed", "best"]
    assert lines[2].split()[:3] == ["1", "rate=13", "failed"]
    assert repr(found) == f"<Sweep of {loss.operation_name}, 2 trials: 1 computed, 1 failed>"
    many = str(sweep(loss, {"rate": [n + 0.5 for n in range(40)]}, goal="maximize"))
    assert many.splitlines()[1].startswith("39 ")
    assert "… and 30 more" in many


def test_a_trial_that_fails_does_not_end_the_rest(ran):
    found = sweep(loss, {"rate": [1, 13, 2]}, goal="minimize")
    assert statuses(found) == ["computed", "failed", "computed"]
    assert isinstance(found[1].error, ValueError)
    with pytest.raises(ValueError, match="thirteen"):
        _ = found[1].value
    assert found.best.number == 0
    assert statuses(sweep(loss, {"rate": [1, 13, 2]})) == ["hit", "failed", "hit"]
    assert ran() == ["1 1", "13 1", "13 1", "2 1"]
    none = sweep(loss, {"rate": [13]}, goal="minimize")
    with pytest.raises(LookupError, match="no trial"):
        _ = none.best


def test_points_that_are_given_twice_are_computed_once(ran):
    found = sweep(loss, [{"rate": 1}, {"rate": 2}, {"rate": 1}], kind="mapping")
    assert sorted(statuses(found)) == ["computed", "computed", "waited"]
    assert ran() == ["1 1", "2 1"]
    with pytest.raises(LookupError, match="goal"):
        _ = found.best


def test_values_may_be_any_objects():
    @task(cache=Cache(key=lambda kind, pair: [str(kind), pair]))
    def shown(kind: object, pair: tuple) -> str:
        return f"{kind.__name__} {pair}"

    found = sweep(shown, {"kind": [int, str], "pair": [(1, 2)]})
    assert [trial.value for trial in found] == ["int (1, 2)", "str (1, 2)"]
    assert found[0].params == {"kind": int, "pair": (1, 2)}


def test_what_is_looked_at_is_an_entry_or_a_function():
    assert sweep(square, {"number": [2, 3]}, metric="score", goal="maximize").best.metric == 9
    by = sweep(square, {"number": [2, 3]}, metric=lambda it: -it["score"], goal="maximize")
    assert by.best.params == {"number": 2}
    with pytest.raises(KeyError, match="did you mean `score`"):
        sweep(square, {"number": [2]}, metric="scor", goal="minimize")


def test_drawn_trials_are_those_of_operation_files(tmp_path):
    space = {"rate": {"loguniform": [1e-4, 1]}, "depth": {"range": [1, 9]}}
    found = sweep(loss, space, kind="random", runs=12, seed=3)
    more = sweep(loss, space, kind="random", runs=15, seed=3)
    assert statuses(more)[:12].count("hit") + statuses(more)[:12].count("waited") == 12
    (tmp_path / "f.yaml").write_text(
        "operations:\n  t:\n    run: echo {{ params.rate }} {{ params.depth }}\n    matrix: "
        + json.dumps({"kind": "random", "runs": 12, "seed": 3, "params": space})
    )
    command = [sys.executable, "-m", "thrifty", "run", "f.yaml", "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    trials = json.loads(told.stdout)["searches"][0]["trials"]
    assert [trial["params"] for trial in trials] == [trial.params for trial in found]


def test_a_workflow_is_tried_and_what_trials_share_is_computed_once(ran):
    @task
    def load(name: str) -> list[int]:
        print(name)
        return [1, 2, 3]

    @task
    def fit(rows: list[int], rate: float) -> float:
        print(rate)
        return sum(rows) * rate

    @workflow
    def experiment(name: str, rate: float) -> float:
        return fit(load(name), rate)

    assert experiment("a", 0.1) == pytest.approx(0.6)
    found = sweep(experiment, {"rate": [0.1, 0.2]}, arguments={"name": "a"}, goal="minimize")
    # All that the first one stands for was known.
    assert statuses(found) == ["hit", "computed"]
    assert ran() == ["0.1", "0.2", "a"]
    assert statuses(sweep(experiment, {"rate": [0.1, 0.2]}, arguments={"name": "a"})) == ["hit"] * 2


def test_it_ends_before_its_time_if_that_was_said():
    space = {"rate": [3.0, 2.0, 1.0, 0.2, 5.0]}
    found = sweep(loss, space, goal="minimize", stop={"metric": 2.0})
    assert len(found) == 3
    assert found.stopped == "the metric reached 2 in trial 2"
    found = sweep(loss, {"rate": [13, 1, 13, 2]}, stop={"failures": 2}, concurrency=1)
    assert (len(found), found.stopped) == (3, "2 trials failed")


def test_hyperband_gives_more_to_the_best():
    @task
    def train(rate: float, epochs: int) -> float:
        return rate / epochs

    found = sweep(
        train,
        {"rate": {"uniform": [0, 1]}},
        kind="hyperband",
        goal="minimize",
        resource={"name": "epochs", "max": 9},
    )
    epochs = [trial.params["epochs"] for trial in found]
    assert len(epochs) == 9 + 3 + 1 + 5 + 1 + 3
    assert max(epochs) == 9
    best = sorted(found.trials[:9], key=lambda trial: trial.metric)[:3]
    three = [trial.params["rate"] for trial in found if trial.params["epochs"] == 3][5:]
    assert sorted(three) == sorted(trial.params["rate"] for trial in best)


@pytest.mark.parametrize("kind", ["tpe", "bayes"])
def test_suggestions_are_the_same_again(ran, kind):
    space = {"rate": {"uniform": [0, 1]}, "depth": [1, 2, 3]}
    found = sweep(loss, space, kind=kind, runs=12, goal="minimize", concurrency=2)
    assert 0 < len(ran()) <= 12
    again = sweep(loss, space, kind=kind, runs=12, goal="minimize", concurrency=2)
    assert [trial.params for trial in again] == [trial.params for trial in found]
    assert ran() == []


def test_a_tuner_of_ones_own():
    seen = []

    def tuner(trials):
        seen.append(len(trials))
        if not trials:
            return [{"number": 8.0}]
        last = trials[-1]
        assert last["status"] == "succeeded"
        assert last["metric"] == last["params"]["number"] ** 2
        return [{"number": last["params"]["number"] / 2}] if last["metric"] > 4 else []

    space = {"number": {"uniform": [0, 10]}}
    given = {"kind": "iterative", "tuner": tuner, "metric": "score", "goal": "minimize"}
    found = sweep(square, space, runs=10, **given)
    assert [trial.params["number"] for trial in found] == [8.0, 4.0, 2.0]
    assert seen == [0, 1, 2, 3]
    assert len(sweep(square, space, runs=2, **given)) == 2
    for row, told in [
        ({"number": 11}, "11 is not between 0 and 10"),
        ({"numbr": 1}, "varies no `numbr`"),
        ({}, "`number` is missing"),
    ]:
        with pytest.raises(ValueError, match=told):
            sweep(square, space, kind="iterative", runs=3, tuner=lambda trials, row=row: [row])
    with pytest.raises(TypeError, match="a list of arguments by name"):
        sweep(square, space, kind="iterative", runs=3, tuner=lambda trials: {"number": 1})
    with pytest.raises(ZeroDivisionError):
        sweep(square, space, kind="iterative", runs=3, tuner=lambda trials: 1 / 0)


def test_what_makes_no_sense_is_told_and_nothing_runs(ran):
    def plain(rate):
        return rate

    @task(cache=Cache(ignore="depth"))
    def careless(rate: float, depth: int) -> float:
        return rate

    for act, error, told in [
        (lambda: sweep(plain, {"rate": [1]}), TypeError, "put @task above plain"),
        (lambda: sweep(loss, {"rat": [1]}), TypeError, "did you mean `rate`"),
        (lambda: sweep(loss, {}), TypeError, "takes the values by argument"),
        (lambda: sweep(loss, [{"rate": 1}]), TypeError, 'kind="mapping"'),
        (lambda: sweep(loss, {"rate": 3}), TypeError, "are a list, and not 3"),
        (lambda: sweep(loss, {"rate": []}), ValueError, "space of `rate`: has no value"),
        (lambda: sweep(loss, {"rate": {"uniform": [0, 1]}}), ValueError, "kind: random"),
        (lambda: sweep(loss, {"rate": {"uniorm": [0, 1]}}), ValueError, "did you mean `uniform`"),
        (lambda: sweep(loss, {"rate": [1]}, kind="gird"), ValueError, "did you mean `grid`"),
        (lambda: sweep(loss, {"rate": [1]}, kind="random"), ValueError, "needs runs"),
        (lambda: sweep(loss, {"rate": [1]}, kind="tpe", runs=3), ValueError, "needs goal"),
        (lambda: sweep(loss, {"rate": [1]}, seed=3), ValueError, "seed is not for kind='grid'"),
        (lambda: sweep(loss, {"rate": [1]}, goal="small"), ValueError, '"minimize" or'),
        (lambda: sweep(loss, {"rate": [1]}, concurrency=0), ValueError, "from 1 on"),
        (lambda: sweep(loss, {"rate": [1]}, stop={"metric": 1}), ValueError, "needs a goal"),
        (lambda: sweep(loss, {"rate": [1]}, stop={"metrik": 1}), ValueError, "stop is"),
        (
            lambda: sweep(loss, {"rate": range(200), "depth": range(200)}),
            ValueError,
            "40000 trials",
        ),
        (lambda: sweep(loss, [{"rate": 1}, {}], kind="mapping"), TypeError, "takes the trials"),
        (
            lambda: sweep(loss, [{"rate": 1}, {"depth": 1}], kind="mapping"),
            ValueError,
            "trial 1 does not have",
        ),
        (lambda: sweep(loss, {"rate": [1]}, arguments={"rate": 2}), TypeError, "both in"),
        (lambda: sweep(loss, {"depth": [1]}), TypeError, "rate"),
        (
            lambda: sweep(careless, {"rate": [1], "depth": [1]}),
            ValueError,
            "would share one result",
        ),
        (lambda: sweep(loss.with_options(check=0.5), {"rate": [1]}), ValueError, "task.check"),
    ]:
        with pytest.raises(error, match=told.replace("(", r"\(")):
            act()
    assert ran() == []


def test_a_workflow_cannot_sweep_and_a_task_can(ran):
    @workflow
    def tune(depth: int) -> float:
        return sweep(loss, {"rate": [1, 2]}, arguments={"depth": depth}).best.value

    with pytest.raises(HandleError, match="Call sweep outside of it, or in a task"):
        tune(1)

    @task
    def tuned(depth: int) -> dict:
        found = sweep(loss, {"rate": [1, 2]}, arguments={"depth": depth}, goal="minimize")
        return found.best.params

    assert tuned(1) == tuned(1) == {"rate": 1}
    assert ran() == ["1 1", "2 1"]


def test_a_sweep_is_one_run_of_the_history(reopen):
    found = sweep(loss, {"rate": {"uniform": [0, 1]}}, kind="random", runs=3, stop={"failures": 2})
    reopen()
    command = [sys.executable, "-m", "thrifty", "show", found.run, "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    nodes = told["operations"] if "operations" in told else told["nodes"]
    assert [node["number"] for node in nodes] == [0, 1, 2]
    assert {node["operation"] for node in nodes} == {loss.operation_name}


PROGRAM = """
import sys
import thrifty

@thrifty.task
def load(name: str) -> int:
    with open("ran", "a") as ran:
        ran.write("load\\n")
    return 3

@thrifty.task
def fit(rows: int, rate: float) -> float:
    with open("ran", "a") as ran:
        ran.write(f"{rate}\\n")
    return rows * rate

@thrifty.workflow
def experiment(rate: float) -> float:
    return fit(load("a"), rate)

first = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
found = thrifty.sweep(experiment, {"rate": range(first, first + 6)}, goal="maximize")
print(found.best.value)
"""


def test_two_processes_at_once_compute_every_point_once(programs):
    programs.write("tune.py", PROGRAM)
    both = [programs.start("tune.py", first, stdin=subprocess.PIPE) for first in ("0", "3")]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    ran = sorted((programs.directory / "ran").read_text().split())
    assert ran == sorted([*map(str, range(9)), "load"])
    assert [float(out) for out, _ in told] == [15.0, 24.0]


def measured(*words: str) -> list[dict]:
    command = [sys.executable, "-m", "thrifty", "metrics", *words, "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [metric for node in json.loads(out) for metric in node["metrics"]]


def test_what_a_task_measures_is_there_on_a_hit(reopen):
    @task
    def inner() -> int:
        log_metric("inner", 7)
        return 1

    @task
    def train(epochs: int) -> str:
        inner()
        for epoch in range(epochs):
            log_metric("loss", 1 / (epoch + 1), step=epoch)
        aside = threading.Thread(target=log_metric, args=("aside", True))
        aside.start()
        aside.join()
        log_metric("accuracy", 1)
        return "model"

    @workflow
    def experiment() -> str:
        return train(2)

    assert experiment() == experiment() == "model"
    reopen()
    losses = [{"name": "loss", "value": 1.0, "step": 0}, {"name": "loss", "value": 0.5, "step": 1}]
    own = [*losses, {"name": "accuracy", "value": 1.0}]
    assert measured() == [*own, {"name": "aside", "value": 1.0}]


def test_what_is_measured_in_another_process_comes_along(programs):
    program = """
        import thrifty
        @thrifty.task
        def train(epochs: int) -> int:
            for epoch in range(epochs):
                thrifty.log_metric("loss", 1 / (epoch + 1), step=epoch)
            return epochs
        @thrifty.workflow
        def experiment() -> int:
            return train(2)
        if __name__ == "__main__":
            print(experiment.with_options(executor="processes")())
    """
    programs.write("experiment.py", program)
    assert programs.run("experiment.py") == "2\n"
    assert [metric["value"] for metric in measured()] == [1.0, 0.5]


def test_a_measurement_is_no_part_of_the_result(ran, monkeypatch):
    @task(cache=Cache(version="1", observe=False))
    def train(rate: float) -> float:
        log_metric("loss", float(os.environ["LOSS"]))
        return rate

    @task
    def after(rate: float) -> float:
        print(rate)
        return rate

    monkeypatch.setenv("LOSS", "0.5")
    assert after(train(1.0)) == 1.0
    monkeypatch.setenv("LOSS", "0.25")
    assert after(train.with_options(cache="refresh")(1.0)) == 1.0
    assert ran() == ["1.0"]


def test_what_is_no_measurement_is_told():
    log_metric("nowhere", 1.0)
    for arguments, told in [
        (("loss", "high"), "the metric 'loss' is 'high'"),
        (("loss", 1, "first"), "the step"),
    ]:
        with pytest.raises(TypeError, match=told.replace("'", ".")):
            log_metric(*arguments)
    with pytest.raises(ValueError, match="name"):
        log_metric("", 1.0)
