"""Thrifty as it comes: ``@task`` and ``@workflow``."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns, perf_counter
from typing import Any

os.environ["THRIFTY_HOME"] = sys.argv[2]

import helpers_tree
import thrifty
from measures import MEASURES, Measure, System, itself, main
from thrifty import _native


def opened(folder: str) -> System:
    """The cache is where the environment says."""
    # The bodies that wait do so by what the observer would keep an eye on.
    serialized = thrifty.task(cache=thrifty.Cache(serialize=True, version="1", observe=False))
    return System(thrifty.task, thrifty.__version__, thrifty.workflow, serialized)


def reaching(helpers: int) -> Any:
    """A function that reaches so many helpers, just imported."""
    folder = Path(sys.argv[2])
    module = helpers_tree.write(folder, helpers)
    # Files that may be younger than the process are compared with the code that runs.
    for file in folder.rglob("*.py"):
        os.utime(file, (0, 0))
    sys.path.insert(0, str(folder))
    return importlib.import_module(module).run


def code_cold(measure: Measure) -> dict[str, Any]:
    """The first fingerprint in a process, every file read and parsed."""
    function = reaching(measure.sized(200))
    began = perf_counter()
    _native.closure(function)
    return {"seconds": [perf_counter() - began]}


def code_warm(measure: Measure) -> dict[str, Any]:
    """Whether a fingerprint still holds, which is asked on every call; in batches."""
    held = _native.Held(reaching(measure.sized(200)))
    calls, seconds = measure.sized(1000), []
    for _ in range(measure.repeat):
        began = perf_counter()
        for _ in range(calls):
            held.is_current()
        seconds.append((perf_counter() - began) / calls)
    return {"seconds": seconds, "hit": held.is_current()}


def grid_python(measure: Measure) -> dict[str, Any]:
    """A sweep of a trivial task, all hits but the first time."""
    side = 10 if measure.quick else 100

    def swept() -> list[int]:
        found = thrifty.sweep(crossed, {"x": range(side), "y": range(side)})
        return [found[0].value, found[len(found) - 1].value]

    return measure.hits(swept, itself)


@thrifty.task
def crossed(x: int, y: int) -> int:
    """A trivial trial."""
    return monotonic_ns()


def grid_file(measure: Measure) -> dict[str, Any]:
    """A search of an operation file as a process of its own, all hits but the first time."""
    side = 10 if measure.quick else 100
    values = {"range": [0, side]}
    text = {
        "operations": {
            "train": {
                "run": ["true", "{{ params.x }}", "{{ params.y }}"],
                "matrix": {"kind": "grid", "params": {"x": values, "y": values}},
            }
        }
    }
    file = written("grid.yaml", text)
    if not (file.parent / "computed").exists():
        command(file)
        (file.parent / "computed").touch()
    return {"seconds": [command(file) for _ in range(measure.repeat)]}


def commands(measure: Measure) -> dict[str, Any]:
    """What each of a thousand commands takes over what a shell takes for it."""
    count = measure.sized(1000)
    text = {"operations": {f"step{n}": {"run": ["true", str(n)]} for n in range(count)}}
    seconds = command(written("commands.yaml", text), "--workers", "1")
    began = perf_counter()
    loop = f"n=0; while [ $n -lt {count} ]; do {shutil.which('true')} $n; n=$((n+1)); done"
    subprocess.run(["sh", "-c", loop], check=True)
    return {"seconds": [(seconds - (perf_counter() - began)) / count]}


def written(name: str, file: dict[str, Any]) -> Path:
    """An operation file; what is JSON is YAML."""
    path = Path(sys.argv[2]).resolve() / name
    path.write_text(json.dumps(file))
    return path


def command(file: Path, *words: str) -> float:
    """How long ``thrifty run`` takes."""
    began = perf_counter()
    run = [sys.executable, "-m", "thrifty", "run", str(file), *words]
    subprocess.run(run, check=True, capture_output=True)
    return perf_counter() - began


MEASURES |= {
    "code_cold": code_cold,
    "code_warm": code_warm,
    "commands": commands,
    "grid_file": grid_file,
    "grid_python": grid_python,
}


if __name__ == "__main__":
    main(opened)
