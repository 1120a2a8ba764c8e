"""Waits that would never end, and failures that are shared.

``circles.py pool`` calls an operation whose body has a pool call the same, ``circles.py program``
one whose body has another program do so; ``circles.py shared`` has
several processes wait for one whose body fails, and prints what each of them caught.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from thrifty import Cache, task

WAITERS = 3


@task(cache=Cache(serialize=True))
def through_pool(n: int) -> int:
    if multiprocessing.parent_process() is not None:
        return n * 3
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(through_pool, (n,))


@task(cache=Cache(serialize=True))
def through_program(n: int) -> int:
    if "INNER" in os.environ:
        return n * 3
    inner = [sys.executable, __file__, "program"]
    told = {**os.environ, "INNER": "yes"}
    return int(subprocess.run(inner, env=told, capture_output=True, check=True).stdout)


@task(cache=Cache(serialize=True, on_failure="share"))
def failing(n: int, book: str) -> int:
    with open(book, "a", encoding="utf-8") as lines:  # noqa: PTH123
        lines.write("ran\n")
    time.sleep(2)
    raise LookupError(n)


def wait(caught: SimpleQueue[str], barrier: Barrier, book: str) -> None:
    barrier.wait()
    try:
        failing(7, book)
    except Exception as error:
        caught.put(f"{type(error).__name__}: {error}")


def shared() -> None:
    spawn = multiprocessing.get_context("spawn")
    caught, barrier = spawn.SimpleQueue(), spawn.Barrier(WAITERS)
    book = os.path.join(os.environ["THRIFTY_HOME"], "..", "book")
    started = [spawn.Process(target=wait, args=(caught, barrier, book)) for _ in range(WAITERS)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    print(*sorted(caught.get() for _ in started), sep="\n")


if __name__ == "__main__":
    if sys.argv[1] == "pool":
        print(through_pool(7))
    elif sys.argv[1] == "program":
        print(through_program(7))
    else:
        shared()
