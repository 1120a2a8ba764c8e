"""Searches whose trials are suggested: by samplers of libraries, and by the user's own function."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
operations:
  train:
    run: |
      echo {{ params.rate }} {{ params.depth }} >> RAN
      test {{ params.rate }} != 13
      echo $((({{ params.rate }} - 40) * ({{ params.rate }} - 40) + {{ params.depth }})) > loss.json
    outputs: {loss: {json: loss.json}}
    matrix:
      params: {rate: {quniform: [0, 100, 1]}, depth: [1, 2, 3]}
      metric: {name: loss, goal: minimize}
      MATRIX
outputs: {best: train.best.params}
"""


def write(project: Path, matrix: str) -> None:
    text = FILE.replace("RAN", str(project / "ran")).replace("MATRIX", matrix)
    (project / "search.yaml").write_text(text)


def run(project: Path, *words: str, code: int = 0, path: str = "", home: str = "home") -> str:
    environment = {**os.environ, "THRIFTY_HOME": str(project / home)}
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (path, environment.get("PYTHONPATH", "")) if part
        )
    command = [sys.executable, "-m", "thrifty", "run", "search.yaml", *words]
    pipes = {"capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, cwd=project, env=environment, check=False, **pipes)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


def trials(project: Path, **where: str) -> list[dict]:
    return json.loads(run(project, "--json", **where))["searches"][0]["trials"]


def ran(project: Path) -> int:
    path = project / "ran"
    count = len(path.read_text().splitlines()) if path.exists() else 0
    path.unlink(missing_ok=True)
    return count


def points(trials: list[dict]) -> list[dict]:
    return [trial["params"] for trial in trials]


def test_estimators_come_to_the_same_trials_again_and_more_add_to_them(tmp_path: Path) -> None:
    write(
        tmp_path, "{kind: tpe, runs: 14, seed: 3, concurrency: 4}"[1:-1].replace(", ", "\n      ")
    )
    first = trials(tmp_path)
    assert len(first) == 14
    assert {trial["status"] for trial in first} <= {"computed", "waited", "failed"}
    assert all(0 <= trial["params"]["rate"] <= 100 for trial in first)
    ran(tmp_path)
    # Another cache, where the trials end in another order: the same trials.
    assert points(trials(tmp_path, home="other")) == points(first)
    ran(tmp_path)
    text = (tmp_path / "search.yaml").read_text()
    (tmp_path / "search.yaml").write_text(text.replace("runs: 14", "runs: 18"))
    more = trials(tmp_path)
    assert points(more)[:14] == points(first)
    assert ran(tmp_path) <= 4 + sum(trial["status"] == "failed" for trial in more)
    (tmp_path / "search.yaml").write_text(text.replace("seed: 3", "seed: 4"))
    assert points(trials(tmp_path)) != points(first)


def test_the_first_trials_are_those_of_a_random_search(tmp_path: Path) -> None:
    write(tmp_path, "kind: random\n      runs: 10\n      seed: 5")
    random = trials(tmp_path)
    ran(tmp_path)
    write(tmp_path, "kind: bayes\n      runs: 13\n      seed: 5\n      concurrency: 2")
    found = trials(tmp_path)
    assert points(found)[:10] == points(random)
    assert ran(tmp_path) <= 3 + sum(trial["status"] == "failed" for trial in found)
    assert points(trials(tmp_path, home="other")) == points(found)


def test_estimators_learn(tmp_path: Path) -> None:
    write(tmp_path, "kind: tpe\n      runs: 40\n      concurrency: 5")
    found = trials(tmp_path)
    distance = [abs(trial["params"]["rate"] - 40) for trial in found]
    assert sum(distance[-15:]) / 15 < sum(distance[:10]) / 10 / 2


@pytest.mark.parametrize(("kind", "library"), [("tpe", "optuna"), ("bayes", "bayes_opt")])
def test_a_library_that_is_missing_is_told_before_anything_runs(
    tmp_path: Path, kind: str, library: str
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    text = f"raise ModuleNotFoundError(\"No module named '{library}'\", name='{library}')\n"
    (absent / f"{library}.py").write_text(text)
    write(tmp_path, f"runs: 20\n      kind: {kind}")
    told = run(tmp_path, code=2, path=str(absent))
    assert f"search.yaml:13:13: `kind: {kind}` needs `{library}`, which is not installed" in told
    assert 'pip install "thrifty[sweep]"' in told
    assert "Traceback" not in told
    assert ran(tmp_path) == 0


TUNER = """
def halve(trials):
    '''Looks left and right of the best, ever closer.'''
    if not trials:
        return [{"rate": rate, "depth": 1} for rate in (0, 50, 100)]
    width = 50 // 2 ** (len(trials) // 2 - 1)
    good = [trial for trial in trials if trial["status"] == "succeeded"]
    best = min(good, key=lambda trial: trial["metric"])["params"]
    sides = [best["rate"] - width, best["rate"] + width] if width > 3 else []
    return [{"rate": rate, "depth": 1.0} for rate in sides if 0 <= rate <= 100]
"""


def test_a_tuner_of_ones_own_is_asked_until_it_has_no_more(tmp_path: Path) -> None:
    (tmp_path / "tuning.py").write_text(TUNER)
    tuner = "kind: iterative\n      tuner: tuning:halve\n      concurrency: 3\n      runs: "
    write(tmp_path, tuner + "20")
    found = trials(tmp_path)
    rates = [trial["params"]["rate"] for trial in found]
    assert rates == [0, 50, 100, 0, 100, 25, 75, 38, 62, 32, 44]
    assert [trial["status"] for trial in found].count("computed") == ran(tmp_path) == 9
    # What it returns as 1.0 is the 1 of the space: no other key.
    assert {str(trial["params"]["depth"]) for trial in found} == {"1"}
    assert {trial["status"] for trial in trials(tmp_path)} == {"hit"}
    write(tmp_path, tuner + "4")
    assert [trial["params"]["rate"] for trial in trials(tmp_path)] == [0, 50, 100, 0]
    assert ran(tmp_path) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "`tuning` has no `next`"),
        ("next = 3", "`tuning:next` is neither a task nor a function, but int"),
        ("def next(): ...", "`tuning:next` is called with one list, the trials so far"),
    ],
)
def test_a_tuner_that_is_none_is_told_before_anything_runs(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "tuning.py").write_text(text)
    write(tmp_path, "kind: iterative\n      tuner: tuning:next\n      runs: 4")
    error = run(tmp_path, code=2)
    assert "search.yaml:13:14: " in error
    assert told in error
    assert ran(tmp_path) == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("return None", "it gave null, and not a list of params by name"),
        ("return [{'rate': 1}]", "suggestion 0: `depth` is missing"),
        ("return [{'rate': 101, 'depth': 1}]", "`rate`: 101 is not between 0 and 100"),
        ("return [{'rate': {1}, 'depth': 1}]", "no value of JSON"),
        ("return []", "the search has no trial"),
    ],
)
def test_a_tuner_that_fails_is_told_with_its_place(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "tuning.py").write_text(f"def next(trials):\n    {body}\n")
    write(tmp_path, "kind: iterative\n      tuner: tuning:next\n      runs: 4")
    error = run(tmp_path, code=1)
    assert told in error
    if "no trial" not in told:
        assert "search.yaml:13:14: tuner `tuning:next`: " in error
    assert ran(tmp_path) == 0
