"""Members of a crowd: processes that all call one operation.

``crowd.py OPERATION NUMBER THREADS`` calls it from every thread at once and says when. The body of
``gated`` says that it computes and waits for a line, so does that of ``forking`` before and after
it forks; that of ``timed`` takes a while. Times are those of the machine's monotonic clock, which
all processes share.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import operations
from operations import SHARED, call_name, enter, hear, say
from thrifty import task, workflow

TAKES = float(os.environ.get("CROWD_SECONDS", "2"))


@task(cache=SHARED)
def gated(n: int, call: str) -> int:
    enter("gated", n, call)
    say("computing", time.monotonic())
    word = hear()
    if word == "fail":
        raise LookupError(n)
    return n * 3


@task(cache=SHARED)
def timed(n: int, call: str) -> int:
    enter("timed", n, call)
    time.sleep(TAKES)
    say("computed", time.monotonic())
    return n * 3


@task(cache=SHARED)
def forking(n: int, call: str) -> int:
    """Its child ends by unwinding the body, as if it were its own."""
    enter("forking", n, call)
    say("computing", time.monotonic())
    hear()
    child = os.fork()
    if child == 0:
        sys.exit(0)
    say("forked", os.waitpid(child, 0)[1])
    hear()
    return n * 3


@workflow
def gated_run(n: int, call: str) -> int:
    return gated(n, call)


def call(operation: str, number: int) -> tuple[float, float]:
    """Calls, and gives when it did and when the value was there."""
    began = time.monotonic()
    made = {"gated": gated, "timed": timed, "forking": forking}[operation](number, call_name())
    assert made == number * 3
    return began, time.monotonic()


def main(operation: str, number: str, threads: str) -> None:
    operations.begin()
    # What `sys.exit` raises gives the reservation back on its way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if operation == "run":
        say("calling")
        run = gated_run.run(int(number), call_name())
        assert run.value == int(number) * 3
        say("outcome", run.nodes[-1]["outcome"])
        return
    if threads == "1":
        say("calling")
        say("values", json.dumps([call(operation, int(number))]))
        return
    together = threading.Barrier(int(threads) + 1)
    values: list[tuple[float, float]] = []

    def member() -> None:
        together.wait()
        values.append(call(operation, int(number)))

    members = [threading.Thread(target=member) for _ in range(int(threads))]
    for one in members:
        one.start()
    say("ready")
    hear()
    together.wait()
    for one in members:
        one.join()
    assert len(values) == int(threads)
    say("values", json.dumps(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
