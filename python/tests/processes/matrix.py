"""Child processes of a process that uses the cache: how they are started, when, and by what.

``matrix.py METHOD MOMENT VEHICLE ROUNDS`` starts children in every round; they use the cache and
say which processes they were. A moment is what the parent is doing while they start. The parent
of a moment that matters to others has a watcher beside it: a process of its own, no relative of
the children, which waits for what the parent computes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

import operations
from operations import call_name, in_thread, let_go

WORKERS = 2
TASKS = 4


# Moments: what the parent does while children are started, live and end.


@contextlib.contextmanager
def before_first_use(number: int, watcher: Watcher) -> Iterator[None]:
    """The parent has imported the package and never called anything."""
    yield


@contextlib.contextmanager
def after_use(number: int, watcher: Watcher) -> Iterator[None]:
    """The parent has used the cache, and does so again afterwards."""
    operations.work(number)
    yield
    operations.work(number + 1_000_000)


@contextlib.contextmanager
def publishing(number: int, watcher: Watcher) -> Iterator[None]:
    """Another thread of the parent puts results into the cache, one after the other."""
    enough = threading.Event()

    def publish() -> int:
        done = 0
        while not enough.is_set():
            n = number * 1_000 + done
            assert operations.large(n, call_name()) == operations.content(n, 2_000_000)
            done += 1
        return done

    operations.publishing.clear()
    with in_thread(publish):
        try:
            operations.publishing.wait()
            yield
        finally:
            enough.set()


@contextlib.contextmanager
def holding(number: int, watcher: Watcher) -> Iterator[None]:
    """Another thread of the parent computes what the watcher waits for."""
    operations.held_now.clear()
    let_go.clear()
    with in_thread(operations.held, number, call_name()) as values:
        try:
            operations.held_now.wait()
            watcher.await_value(number)
            yield
            # Had a child given back what its parent holds, the watcher would compute it now.
            assert operations.runs("held", number) == 1
        finally:
            let_go.set()
    assert values == [number]
    assert watcher.value() == number
    assert operations.runs("held", number) == 1


# Vehicles: what starts the children; each gives the ids of those that worked.


def report(number: int, results: Any) -> None:
    try:
        results.put(operations.work(number))
    except BaseException as error:
        results.put(repr(error))
        raise


def process(context: BaseContext, number: int) -> list[int]:
    """Plain processes."""
    results = context.SimpleQueue()
    made = [context.Process(target=report, args=(number + i, results)) for i in range(WORKERS)]
    for one in made:
        one.start()
    for one in made:
        one.join()
        assert one.exitcode == 0, one.exitcode
    return [results.get() for _ in made]


def pool(context: BaseContext, number: int) -> list[int]:
    """``multiprocessing.Pool``, closed in order."""
    with context.Pool(WORKERS) as made:
        worked = made.map(operations.work, range(number, number + TASKS), chunksize=1)
        made.close()
        made.join()
    return worked


def executor(context: BaseContext, number: int) -> list[int]:
    """``ProcessPoolExecutor``."""
    with ProcessPoolExecutor(WORKERS, mp_context=context) as made:
        return list(made.map(operations.work, range(number, number + TASKS)))


def serve(wanted: Any, results: Any) -> None:
    while (number := wanted.get()) is not None:
        report(number, results)


def loader(context: BaseContext, number: int) -> list[int]:
    """Workers that live on and take numbers from queues of their own, as data loaders have."""
    queues = [context.SimpleQueue() for _ in range(WORKERS)]
    results = context.SimpleQueue()
    made = [context.Process(target=serve, args=(it, results), daemon=True) for it in queues]
    for one in made:
        one.start()
    worked = []
    for batch in range(TASKS // WORKERS):
        for index, wanted in enumerate(queues):
            wanted.put(number + batch * WORKERS + index)
        worked += [results.get() for _ in queues]
    for wanted in queues:
        wanted.put(None)
    for one in made:
        one.join()
        assert one.exitcode == 0, one.exitcode
    return worked


MOMENTS: dict[str, Callable[[int, Watcher], contextlib.AbstractContextManager[None]]] = {
    "before-first-use": before_first_use,
    "after-use": after_use,
    "publishing": publishing,
    "holding": holding,
}
VEHICLES: dict[str, Callable[[BaseContext, int], list[int]]] = {
    "process": process,
    "pool": pool,
    "executor": executor,
    "loader": loader,
}


class Watcher:
    """The other end of a process that waits for values."""

    def __init__(self, connection: socket.socket) -> None:
        self.lines = connection.makefile("rw")

    def await_value(self, number: int) -> None:
        """Has it call; returns when it is about to."""
        print(number, file=self.lines, flush=True)
        assert self.lines.readline() == "calling\n"

    def value(self) -> int:
        return int(self.lines.readline())


def watch(connection: socket.socket) -> None:
    """A process of its own: calls what its other end names. It never has to compute."""
    operations.begin()
    let_go.set()
    lines = connection.makefile("rw")
    while line := lines.readline():
        print("calling", file=lines, flush=True)
        print(operations.held(int(line), call_name()), file=lines, flush=True)


def parent(method: str, moment: str, vehicle: str, rounds: str, connection: socket.socket) -> None:
    """The process whose children are looked at."""
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["operations"])
    watcher = Watcher(connection)
    workers = 0
    operations.begin()
    for number in range(int(rounds)):
        with MOMENTS[moment](number * 10, watcher):
            worked = VEHICLES[vehicle](context, number * 10)
        assert all(isinstance(it, int) and it != os.getpid() for it in worked), worked
        workers += len(set(worked))
    print(
        f"{method} {moment} {vehicle}: {rounds} rounds, {workers} children, {operations.balance()}, 0 wrong"
    )


def main(arguments: list[str]) -> int:
    """Starts the parent and its watcher, which are no relatives of each other."""
    role, *rest = arguments
    if role in ("watch", "parent"):
        *words, descriptor = rest
        with socket.socket(fileno=int(descriptor)) as connection:
            (watch if role == "watch" else parent)(*words, connection)
        return 0
    ends = socket.socketpair()

    def start(end: socket.socket, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", __file__, *words, str(end.fileno())]
        return subprocess.Popen(command, pass_fds=[end.fileno()])

    with ends[0], ends[1]:
        watcher, watched = start(ends[0], "watch"), start(ends[1], "parent", *arguments)
    failed = watched.wait() or watcher.wait()
    watcher.kill()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
