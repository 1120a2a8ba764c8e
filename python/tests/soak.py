"""Many processes use one cache for as long as asked; run by ``make soak``, for a minute.

Every process calls tasks whose results it can tell, in an order of its own, removes entries now
and then, and forks children that do the same. Meanwhile the cache is collected every ten seconds
down to a budget that is too small for it, and workers are killed and started again. Some results
tell when they were computed; every second they are invalidated. The verdict is what the callers
saw: nothing may be wrong, older than an invalidation, raised, warned of or not stored, nor computed
twice where one is to compute.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings

from processes.runner import RACES
from thrifty import Cache, _native, task, workflow

COLLECT_SECONDS = 10.0
KILL_SECONDS = 3.0
INVALIDATE_SECONDS = 1.0
BUDGET = "20MB"


def note(n: int, call: str) -> None:
    """A body of `together` begins: one line, in one write, in the file that the starter reads."""
    book = os.open(os.environ["SOAK_BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(book, f"{n} {call} {os.getpid()}\n".encode())
    finally:
        os.close(book)


def read(name: str) -> int:
    """A number beside the book: the generation that bodies give, or the floor below which no call
    that begins now may be answered.
    """
    place = pathlib.Path(os.environ["SOAK_BOOK"]).with_name(name)
    return int(place.read_text()) if place.exists() else 0


def write(name: str, number: int) -> None:
    place = pathlib.Path(os.environ["SOAK_BOOK"]).with_name(name)
    whole = place.with_suffix(".new")
    whole.write_text(str(number))
    whole.replace(place)


@task(cache=Cache(version="1", observe=False))
def dated(n: int) -> int:
    return read("generation")


@task(cache=Cache(version="1", observe=False))
def around(n: int) -> int:
    return dated(n)


@task
def square(n: int) -> int:
    return n * n


@task(cache=Cache(serialize=True))
def shared(n: int) -> list[int]:
    return list(range(n))


@task(cache=Cache(version="1", ignore="call", observe=False, serialize=True))
def together(n: int, call: str) -> int:
    """Never asked for again once its value is known, so nothing removes it in between."""
    note(n, call)
    return n + 1


@task
def array(n: int):
    import numpy as np

    return np.full(20_000, n)


@task
def total(values) -> int:
    return int(values.sum())


@workflow
def pipeline(n: int) -> int:
    return square(total(array(n)))


def call(choose: random.Random, number: int, calls: int) -> None:
    """One call of whatever kind."""
    n = choose.randrange(200)
    kind = choose.randrange(9)
    if kind == 0:
        assert square(n) == n * n
    elif kind == 1:
        assert shared(n) == list(range(n))
    elif kind == 2:
        values = array(n)
        assert (values == n).all()
        values += 1
    elif kind == 3:
        assert pipeline(n) == (20_000 * n) ** 2
    elif kind == 4:
        assert pipeline.with_options(refresh="array", workers=2)(n) == (20_000 * n) ** 2
    elif kind == 5:
        assert square.map([n, n + 1]) == [n * n, (n + 1) ** 2]
    elif kind in (6, 7):
        floor = read("floor")
        found = dated(n) if kind == 6 else around(n)
        assert found >= floor, f"of generation {found}, after {floor} was invalidated"
    else:
        # The same number for all processes at about the same time.
        n = int(time.time() * 20)
        assert together(n, f"{number}-{os.getpid()}-{calls}") == n + 1


def forked(choose: random.Random, number: int) -> None:
    """A child calls a few times, and ends as an interpreter does."""
    child = os.fork()
    if child == 0:
        for calls in range(3):
            call(choose, number, -1 - calls)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a forked child ended with {status}"


def work(number: int, until: float) -> None:
    """Calls until the time has come; says how often, and how the calls went."""
    warnings.simplefilter("error")
    # Removals go on all the time, and may come between a computation and its commit.
    for race in RACES:
        warnings.filterwarnings("ignore", f".*{race}", RuntimeWarning)
    choose = random.Random(f"{number} {os.getpid()}")
    calls = 0
    while time.time() < until:
        call(choose, number, calls)
        calls += 1
        if calls % 500 == 0:
            forked(choose, number)
    print(json.dumps({"calls": calls}))


class Worker:
    """One process that calls, and is started again when it was killed."""

    def __init__(self, number: int, until: float) -> None:
        self.number = number
        command = [sys.executable, __file__, "--worker", str(number), "--until", str(until)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ended(self, counts: collections.Counter[str]) -> None:
        """Counts what it saw; what it complains of counts as wrong."""
        out, err = self.process.communicate()
        if self.process.returncode == -signal.SIGKILL:
            return
        if self.process.returncode != 0 or err:
            counts["wrong"] += 1
            print(err, file=sys.stderr, flush=True)
            return
        counts.update(json.loads(out))


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thrifty", *words], capture_output=True, text=True, check=False
    )


def invalidate() -> bool:
    """Whoever calls from now on is given what was computed since. Says whether it was done."""
    generation = read("generation") + 1
    write("generation", generation)
    done = command("invalidate", "--operation", "*.dated", "--yes")
    if done.returncode == 0:
        write("floor", generation)
        return True
    print(done.stdout, done.stderr, file=sys.stderr, flush=True)
    return False


def soak(processes: int, seconds: float, counts: collections.Counter[str]) -> None:
    """Has the processes work, with collections and kills in between."""
    until = time.time() + seconds
    workers = [Worker(number, until) for number in range(processes)]
    choose = random.Random(0)
    collect_every, kill_every = min(COLLECT_SECONDS, seconds / 2), min(KILL_SECONDS, seconds / 2)
    collect, kill = time.time() + collect_every, time.time() + kill_every
    date = time.time()
    while time.time() < until:
        time.sleep(0.2)
        for place, worker in enumerate(workers):
            if worker.process.poll() is not None and time.time() < until - 2:
                worker.ended(counts)
                counts["started again"] += 1
                workers[place] = Worker(worker.number, until)
        if time.time() >= kill:
            kill += kill_every
            counts["killed"] += 1
            choose.choice(workers).process.kill()
        if time.time() >= date:
            date = time.time() + INVALIDATE_SECONDS
            counts["invalidations" if invalidate() else "wrong"] += 1
        if time.time() >= collect:
            collect += collect_every
            counts["collections"] += 1
            remove = (
                "invalidate",
                "--operation",
                f"*.{choose.choice(['square', 'array'])}",
                "--yes",
            )
            for done in (command("gc", "--budget", BUDGET), command(*remove)):
                if done.returncode != 0:
                    counts["wrong"] += 1
                    print(done.stdout, done.stderr, file=sys.stderr, flush=True)
    for worker in workers:
        worker.ended(counts)


def executions(book: pathlib.Path, counts: collections.Counter[str]) -> None:
    """Counts the bodies of `together`: a second one of a key needs a death or a collection that
    explains it. And what could not be stored, of all that the history kept.
    """
    lines = [line.split() for line in book.read_text().splitlines()] if book.exists() else []
    counts["serialized"] = len({n for n, _, _ in lines})
    counts["again"] = len(lines) - counts["serialized"]
    totals = _native.totals()
    counts["not stored"] = sum(n for _, outcome, n in totals if outcome == "computed-not-stored")
    counts["twice in one call"] = len(lines) - len({(n, call) for n, call, _ in lines})


def main() -> int:
    """Starts the processes and gathers what they report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--room", type=pathlib.Path, help="where it is, or goes on")
    parser.add_argument("--worker", type=int)
    parser.add_argument("--until", type=float)
    given = parser.parse_args()
    if given.worker is not None:
        work(given.worker, given.until)
        return 0
    room = given.room or pathlib.Path(tempfile.mkdtemp(prefix="thrifty-soak-"))
    room.mkdir(exist_ok=True)
    home = os.environ.setdefault("THRIFTY_HOME", str(room / "home"))
    book = room / "book"
    os.environ["SOAK_BOOK"] = str(book)
    counts = collections.Counter[str]()
    soak(given.processes, given.seconds, counts)
    executions(book, counts)
    checked = command("fsck")
    print(checked.stdout.strip())
    counts["wrong"] += checked.returncode != 0
    counts["wrong"] += counts["twice in one call"]
    counts["wrong"] += counts["again"] > counts["killed"] + counts["collections"]
    counts["wrong"] += counts["not stored"] > 0
    told = ", ".join(
        f"{counts[name]} {name}"
        for name in (
            "killed",
            "started again",
            "collections",
            "invalidations",
            "not stored",
            "serialized",
            "again",
        )
    )
    print(
        f"{counts['calls']} calls by {given.processes} processes in {home}: {told}, {counts['wrong']} wrong"
    )
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
