"""Searches of operation files, as two people run them: the guide's own files and commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "hyperparameter-search.md"
TRAIN = """
import json, sys
rate, depth, model, score = sys.argv[1:]
with open({ran!r}, "a") as ran:
    ran.write(f"{{rate}} {{depth}}\\n")
json.dump({{"rate": float(rate)}}, open(model, "w"))
json.dump({{"loss": abs(float(rate) - 0.2) + 1 / int(depth)}}, open(score, "w"))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "search.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "train.py").write_text(TRAIN.format(ran=str(tmp_path / "ran")))
    return tmp_path


def begin(project: Path, command: str) -> subprocess.Popen[str]:
    words = shlex.split(command)
    assert words[0] == "thrifty"
    environment = {**os.environ, "THRIFTY_HOME": str(project / "home")}
    environment["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), environment["PATH"]))
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def ran(project: Path) -> list[str]:
    return sorted((project / "ran").read_text().split("\n")[:-1])


def test_two_searches_at_once_compute_every_point_once(project: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 2
    both = [begin(project, f"{command} --json") for command in commands]
    told = [json.loads(end(process)) for process in both]
    every = [f"{rate} {depth}" for rate in (0.1, 0.2, 0.3) for depth in (2, 4, 6)]
    assert ran(project) == every
    searches = [told[0]["searches"][0], told[1]["searches"][0]]
    statuses = [trial["status"] for search in searches for trial in search["trials"]]
    assert statuses.count("computed") == 9
    assert sum(status in ("hit", "waited") for status in statuses) == 3
    shared = [
        {json.dumps(it["params"]): it["value"] for it in search["trials"]} for search in searches
    ]
    common = shared[0].keys() & shared[1].keys()
    assert len(common) == 3
    assert all(shared[0][point] == shared[1][point] for point in common)
    assert all(it["outputs"]["best"] == {"rate": 0.2, "depth": 6} for it in told)
    again = json.loads(end(begin(project, f"{commands[1]} --json")))
    assert {trial["status"] for trial in again["searches"][0]["trials"]} == {"hit"}
    assert ran(project) == every


def test_the_table_tells_the_trials_and_a_million_is_refused(project: Path) -> None:
    process = begin(project, "thrifty run search.yaml")
    out, err = process.communicate(timeout=120)
    assert "train: 6 trials: 6 computed" in err
    assert re.search(r"5 +rate=0.2, depth=6 +0\.1\d+ +computed +best", err), err
    assert 'best = {"rate":0.2,"depth":6}' in out
    wide = (project / "search.yaml").read_text().replace("[2, 8, 2]", "[0, 50000]")
    (project / "search.yaml").write_text(wide)
    process = begin(project, "thrifty run search.yaml")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.search(r"search.yaml:\d+:\d+: the grid has 100000 trials", err), err
    assert ran(project) == [f"{rate} {depth}" for rate in (0.1, 0.2) for depth in (2, 4, 6)]


def test_trials_of_the_guide_that_are_suggested(project: Path) -> None:
    search, tpe, iterative = blocks("yaml")
    (project / "tuning.py").write_text(blocks("python")[0])
    matrix = search[search.index("    matrix:") : search.index("outputs:\n  best")]
    for other, count in [(tpe, 12), (iterative, 8)]:
        (project / "search.yaml").write_text(search.replace(matrix, f"{other}\n"))
        told = json.loads(end(begin(project, "thrifty run search.yaml --json")))
        trials = told["searches"][0]["trials"]
        assert len(trials) == count
        again = json.loads(end(begin(project, "thrifty run search.yaml --json")))
        assert {trial["status"] for trial in again["searches"][0]["trials"]} == {"hit"}
        assert [it["params"] for it in again["searches"][0]["trials"]] == [
            it["params"] for it in trials
        ]


def test_the_sweep_of_the_guide_shows_what_the_guide_shows(project: Path) -> None:
    (project / "tune.py").write_text(blocks("python")[1])
    environment = {**os.environ, "THRIFTY_HOME": str(project / "home")}
    command = [sys.executable, "tune.py"]
    pipes = {"capture_output": True, "text": True, "check": True, "timeout": 120}
    out = subprocess.run(command, cwd=project, env=environment, **pipes).stdout
    shown = blocks("text")[0]
    assert [
        line.split() for line in re.sub(r" [\d.e-]+ s$", "  …", out, flags=re.M).splitlines()
    ] == [line.split() for line in shown.splitlines()]
    command = [sys.executable, "-m", "thrifty", "metrics", "--json"]
    out = subprocess.run(command, cwd=project, env=environment, **pipes).stdout
    told = [metric["value"] for node in json.loads(out) for metric in node["metrics"]]
    assert len(told) == 18
