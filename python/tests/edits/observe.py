"""Calls every task of a program, and prints what each gave and which of them ran."""

from __future__ import annotations

import json
from collections.abc import Mapping

from thrifty import Task, testing


def observe(namespace: Mapping[str, object]) -> None:
    """Calls the tasks of a namespace with the cache, then without: what they ought to give."""
    tasks = {name: value for name, value in namespace.items() if isinstance(value, Task)}
    with testing.recorded() as calls:
        given = {name: repr(task()) for name, task in tasks.items()}
    with testing.memory_cache():
        right = {name: repr(task()) for name, task in tasks.items()}
    print(json.dumps({"given": given, "right": right, "ran": calls.computed}))
