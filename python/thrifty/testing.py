"""Tests of code that uses the cache: a cache in memory, forced hits and misses, what happened.

>>> from thrifty import task, testing
>>> @task
... def train(rate: float) -> str:
...     return f"model of {rate}"
>>> with testing.memory_cache(), testing.recorded() as calls:
...     train(0.1), train(0.1), train(0.2)
('model of 0.1', 'model of 0.1', 'model of 0.2')
>>> calls.computed, calls.hits
(['train', 'train'], ['train'])
"""

from __future__ import annotations

import contextlib
import copy
import glob
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from thrifty import _native
from thrifty._task import Task

if TYPE_CHECKING:
    from collections.abc import Generator

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["Calls", "force_hit", "force_miss", "memory_cache", "recorded"]

_HITS = ("hit-memory", "hit-local", "waited")
_COMPUTED = ("computed", "nondeterministic", "fenced", "computed-not-stored", "uncached")


@contextlib.contextmanager
def memory_cache() -> Generator[None]:
    """An empty cache in memory, in the place of the real one, for the whole process.

    Settings of the environment, such as ``THRIFTY_CACHE=off``, do not count inside, and bodies run
    on threads. A ``File`` that came out of this cache is gone after the block.

    >>> from thrifty import task, testing
    >>> @task
    ... def load() -> int:
    ...     print("loading")
    ...     return 1
    >>> with testing.memory_cache():
    ...     load()
    loading
    1
    >>> with testing.memory_cache():
    ...     load()
    loading
    1
    """
    previous = _native.enter_memory()
    try:
        yield
    finally:
        _native.leave(previous)


@final
class Calls:
    """What happened to operations; complete when the ``with`` block has ended.

    Operations are named as the last part of their names, and sorted: those of a parallel run have
    no order. A call outside of workflows that has the cache off leaves no trace.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    @property
    def hits(self) -> list[str]:
        """Those whose results were known, once for each call."""
        return self._named(_HITS)

    @property
    def computed(self) -> list[str]:
        """Those that ran."""
        return self._named(_COMPUTED)

    @property
    def failed(self) -> list[str]:
        """Those that raised."""
        return self._named(("failed",))

    def _named(self, outcomes: tuple[str, ...]) -> list[str]:
        names: list[str] = []
        for (name, outcome), count in self._counts.items():
            if outcome in outcomes:
                names += [name.rsplit(".", 1)[-1]] * count
        return sorted(names)

    def __repr__(self) -> str:
        return f"Calls(computed={self.computed}, hits={self.hits}, failed={self.failed})"


@contextlib.contextmanager
def recorded() -> Generator[Calls]:
    """What happens to operations inside the block.

    It is read from the history of the cache: use it together with :func:`memory_cache`, where
    no other process writes.

    >>> from thrifty import task, testing
    >>> @task
    ... def load() -> int:
    ...     return 1
    >>> with testing.memory_cache():
    ...     with testing.recorded() as calls:
    ...         _ = load()
    ...     assert calls.computed == ["load"], calls
    ...     with testing.recorded() as calls:
    ...         _ = load()
    ...     assert calls.hits == ["load"], calls
    """
    calls = Calls()
    before = _totals()
    try:
        yield calls
    finally:
        for key, count in _totals().items():
            if more := count - before.get(key, 0):
                calls._counts[key] = more  # pyright: ignore[reportPrivateUsage]


def _totals() -> dict[tuple[str, str], int]:
    return {(name, outcome): count for name, outcome, count in _native.totals()}


@contextlib.contextmanager
def force_hit(task: Task[P, R], value: R) -> Generator[None]:
    """Every call of the task gives this value, whatever its arguments; its body does not run.

    Each caller gets a copy. The task's own calls are meant: what ``with_options`` or
    ``with_overrides`` made of it counts as the task.

    >>> from thrifty import task, testing
    >>> @task
    ... def download(url: str) -> str:
    ...     raise OSError("no network here")
    >>> @task
    ... def count(text: str) -> int:
    ...     return len(text)
    >>> with testing.memory_cache(), testing.force_hit(download, "hello"):
    ...     count(download("https://example.org"))
    5
    """

    def give(
        task: Task[..., Any],
        native: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        inspect.signature(task.__wrapped__).bind(*args, **kwargs)
        return copy.deepcopy(value)

    with _intercepted(task, give):
        yield


@contextlib.contextmanager
def force_miss(task: Task[P, R]) -> Generator[None]:
    """Every call of the task runs its body, and replaces what was stored.

    >>> from thrifty import task, testing
    >>> @task
    ... def roll() -> int:
    ...     print("rolling")
    ...     return 4
    >>> with testing.memory_cache(), testing.force_miss(roll):
    ...     roll(), roll()
    rolling
    rolling
    (4, 4)
    """

    def run(
        task: Task[..., Any],
        native: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        refreshed = task.with_options(refresh=glob.escape(task.operation_name))
        return native(refreshed, *args, **kwargs)

    with _intercepted(task, run):
        yield


_native_call: Callable[..., Any] = _native.Task.__call__  # pyright: ignore
_native_defer: Callable[..., Any] = _native.Task.defer  # pyright: ignore
_lock = threading.Lock()
_interceptions: list[tuple[Task[..., Any], Callable[..., Any]]] = []


@contextlib.contextmanager
def _intercepted(task: Task[..., Any], instead: Callable[..., Any]) -> Generator[None]:
    """While the block runs, calls of the task go to ``instead``; others pass."""
    if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a task or workflow is wanted, not {type(task).__name__}")
    interception = (task, instead)
    with _lock:
        _interceptions.append(interception)
        Task.__call__ = _call
        Task.defer = _defer
    try:
        yield
    finally:
        with _lock:
            _interceptions.remove(interception)
            if not _interceptions:
                # The native methods of the base class come to light again.
                del Task.__call__, Task.defer


def _call(self: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    return _sent(self, _native_call, args, kwargs)


def _defer(self: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    return _sent(self, _native_defer, args, kwargs)


def _sent(
    called: Task[..., Any],
    native: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    for task, instead in reversed(_interceptions):
        if task.__wrapped__ is called.__wrapped__:
            return instead(called, native, args, kwargs)
    return native(called, *args, **kwargs)
