"""The operations that the programs of this directory call, and the book of the bodies that ran.

Every body appends one line to the book, in one write. A call has a name of its own, which is no
part of its key: so the book shows a body that ran twice in one call, and an operation that was
computed more often than it should be.
"""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import itertools
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from thrifty import Cache, task, workflow

BOOK = "PROCESSES_BOOK"

# The code is left out of the keys: what these bodies do beside computing is no part of it.
PLAIN = Cache(version="1", ignore="call", observe=False)
SHARED = Cache(version="1", ignore="call", observe=False, serialize=True)

_calls = itertools.count()


class Line(NamedTuple):
    """One body that ran."""

    operation: str
    number: int
    call: str
    process: int


def begin() -> None:
    """What every process does first: no warning passes, and `watchdog` can see where it stands."""
    # The thread of `dump_traceback_later` would be missing in a forked child, which hangs there.
    faulthandler.register(signal.SIGUSR1)
    warnings.simplefilter("error")


def call_name() -> str:
    """A name for one call, which no other call has."""
    return f"{os.getpid()}-{threading.get_native_id()}-{next(_calls)}-{time.monotonic_ns()}"


def enter(operation: str, number: int, call: str) -> None:
    """A body begins to run."""
    line = f"{operation} {number} {call} {os.getpid()}\n".encode()
    book = os.open(os.environ[BOOK], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(book, line)
    finally:
        os.close(book)


def book() -> list[Line]:
    """All bodies that ran so far."""
    with contextlib.suppress(FileNotFoundError), open(os.environ[BOOK]) as lines:
        fields = [line.split() for line in lines]
        return [Line(name, int(number), call, int(pid)) for name, number, call, pid in fields]
    return []


def runs(operation: str, number: int) -> int:
    """How often one operation was computed."""
    return sum(line[:2] == (operation, number) for line in book())


def balance() -> str:
    """Fails if a body ran twice in one call, or a serialized operation was computed twice."""
    lines = book()
    calls = collections.Counter((line.operation, line.number, line.call) for line in lines)
    twice = [call for call, count in calls.items() if count > 1]
    assert not twice, f"ran twice in one call: {twice}"
    keys = collections.Counter(line[:2] for line in lines if line.operation in SERIALIZED)
    again = [key for key, count in keys.items() if count > 1]
    assert not again, f"computed more than once: {again}"
    return f"{len(lines)} bodies"


@task(cache=PLAIN)
def square(n: int, call: str) -> int:
    enter("square", n, call)
    return n * n


@task(cache=PLAIN)
def text(n: int, call: str) -> bytes:
    enter("text", n, call)
    return content(n)


@task(cache=SHARED)
def together(n: int, call: str) -> int:
    enter("together", n, call)
    return n + 1


@task(cache=PLAIN)
def length(values: bytes, call: str) -> int:
    enter("length", len(values), call)
    return len(values)


@workflow
def pipeline(n: int, call: str) -> int:
    return add([length(text(n + i, f"{call}-{i}"), f"{call}-{i}") for i in range(3)], call)


@task(cache=PLAIN)
def add(lengths: list[int], call: str) -> int:
    enter("add", sum(lengths), call)
    return sum(lengths)


SERIALIZED = ("together", "held")


def content(n: int, size: int = 100_000) -> bytes:
    """Bytes that are kept in a file of their own, and differ with the number."""
    return f"{n:016}".encode() * (size // 16)


held_now = threading.Event()
let_go = threading.Event()
publishing = threading.Event()


@task(cache=SHARED)
def held(n: int, call: str) -> int:
    """Computed until it is let go."""
    enter("held", n, call)
    held_now.set()
    let_go.wait()
    return n


@task(cache=PLAIN)
def large(n: int, call: str) -> bytes:
    """The publishing begins when the body ends."""
    enter("large", n, call)
    made = content(n, 2_000_000)
    publishing.set()
    return made


def work(number: int, *, quick: bool = False) -> int:
    """What a process does with the cache, every value of which can be told; gives its id."""
    begin()
    for n in (number, number + 1, -1 - os.getpid()):
        assert square(n, call_name()) == n * n
    assert together(number, call_name()) == number + 1
    if not quick:
        assert text(number, call_name()) == content(number)
        assert pipeline.with_options(workers=2)(number % 7, call_name()) == 300_000
    return os.getpid()


@contextlib.contextmanager
def in_thread(function, *args: object) -> Iterator[list[object]]:
    """Runs the function beside the block; what it returned, or raised, is checked at the end."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(function(*args))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        thread.join()
    if isinstance(results[0], BaseException):
        raise results[0]


def say(*words: object) -> None:
    """One line to whoever started this program."""
    print(*words, flush=True)


def hear() -> str:
    """One line from whoever started this program."""
    return sys.stdin.readline().strip()
