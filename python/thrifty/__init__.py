"""Thrifty never computes the same pipeline step twice.

Decorate the functions that cost time with :func:`task`, and those that call them with
:func:`workflow`. A call whose code and arguments are known is not made again.

>>> import thrifty
>>> from thrifty import testing
>>> @thrifty.task
... def double(number: int) -> int:
...     print("computing")
...     return number * 2
>>> with testing.memory_cache():
...     double(21)
...     double(21)
computing
42
42
"""

from __future__ import annotations

import atexit
import os

from thrifty import _native
from thrifty._native import (
    ArgumentChanged,
    CacheUnavailable,
    Handle,
    HandleError,
    NotStorable,
    Plan,
    Run,
    Unfollowable,
    UnhashableArgument,
    __version__,
    compute,
)
from thrifty._task import Task, process, step, task, workflow
from thrifty.cache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thrifty import testing
    from thrifty._metrics import log_metric
    from thrifty._params import Params
    from thrifty._registry import register
    from thrifty.checks import Check, CheckReport
    from thrifty.files import Dir, File
    from thrifty.marks import HashMethod, Secret
    from thrifty.sweeps import Sweep, Trial, sweep

__all__ = [
    "ArgumentChanged",
    "Cache",
    "CacheUnavailable",
    "Check",
    "CheckReport",
    "Dir",
    "File",
    "Handle",
    "HandleError",
    "HashMethod",
    "NotStorable",
    "Params",
    "Plan",
    "Run",
    "Secret",
    "Sweep",
    "Task",
    "Trial",
    "Unfollowable",
    "UnhashableArgument",
    "__version__",
    "compute",
    "log_metric",
    "process",
    "register",
    "step",
    "sweep",
    "task",
    "testing",
    "workflow",
]

# Names that are looked up when they are first used: a program without them does not pay for them.
_LAZY = {
    "Check": "thrifty.checks",
    "CheckReport": "thrifty.checks",
    "Dir": "thrifty.files",
    "File": "thrifty.files",
    "HashMethod": "thrifty.marks",
    "Params": "thrifty._params",
    "Secret": "thrifty.marks",
    "Sweep": "thrifty.sweeps",
    "Trial": "thrifty.sweeps",
    "log_metric": "thrifty._metrics",
    "register": "thrifty._registry",
    "sweep": "thrifty.sweeps",
}


def __getattr__(name: str) -> object:
    import importlib

    if name == "testing":
        return importlib.import_module("thrifty.testing")
    if name not in _LAZY:
        raise AttributeError(f"module 'thrifty' has no attribute {name!r}")
    found = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


atexit.register(_native.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_native.after_fork)
