"""Ways to end an interpreter while the cache is in use: ``exits.py WAY``.

Every way says ``ready`` when the work is under way, and the process ends by itself. What it must
not do is hang, crash, complain, or run a body twice in one call.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

FIRST: list[Callable[[], object]] = []
atexit.register(lambda: [late() for late in FIRST])

import operations  # noqa: E402 - what it registers is called before the handler above
from operations import PLAIN, SHARED, call_name, enter, hear, say  # noqa: E402
from thrifty import task, workflow  # noqa: E402

started = threading.Event()
never = threading.Event()


@task(cache=SHARED)
def forever(n: int, call: str) -> int:
    enter("forever", n, call)
    started.set()
    never.wait()
    return n


@task(cache=PLAIN)
def busy(n: int, call: str) -> int:
    """Needs the interpreter all the time."""
    enter("busy", n, call)
    started.set()
    while not never.is_set():
        n += 1
    return n


@task(cache=PLAIN)
def refuses(n: int, call: str) -> int:
    enter("refuses", n, call)
    raise LookupError(n)


@task(cache=PLAIN)
def exits(n: int, call: str) -> int:
    enter("exits", n, call)
    sys.exit(n)


@task(cache=PLAIN)
def vanishes(n: int, call: str) -> int:
    enter("vanishes", n, call)
    os._exit(n)


@workflow
def many(n: int, call: str) -> list[int]:
    return [forever(n + i, f"{call}-{i}") for i in range(4)]


@workflow
def much(n: int, call: str) -> list[int]:
    return [busy(n + i, f"{call}-{i}") for i in range(3)]


def beside(function: Callable[..., object], *args: object) -> None:
    """Calls it in a thread that the end of the program does not wait for."""
    threading.Thread(target=function, args=args, daemon=True).start()
    started.wait()


def nothing() -> None:
    """The program has just used the cache."""
    operations.work(1)


def body() -> None:
    """A daemon thread is in a body, and waits."""
    beside(forever, 1, call_name())


def busy_body() -> None:
    """A daemon thread is in a body, and computes."""
    beside(busy, 1, call_name())


def run() -> None:
    """A daemon thread has a run under way, with bodies on its workers."""
    beside(many.with_options(workers=4), 1, call_name())


def busy_run() -> None:
    """A daemon thread has a run under way, whose bodies notice that they are to end."""
    beside(much.with_options(workers=2), 1, call_name())


def processes() -> None:
    """A daemon thread has a body under way in a worker process."""
    book = os.environ[operations.BOOK]
    threading.Thread(target=in_worker, daemon=True).start()
    while not (os.path.exists(book) and operations.runs("long", 1)):
        time.sleep(0.01)


@task(cache=PLAIN)
def long(n: int, call: str) -> int:
    enter("long", n, call)
    never.wait()
    return n


def in_worker() -> None:
    long.with_options(executor="processes", workers=1).map([1], [call_name()])


def waiting() -> None:
    """Daemon threads wait for what another one computes."""
    beside(forever, 1, call_name())
    for _ in range(3):
        threading.Thread(target=forever, args=(1, call_name()), daemon=True).start()


def holding() -> None:
    """A body is computed until its starter says so."""
    threading.Thread(target=lambda: (hear(), operations.let_go.set()), daemon=True).start()
    threading.Thread(target=lambda: (operations.held_now.wait(), say("ready")), daemon=True).start()
    assert operations.held(1, call_name()) == 1


def waiting_for_another() -> None:
    """A daemon thread waits for what another process computes."""
    calling = threading.Event()

    def call() -> None:
        calling.set()
        operations.held(1, call_name())

    threading.Thread(target=call, daemon=True).start()
    calling.wait()


def publishing() -> None:
    """A daemon thread puts one large result after the other into the cache."""

    def publish() -> None:
        for n in range(1_000_000):
            operations.large(n, call_name())

    threading.Thread(target=publish, daemon=True).start()
    operations.publishing.wait()


def thread() -> None:
    """The program waits for a thread that is no daemon and begins to work late."""
    ended = threading.Event()
    threading.Thread(target=lambda: (ended.wait(), operations.work(2))).start()
    ended.set()


def exit_in_thread() -> None:
    """`sys.exit` in a thread ends the thread."""
    one = threading.Thread(target=exits, args=(1, call_name()))
    one.start()
    one.join()


def exit_in_body() -> None:
    """`sys.exit` in a body ends the program."""
    exits(5, call_name())


def exit_at_once() -> None:
    """`os._exit` while another thread is in a body."""
    beside(forever, 1, call_name())
    say("ready")
    os._exit(6)


def exit_at_once_in_body() -> None:
    """`os._exit` in a body."""
    say("ready")
    vanishes(7, call_name())


def error() -> None:
    """An exception in a body ends the program."""
    say("ready")
    refuses(1, call_name())


def generator() -> None:
    """A generator is closed between two calls, and calls once more on its way out."""

    def values() -> Iterator[int]:
        try:
            for n in range(10):
                yield operations.square(n, call_name())
        finally:
            assert operations.square(99, call_name()) == 99 * 99

    given = values()
    assert [next(given), next(given)] == [0, 1]
    given.close()


class Late:
    """Calls when it is destroyed."""

    def __init__(self) -> None:
        self.call = operations.square
        self.name = call_name

    def __del__(self) -> None:
        self.call(3, self.name())


def late() -> None:
    """Calls come after everything was closed: from `atexit`, and from what is destroyed last."""
    assert operations.square(3, call_name()) == 9
    sys.modules["late"] = Late()  # type: ignore[assignment]


def at_exit() -> None:
    """A handler that was registered before the package calls when everything was closed."""
    FIRST.append(lambda: operations.work(4))


def pool() -> None:
    """A pool of processes is still there."""
    import multiprocessing
    import warnings

    # Python says so of any program, with or without tasks.
    warnings.simplefilter("ignore", ResourceWarning)
    made = multiprocessing.get_context("fork").Pool(2)
    assert len(made.map(operations.work, range(4))) == 4
    KEPT.append(made)


KEPT: list[object] = []


def terminated() -> None:
    """SIGTERM, which nobody handles, while a thread is in a body."""
    beside(forever, 1, call_name())
    say("ready")
    os.kill(os.getpid(), signal.SIGTERM)
    never.wait()


WAYS: dict[str, Callable[[], None]] = {
    way.__name__.replace("_", "-"): way
    for way in (
        nothing,
        body,
        busy_body,
        run,
        busy_run,
        processes,
        waiting,
        holding,
        waiting_for_another,
        publishing,
        thread,
        exit_in_thread,
        exit_in_body,
        exit_at_once,
        exit_at_once_in_body,
        error,
        generator,
        late,
        at_exit,
        pool,
        terminated,
    )
}


def main(way: str) -> None:
    operations.begin()
    WAYS[way]()
    if way != "holding":
        say("ready")


if __name__ == "__main__":
    main(sys.argv[1])
