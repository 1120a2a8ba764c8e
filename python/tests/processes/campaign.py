"""Everything about processes, often enough that rare moments come up. Run by ``make processes``.

``campaign.py [PART...]`` prints a line for each thing that was tried, and what went wrong. Times
are measured here and judged; the tests beside this directory judge none.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from processes import runner  # noqa: E402
from processes.runner import Program, crowd  # noqa: E402
from test_processes_ends import WAYS, check, interrupted  # noqa: E402

LEASE_SECONDS = 1
LEASE = {"THRIFTY_LEASE": f"{LEASE_SECONDS}s"}
Part = Callable[[pathlib.Path, int], Iterator[str]]


def matrix(room: pathlib.Path, times: int) -> Iterator[str]:
    """Children of a process that uses the cache, in every cell."""
    for method in runner.METHODS:
        for moment in runner.MOMENTS:
            for vehicle in runner.VEHICLES:
                cell = (method, moment, vehicle, times)
                place = room / "-".join(cell[:3])
                yield runner.run(place, "matrix", *cell, seconds=60 + 10 * times).strip()
                check(place)
                shutil.rmtree(place)


def threads(room: pathlib.Path, times: int) -> Iterator[str]:
    """64 threads, a thousand calls each."""
    yield runner.run(room, "many", "threads", 64, 5 * times, seconds=1200).strip()
    check(room)


def children(room: pathlib.Path, times: int) -> Iterator[str]:
    """64 forked children at once, again and again."""
    yield runner.run(room, "many", "children", 64, times, seconds=60 + 20 * times).strip()
    check(room)


def herds(room: pathlib.Path, times: int) -> Iterator[str]:
    """Processes that want one operation, which takes two seconds."""
    for count in (8, 64, 200):
        place = room / str(count)
        members = (Program(place, "crowd", "timed", 7, 1) for _ in range(count))
        with crowd(*members) as programs:
            said = [program.result(300) for program in programs]
        yield f"{count} processes: {released(said)}"
        assert bodies(place) == 1, bodies(place)


def waiters(room: pathlib.Path, times: int) -> Iterator[str]:
    """A thousand threads in twenty processes that want one operation at the same moment."""
    with crowd(*(Program(room, "crowd", "timed", 7, 50) for _ in range(20))) as programs:
        for program in programs:
            assert program.heard() == "ready"
        for program in programs:
            program.tell("go")
        said = [program.result(300) for program in programs]
    yield f"1000 threads in 20 processes: {released(said)}"
    assert bodies(room) == 1, bodies(room)


def released(said: list[str]) -> str:
    """How long after the end of the body its value was there, for all who waited."""
    lines = [line.partition(" ")[::2] for text in said for line in text.splitlines()]
    (computed,) = [float(rest) for word, rest in lines if word == "computed"]
    values = [json.loads(rest) for word, rest in lines if word == "values"]
    # Those who called later had only to look it up.
    waited = [at - computed for some in values for began, at in some if began < computed]
    late = sum(time > 1 for time in waited)
    assert late * 100 <= len(waited), f"{late} of {len(waited)} waited longer than a second"
    return f"1 execution, {len(waited)} waited, {spread(waited)} from its end to their value"


def spread(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum."""
    ordered = sorted(seconds)
    worst = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    numbers = (statistics.median(ordered), worst, ordered[-1])
    return "median {:.3f} s, 99 % {:.3f} s, most {:.3f} s".format(*numbers)


def bodies(room: pathlib.Path) -> int:
    return len((room / "book").read_text().splitlines())


def kills(room: pathlib.Path, times: int) -> Iterator[str]:
    """A holder is killed while three others wait; then ten holders in a row."""
    took = []
    for number in range(max(1, times // 4)):
        place = room / str(number)
        with crowd(calling(place)) as programs:
            assert programs[0].heard().startswith("computing")
            programs += [calling(place) for _ in range(3)]
            programs[0].send(signal.SIGKILL)
            killed = time.monotonic()
            for program in programs[1:]:
                program.tell("go")
            said = [program.result().split() for program in programs[1:]]
        computing = [float(words[1]) for words in said if words[0] == "computing"]
        assert len(computing) == 1, said
        took += [computing[0] - killed]
        assert bodies(place) == 2
    assert max(took) <= LEASE_SECONDS + 1, spread(took)
    yield f"{len(took)} holders killed, 1 takeover each: {spread(took)} after the kill"

    place = room / "row"
    with crowd(*(calling(place) for _ in range(16))) as programs:
        left = list(programs)
        for _ in range(10):
            holder = next_to_compute(left)
            left.remove(holder)
            holder.send(signal.SIGKILL)
        for program in left:
            program.tell("go")
        for program in left:
            assert "values" in program.result()
    assert 11 <= bodies(place) <= 16, bodies(place)
    yield f"10 holders killed in a row, 6 left: {bodies(place)} bodies, every value right"
    check(place)


def calling(room: pathlib.Path) -> Program:
    program = Program(room, "crowd", "gated", 7, 1, **LEASE)
    assert program.heard() == "calling"
    return program


def next_to_compute(programs: list[Program]) -> Program:
    until = time.monotonic() + runner.WATCHDOG_SECONDS
    while time.monotonic() < until:
        for program in programs:
            if program.has_spoken():
                assert program.heard().startswith("computing")
                return program
        time.sleep(0.005)
    raise runner.Hang("nobody computes")


def suspensions(room: pathlib.Path, times: int) -> Iterator[str]:
    """A holder is stopped past its lease, and resumed after another has computed."""
    for number in range(max(1, times // 10)):
        place = room / str(number)
        with crowd(Program(place, "crowd", "run", 7, 1, **LEASE)) as programs:
            assert programs[0].heard() == "calling"
            assert programs[0].heard().startswith("computing")
            programs[0].send(signal.SIGSTOP)
            programs.append(calling(place))
            assert programs[1].heard().startswith("computing")
            programs[1].tell("go")
            assert programs[1].result().startswith("values ")
            programs[0].send(signal.SIGCONT)
            programs[0].tell("go")
            assert programs[0].result() == "outcome fenced\n"
        assert bodies(place) == 2
        check(place)
    yield f"{number + 1} holders suspended past their lease: all fenced, all callers with their value"


def interrupts(room: pathlib.Path, times: int) -> Iterator[str]:
    """SIGINT at a random moment of a program."""
    choose = random.Random(times)
    ends: collections.Counter[str] = collections.Counter()
    for seed in range(5 * times):
        with crowd(Program(room, "interrupted", seed)) as (program,):
            assert program.heard() == "ready"
            time.sleep(choose.random() * 0.4)
            program.send(signal.SIGINT)
            ends[interrupted(program)] += 1
        if seed % 50 == 0:
            check(room)
    check(room)
    assert ends["interrupted"] * 10 > 5 * times, ends
    yield f"{5 * times} interrupts: {dict(ends)}, the cache is whole"


def exits(room: pathlib.Path, times: int) -> Iterator[str]:
    """Every way to end an interpreter, and how long it takes from the last line of the program."""
    for way, code in WAYS.items():
        took = []
        for number in range(max(1, times // 10)):
            place = room / f"{way}-{number}"
            with crowd(Program(place, "exits", way)) as (program,):
                if way != "exit-in-body":
                    assert program.heard() == "ready"
                ready = time.monotonic()
                _, err = program.ended()
                took.append(time.monotonic() - ready)
            assert (program.process.returncode, err) == (code, ""), err
            check(place)
        assert max(took) <= 2.5, f"{way}: {spread(took)}"
        yield f"exit {way}: {len(took)} times, {spread(took)} until the end"


PARTS: dict[str, Part] = {
    "matrix": matrix,
    "threads": threads,
    "children": children,
    "herds": herds,
    "waiters": waiters,
    "kills": kills,
    "suspensions": suspensions,
    "interrupts": interrupts,
    "exits": exits,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--times", type=int, default=200, help="rounds of each cell of the matrix")
    given = parser.parse_args()
    wrong = 0
    for name in given.parts or PARTS:
        room = pathlib.Path(tempfile.mkdtemp(prefix=f"thrifty-{name}-"))
        began = time.monotonic()
        try:
            for line in PARTS[name](room, given.times):
                print(line, flush=True)
            shutil.rmtree(room)
        except Exception:
            wrong += 1
            print(f"{name} went wrong, see {room}", traceback.format_exc(), sep="\n", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(given.parts or PARTS)} parts: {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
