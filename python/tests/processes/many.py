"""Many threads, or many forked children, of one process: ``many.py threads|children COUNT TIMES``."""

from __future__ import annotations

import os
import random
import sys
import threading

import operations
from operations import call_name, say


def call(choose: random.Random) -> None:
    """One call among few keys, so that most of them meet."""
    n = choose.randrange(500)
    kind = choose.randrange(4)
    if kind == 0:
        assert operations.together(n, call_name()) == n + 1
    elif kind == 1:
        assert operations.text(n, call_name()) == operations.content(n)
    else:
        assert operations.square(n, call_name()) == n * n


def threads(count: int, times: int) -> None:
    """All threads call at once, so many times each."""
    together = threading.Barrier(count)
    failures: list[BaseException] = []

    def member(number: int) -> None:
        choose = random.Random(number)
        together.wait()
        try:
            for _ in range(times):
                call(choose)
        except BaseException as error:
            failures.append(error)

    members = [threading.Thread(target=member, args=(number,)) for number in range(count)]
    for one in members:
        one.start()
    for one in members:
        one.join()
    if failures:
        raise failures[0]


def child(number: int) -> None:
    """A forked child calls a few times, and ends as an interpreter does."""
    choose = random.Random(number)
    for _ in range(3):
        call(choose)
    sys.exit(0)


def children(count: int, times: int) -> None:
    """Forks so many children at once, again and again, while a thread of the parent calls."""
    enough = threading.Event()

    def busy() -> None:
        choose = random.Random(0)
        while not enough.is_set():
            call(choose)

    with operations.in_thread(busy):
        try:
            for round in range(times):
                forked = []
                for number in range(count):
                    process = os.fork()
                    if process == 0:
                        child(round * count + number)
                    forked.append(process)
                for process in forked:
                    assert os.waitpid(process, 0)[1] == 0
        finally:
            enough.set()


def main(role: str, count: str, times: str) -> None:
    operations.begin()
    {"threads": threads, "children": children}[role](int(count), int(times))
    say(f"{count} {role}, {times} times: {operations.balance()}, 0 wrong")


if __name__ == "__main__":
    main(*sys.argv[1:])
