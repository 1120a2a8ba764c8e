"""What a map goes through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from thrifty import _native
from thrifty._task import Task


def rows(task: Task[..., Any], iterables: tuple[Iterable[Any], ...]) -> list[tuple[Any, ...]]:
    name = task.operation_name
    if not iterables:
        raise TypeError(f"map of {name} needs at least one list of arguments")
    for iterable in iterables:
        if isinstance(iterable, (str, bytes)):
            raise TypeError(f"map of {name} goes through lists, not text: put it into a list")
        if iterable.__class__ is _native.Handle:
            _check_arity(name, iterable)
    columns = [list(iterable) for iterable in iterables]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        shown = ", ".join(map(str, lengths))
        raise ValueError(f"map of {name} needs lists of one length, and was given {shown}")
    return list(zip(*columns, strict=True))


def _check_arity(name: str, handle: Iterable[Any]) -> None:
    try:
        iter(handle)
    except _native.HandleError:
        raise _native.HandleError(
            f"map of {name} goes through {handle!r}, which has not run yet: how many elements it "
            "has is not known. Annotate its result as tuple[A, B], or map in a task that returns "
            "the list"
        ) from None
