"""Bodies in other processes: what is sent to a worker, and what comes back."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from thrifty import _native
from thrifty._task import Task

_lock = threading.Lock()
_pool: ProcessPoolExecutor | None = None
_size = 0
_ended = False

# The record of a result; what was observed, when what it was made of expires, why the result must
# not be stored, in one word and for people, and notes.
Performed = tuple[bytes, bytes, int | None, tuple[str, str] | None, list[str]]

# A waiting thread notices an interrupt only between two waits.
_PATIENCE = 0.2


class Reference:
    """Stands for a value of the cache in arguments that are sent to a worker."""

    __slots__ = ("record",)

    def __init__(self, record: bytes) -> None:
        self.record = record

    def __reduce__(self) -> tuple[type[Reference], tuple[bytes]]:
        return Reference, (self.record,)


def submit(
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    workers: int,
    chosen: dict[str, Any],
    mode: str,
) -> Performed:
    """Calls the function of the task in a worker; returns what `perform` returned there.

    What the function raises is raised here, with the worker's traceback as its cause.
    """
    call = _sent(task, args, kwargs)
    future = _start(workers).submit(_perform, call, chosen, mode)
    try:
        return _result(future)
    except BrokenProcessPool:
        while _ended:
            # The end of the program does not wait for this thread.
            time.sleep(_PATIENCE)
        _drop()
        raise RuntimeError(
            f"a worker process died while {task.operation_name} ran: it was killed, ran out of "
            "memory, or the main module of the program starts work when it is imported (put it "
            'under `if __name__ == "__main__":`). With executor="threads" there are no workers'
        ) from None
    except KeyboardInterrupt:
        _drop(kill=True)
        raise


def _sent(task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickled(task, (task, task.definition_key(), args, kwargs))
    except pickle.PicklingError as error:
        raise pickle.PicklingError(f'{error}, or use executor="threads"') from error.__cause__


def pickled(task: Task[..., Any], call: object) -> bytes:
    """A call of the task, for another process."""
    try:
        return pickle.dumps(call, protocol=5)
    except Exception as error:
        if isinstance(error, pickle.PicklingError) and task.operation_name in str(error):
            raise
        raise pickle.PicklingError(
            f"cannot send the arguments of {task.operation_name} to another process ({error}). "
            "Pass values that can be pickled"
        ) from error


def _result(future: Future[Performed]) -> Performed:
    while not future.done():
        wait([future], timeout=_PATIENCE)
    return future.result()


def _start(workers: int) -> ProcessPoolExecutor:
    """The pool of this process, with so many workers at least."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < workers:
            previous, _pool = _pool, _new_pool(workers)
            _size = workers
            if previous is not None:
                previous.shutdown(wait=False)
        return _pool


def _new_pool(workers: int) -> ProcessPoolExecutor:
    _at_end()
    # A forked worker would share threads and connections that are not its own.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)


@functools.cache
def _at_end() -> None:
    # Called before what the pools registered when they were imported, which waits for the workers.
    register: Callable[[Callable[[], None]], None] | None
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_end)


def _end() -> None:
    """Ends the workers if nobody waits for them whom the end of the program waits for."""
    global _ended
    manager = getattr(_pool, "_executor_manager_thread", None)
    others = set(threading.enumerate()) - {threading.main_thread(), manager}
    if all(thread.daemon for thread in others):
        _ended = True
        _drop(kill=True)


def _after_fork() -> None:
    """In a forked child: the pool and who looks after it are the parent's."""
    global _lock, _pool, _size
    _lock = threading.Lock()
    if _pool is not None:
        # Its end would wait for locks that threads may hold which are not here.
        _native.leak(_pool)
    _pool, _size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _drop(*, kill: bool = False) -> None:
    global _pool, _size
    with _lock:
        pool, _pool, _size = _pool, None, 0
    if pool is None:
        return
    workers: dict[int, Any] = getattr(pool, "_processes", None) or {}
    processes = list(workers.values())
    pool.shutdown(wait=False, cancel_futures=True)
    if kill:
        for process in processes:
            process.terminate()


def _begin() -> None:
    # An interrupt from the terminal reaches all processes; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _perform(call: bytes, chosen: dict[str, Any], mode: str) -> Performed:
    task, key, args, kwargs = pickle.loads(call)
    if task.definition_key() != key:
        # Its result would be stored under a key that does not describe it.
        raise RuntimeError(
            f"{task.operation_name} is not the same in a worker process: its file was changed "
            "since the program started, or the program changed a value that it uses after the "
            'import. Pass that value as an argument, or use executor="threads"'
        )
    values = dereferenced(args), dereferenced(kwargs)
    return _native.perform(task, *values, chosen, mode)


def dereferenced(value: Any) -> Any:
    """The value, with what is in the cache in the places of references."""
    if isinstance(value, Reference):
        return _native.dereference(value.record)
    # Exactly these, as where references were put in: what derives from them is a value.
    if value.__class__ is list:
        return [dereferenced(item) for item in value]
    if value.__class__ is tuple:
        return tuple(dereferenced(item) for item in value)
    if value.__class__ is dict:
        return {key: dereferenced(item) for key, item in value.items()}
    return value
