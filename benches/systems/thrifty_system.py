"""Thrifty as it comes: ``@task`` and ``@workflow``."""

import importlib
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["THRIFTY_HOME"] = sys.argv[2]

import helpers_tree
import thrifty
from measures import MEASURES, Measure, System, main
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


MEASURES |= {"code_cold": code_cold, "code_warm": code_warm}


if __name__ == "__main__":
    main(opened)
