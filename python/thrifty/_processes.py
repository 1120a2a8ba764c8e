"""Bodies in other processes: the workers of this process, and what is sent to them."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import signal
import threading
import time
from multiprocessing import get_context, util
from typing import Any

from thrifty import _native
from thrifty._raised import arrived
from thrifty._task import Task
from thrifty._worker import READY, Answer, Origin, Performed, Surroundings, serve

# A waiting thread notices an interrupt only between two waits.
_PATIENCE = 0.2
# How long the process of a worker that says nothing any more may take to end.
_LAST_MOMENTS = 5

_changed = threading.Condition()
_workers: set[_Worker] = set()
_idle: list[_Worker] = []
_size = 0


class _Died(Exception):
    """The process of a worker has ended, or cannot be talked to any more."""


class _Worker:
    """A process that runs one body at a time.

    Of the pipe `life` nothing is ever read: it is closed when this process is gone, whatever
    became of it.
    """

    def __init__(self, origin: Origin) -> None:
        # A forked worker would share threads and connections that are not its own.
        context = get_context("spawn")
        self.origin = origin
        self.is_ready = False
        # Ended because the program ends.
        self.is_over = False
        self._told: Surroundings | None = None
        self._calls, calls = context.Pipe()
        life, self._life = context.Pipe(duplex=False)
        with calls, life:
            self._process = context.Process(target=serve, args=(calls, life, origin))
            self._process.start()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def call(self, around: Surroundings, call: bytes, chosen: dict[str, Any], mode: str) -> Answer:
        """What the worker answers."""
        if not self.is_ready:
            self.is_ready = self._receive() == READY
        told = None if around == self._told else around
        self._told = around
        message = pickle.dumps((told, call, chosen, mode), protocol=5)
        try:
            self._calls.send_bytes(message)
        except OSError:
            raise _Died from None
        return pickle.loads(self._receive())

    def _receive(self) -> bytes:
        try:
            while not self._calls.poll(_PATIENCE):
                # What a body started may hold the other end of the pipe open.
                if not self._process.is_alive() and not self._calls.poll():
                    raise _Died
            return self._calls.recv_bytes()
        except (EOFError, OSError):
            raise _Died from None

    def end(self) -> None:
        """There are no calls for it any more: it ends when it is done with the one it has."""
        self._calls.close()

    def stop(self) -> None:
        """Ends it, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.terminate()
        self.forget()

    def forget(self) -> None:
        """Closes what this process has of it."""
        self._calls.close()
        self._life.close()

    def death(self) -> str:
        """How its process ended, in words."""
        self._process.join(_LAST_MOMENTS)
        code = self._process.exitcode
        if code is None:
            return "it does not answer any more"
        if code >= 0:
            return f"it ended with code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        out_of_memory = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return f"it was killed by {name}{out_of_memory}"


def submit(
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    around: tuple[Origin, Surroundings],
    workers: int,
    chosen: dict[str, Any],
    mode: str,
) -> Performed:
    """Calls the function of the task in a worker; returns what `perform` returned there.

    What the function raises has the worker's traceback as its cause. Raised here is what kept it
    from beginning.
    """
    call = _sent(task, args, kwargs)
    origin, surroundings = around
    worker = _take(workers, origin)
    try:
        kept, read, raised, unstored = worker.call(surroundings, call, chosen, mode)
        _give_back(worker)
    except _Died:
        error = _death(task, worker)
        if worker.is_ready:
            return None, None, error
        raise error from None
    except BaseException:
        # Nobody waits for its answer any more.
        _drop(worker)
        raise
    _native.count_unstored(unstored)
    if raised is None:
        return kept, read, None
    if read is None:
        raise arrived(raised)
    return None, read, arrived(raised)


def _death(task: Task[..., Any], worker: _Worker) -> RuntimeError:
    while worker.is_over:
        # The end of the program does not wait for this thread.
        time.sleep(_PATIENCE)
    how = worker.death()
    _drop(worker)
    name = task.operation_name
    if worker.is_ready:
        text = f"a worker process died while {name} ran: {how}"
    else:
        text = (
            f"a worker process died before {name} ran: {how}. Perhaps the main module of the "
            "program starts work when it is imported (put it under "
            '`if __name__ == "__main__":`)'
        )
    return RuntimeError(f'{text}. With executor="threads" there are no workers')


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


def _take(workers: int, origin: Origin) -> _Worker:
    """A worker that has nothing to do; of all runs together there are so many as one asked for."""
    global _size
    _at_end()
    with _changed:
        _size = max(_size, workers)
        while True:
            while _idle:
                worker = _idle.pop()
                if worker.origin == origin and worker.is_alive():
                    return worker
                _workers.discard(worker)
                worker.forget()
            if len(_workers) < _size:
                worker = _Worker(origin)
                _workers.add(worker)
                return worker
            _changed.wait(_PATIENCE)


def _give_back(worker: _Worker) -> None:
    with _changed:
        _idle.append(worker)
        _changed.notify()


def _drop(worker: _Worker) -> None:
    with _changed:
        _workers.discard(worker)
        if worker in _idle:
            _idle.remove(worker)
        _changed.notify()
    worker.stop()


@functools.cache
def _at_end() -> None:
    # Before the end of this process waits for those that it started; also where it is itself
    # one that multiprocessing started, which ends without `atexit`.
    util.Finalize(None, _end, exitpriority=100)


def _end() -> None:
    """Ends the workers: whoever waits for one now is not waited for."""
    for worker in list(_workers):
        worker.is_over = True
        if worker in _idle:
            worker.end()
        else:
            worker.stop()


def _after_fork() -> None:
    """In a forked child: the workers are the parent's, who alone is to keep them alive."""
    global _changed, _size
    _changed = threading.Condition()
    for worker in _workers:
        worker.forget()
    _workers.clear()
    _idle.clear()
    _size = 0
    _at_end.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
