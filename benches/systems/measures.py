"""What is measured, once for all systems: the bodies, and how each is called.

A system is a decorator for a cached function and one for a workflow. Its file hands them to
``main``, which runs one measure and prints one line of JSON. Bodies return the time at which they
ran, so a result that comes twice is a hit, and a result that changes is none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns, perf_counter
from typing import Any

import numpy as np
import pandas as pd

MEGABYTE = 1_000_000
TOUCHED_SHARE = 0.01


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The workflow of a system that has none: a function that calls cached functions."""
    return function


@dataclass(frozen=True)
class System:
    """What a system offers."""

    cached: Callable[..., Any]
    version: str
    workflow: Callable[..., Any] = plain
    serialized: Callable[..., Any] = plain
    """The decorator for a cached function that one process computes while others wait."""


def stamp(x: int) -> int:
    """A trivial step."""
    return monotonic_ns()


def step(x: int) -> int:
    """A trivial step of a chain; its result depends on when it ran."""
    return x + 1 + monotonic_ns() % 1_000_003


def join(x: int, y: int) -> int:
    """A trivial step of a graph."""
    return (x + y) % 1_000_003


def empty(x: int) -> int:
    """As little as a body can do."""
    return x


def make_array(megabytes: int) -> np.ndarray:
    """An array of so many MB."""
    made = np.arange(megabytes * MEGABYTE // 8, dtype=np.float64)
    made[0] = monotonic_ns()
    return made


def take_array(x: np.ndarray) -> int:
    """A big input, a small result."""
    return monotonic_ns()


def numbers(rows: int) -> pd.DataFrame:
    """A frame of four columns of numbers."""
    return pd.DataFrame(
        {name: np.arange(rows, dtype=np.float64) + i for i, name in enumerate("abcd")}
    )


def texts(rows: int) -> pd.DataFrame:
    """A frame of three columns of numbers and one of text, all of it different."""
    made = pd.DataFrame(
        {name: np.arange(rows, dtype=np.float64) + i for i, name in enumerate("abc")}
    )
    made["name"] = [f"flight {i} to nowhere" for i in range(rows)]
    return made


def make_numbers(rows: int) -> pd.DataFrame:
    """A frame of numbers that shows when it was made."""
    made = numbers(rows)
    made.loc[0, "a"] = float(monotonic_ns())
    return made


def make_text(rows: int) -> pd.DataFrame:
    """A frame with a column of text that shows when it was made."""
    made = texts(rows)
    made.loc[0, "a"] = float(monotonic_ns())
    return made


def take_frame(x: pd.DataFrame) -> int:
    """A big input, a small result."""
    return monotonic_ns()


def alone(x: int) -> int:
    """As little as a body can do, while no other process computes it."""
    return x


def waited_for(x: int) -> int:
    """Computed until its starter says so; its result is the time at which it was let go."""
    print("holding", flush=True)
    sys.stdin.readline()
    return monotonic_ns()


SERIALIZED = (alone, waited_for)
TASKS = (stamp, step, join, empty, make_array, take_array, make_numbers, make_text, take_frame)


LONG = 1.0
"""Seconds after which a system is not asked again."""


@dataclass
class Measure:
    """One measure in the making."""

    system: System
    quick: bool
    repeat: int

    def sized(self, full: int) -> int:
        """A size, or a hundredth of it for a quick check."""
        return max(1, full // 100) if self.quick else full

    def hits(self, call: Callable[[], Any], seen: Callable[[Any], Any]) -> dict[str, Any]:
        """Calls once, then again and again: how long those took, and whether they were hits.

        A system that takes long is asked twice, and again only while that takes no second.
        """
        began = perf_counter()
        first = seen(call())
        first_seconds = perf_counter() - began
        seconds, results = [], []
        for _ in range(self.repeat):
            began = perf_counter()
            result = call()
            seconds.append(perf_counter() - began)
            results.append(seen(result))
            del result
            if len(seconds) > 1 and sum(seconds) > LONG:
                break
        hit = all(result == first for result in results)
        return {"first": [first_seconds], "seconds": seconds, "hit": hit, "proof": str(first)}


def itself(result: Any) -> Any:
    """A small result shows by itself when it was made."""
    return result


def first_number(result: Any) -> float:
    """What was written into a big result when it was made."""
    return float(result["a"].iloc[0] if isinstance(result, pd.DataFrame) else result[0])


def trivial_hit(measure: Measure) -> dict[str, Any]:
    """M1: per call, in batches."""
    calls, batches = (50, 2) if measure.quick else (1000, 7)
    first = stamp(1)
    seconds = []
    for _ in range(batches):
        began = perf_counter()
        for _ in range(calls):
            stamp(1)
        seconds.append((perf_counter() - began) / calls)
    return {"seconds": seconds, "hit": stamp(1) == first, "proof": str(first)}


def misses(name: str) -> Callable[[Measure], dict[str, Any]]:
    """A thousand calls never made before, per call."""

    def measured(measure: Measure) -> dict[str, Any]:
        # Looked up now: what stands here is put in its place after the import.
        function = globals()[name]
        calls = measure.sized(1000)
        seconds = []
        for _ in range(measure.repeat):
            start = monotonic_ns()
            began = perf_counter()
            for i in range(calls):
                function(start + i)
            seconds.append((perf_counter() - began) / calls)
        return {"seconds": seconds}

    return measured


def chain(steps: int) -> Callable[[Measure], dict[str, Any]]:
    """M3: each step takes the result of the one before."""

    def measured(measure: Measure) -> dict[str, Any]:
        count = measure.sized(steps)

        def chained() -> int:
            x = step(x=0)
            for _ in range(count - 1):
                x = step(x=x)
            return x

        return measure.hits(measure.system.workflow(chained), itself)

    return measured


def graph(measure: Measure) -> dict[str, Any]:
    """A hundred layers of a hundred steps, each taking two of the layer before; then one row."""
    side = 10 if measure.quick else 100

    def layered() -> int:
        layer = [step(x=i) for i in range(side)]
        for _ in range(side - 1):
            layer = [join(x=layer[i], y=layer[i - 1]) for i in range(side)]
        x = layer[0]
        for y in layer[1:]:
            x = join(x=x, y=y)
        return x

    return measure.hits(measure.system.workflow(layered), itself)


def key_array(megabytes: int) -> Callable[[Measure], dict[str, Any]]:
    """M4: a big array passed by value."""

    def measured(measure: Measure) -> dict[str, Any]:
        array = np.arange(measure.sized(megabytes) * MEGABYTE // 8, dtype=np.float64)
        return measure.hits(lambda: take_array(array), itself)

    return measured


def key_numbers(measure: Measure) -> dict[str, Any]:
    """M4: a frame of numbers passed by value."""
    frame = numbers(measure.sized(10_000_000))
    return measure.hits(lambda: take_frame(frame), itself)


def key_text(measure: Measure) -> dict[str, Any]:
    """M4: a frame with a column of text passed by value."""
    frame = texts(measure.sized(1_000_000))
    return measure.hits(lambda: take_frame(frame), itself)


def fed_array(measure: Measure) -> dict[str, Any]:
    """M4u: the big array is the output of a cached step."""
    megabytes = measure.sized(1000)

    def fed() -> int:
        return take_array(x=make_array(megabytes=megabytes))

    return measure.hits(measure.system.workflow(fed), itself)


def out_array(measure: Measure) -> dict[str, Any]:
    """M5: a big array out of a hit."""
    megabytes = measure.sized(1000)
    return measure.hits(lambda: make_array(megabytes), first_number)


def out_array_sum(measure: Measure) -> dict[str, Any]:
    """M5: a big array out of a hit, and one pass over it."""
    megabytes = measure.sized(1000)

    def summed() -> np.ndarray:
        array = make_array(megabytes)
        array.sum()
        return array

    return measure.hits(summed, first_number)


def out_numbers(measure: Measure) -> dict[str, Any]:
    """M5: a frame of numbers out of a hit."""
    rows = measure.sized(10_000_000)
    return measure.hits(lambda: make_numbers(rows), first_number)


def out_text(measure: Measure) -> dict[str, Any]:
    """M5: a frame with a column of text out of a hit."""
    rows = measure.sized(1_000_000)
    return measure.hits(lambda: make_text(rows), first_number)


def memory(measure: Measure) -> dict[str, Any]:
    """How much resident memory grows when a hundredth of a big array out of a hit is read."""
    megabytes = measure.sized(1000)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    array = make_array(megabytes)
    array[: int(len(array) * TOUCHED_SHARE)].sum()
    return {"seconds": [resident("VmHWM") - before], "proof": str(float(array[0]))}


def resident(field: str) -> int:
    """Memory of this process, in bytes: now (``VmRSS``) or at its highest (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def serialized_hit(measure: Measure) -> dict[str, Any]:
    """A hit on a function that one process computes while others wait; per call, in batches."""
    calls, batches = (50, 2) if measure.quick else (1000, 7)
    alone(1)
    seconds = []
    for _ in range(batches):
        began = perf_counter()
        for _ in range(calls):
            alone(1)
        seconds.append((perf_counter() - began) / calls)
    return {"seconds": seconds}


def woken(measure: Measure) -> dict[str, Any]:
    """From the end of a body in another process until who waits for its value has it."""
    command = [sys.executable, sys.argv[0], "holder", *sys.argv[2:]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    seconds = []
    with subprocess.Popen(command, text=True, bufsize=1, **pipes) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        for _ in range(2 if measure.quick else 20):
            n = monotonic_ns()
            print(n, file=holder.stdin, flush=True)
            assert holder.stdout.readline() == "holding\n"
            # By then this process waits.
            letting_go = threading.Timer(0.2, lambda: print(file=holder.stdin, flush=True))
            letting_go.start()
            ended = waited_for(n)
            seconds.append((monotonic_ns() - ended) / 1e9)
            letting_go.join()
            assert holder.stdout.readline() == "done\n"
        holder.communicate()
    return {"seconds": seconds}


def holder(measure: Measure) -> dict[str, Any]:
    """The other process of ``woken``."""
    while line := sys.stdin.readline():
        waited_for(int(line))
        print("done", flush=True)
    return {"seconds": []}


MEASURES: dict[str, Callable[[Measure], dict[str, Any]]] = {
    "trivial_hit": trivial_hit,
    "misses": misses("empty"),
    "chain_100": chain(100),
    "chain_1000": chain(1000),
    "chain_10000": chain(10_000),
    "graph": graph,
    "key_array_100": key_array(100),
    "key_array_1000": key_array(1000),
    "key_numbers": key_numbers,
    "key_text": key_text,
    "fed_array": fed_array,
    "out_array": out_array,
    "out_array_sum": out_array_sum,
    "out_numbers": out_numbers,
    "out_text": out_text,
    "memory": memory,
    "serialized_misses": misses("alone"),
    "serialized_hit": serialized_hit,
    "woken": woken,
    "holder": holder,
}


def main(opened: Callable[[str], System]) -> None:
    """Runs the measure that the command line names, in the folder it names."""
    name, folder, pace = sys.argv[1:]
    system = opened(folder)
    for task in TASKS:
        globals()[task.__name__] = system.cached(task)
    for task in SERIALIZED:
        globals()[task.__name__] = system.serialized(task)
    quick = pace == "quick"
    result = MEASURES[name](Measure(system, quick, repeat=2 if quick else 5))
    print(json.dumps({"version": system.version, **result}))
