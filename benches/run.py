"""Measures Thrifty beside its peers in one run and writes the table. Run by ``make bench``.

Every system is installed into an environment of its own under ``build/bench``. Each measure is
taken in rounds, the systems in turn within a round, each time in a new process; a first round
fills the caches and is not counted. Nothing here is a test: a row over its budget is said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROOMS = ROOT / "build" / "bench"
REPORT = ROOT / "docs" / "benchmarks.md"
SAMPLES = HERE / "samples.json"
"""What the page was last written from: a measure taken again replaces its own samples only."""

ROUNDS = 5
TIMEOUT_SECONDS = 60.0

ENVIRONMENTS = {
    "thrifty": "thrifty",
    "joblib": "joblib",
    "joblib_mmap": "joblib",
    "diskcache": "diskcache",
    "flytekit": "flytekit",
    "filelock": "filelock",
    "limit": "limit",
    "hash_pandas": "limit",
}
"""For every system, the environment it runs in."""

PEERS = ("joblib", "diskcache", "flytekit")
ALL = ("thrifty", *PEERS)
MICRO, MILLI = 1e-6, 1e-3
MEBIBYTE = 1024.0**2
TOUCHED_BYTES = 10e6


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    measure: str
    title: str
    budget: float | None = None
    """What Thrifty may take: seconds, or bytes of memory. A multiple of the limit if relative."""
    relative: bool = False
    sample: str = "seconds"
    """``first`` for the first run of a measure, which computes everything."""
    systems: tuple[str, ...] = ALL
    empty_cache: bool = False
    """Whether every round begins with an empty cache."""
    rounds: int = ROUNDS
    """In how many rounds it is taken: in fewer where one process of a system takes seconds."""


BESIDE = (
    ("limit", "BLAKE3 alone"),
    ("hash_pandas", "`hash_pandas_object`, 64 bits, no names or types"),
    ("joblib_mmap", "joblib mapped"),
    ("filelock", "filelock around a pickle"),
)
"""What has no column of its own."""

MAPPED = ("thrifty", "joblib", "joblib_mmap", "diskcache", "flytekit")
LIMITED = ("limit", *ALL)
OWN = ("thrifty",)
SERIAL = ("thrifty", "diskcache", "filelock")
HASHED = ("hash_pandas", *ALL)
ROWS = [
    Row("trivial_hit", "trivial hit, same process", 5 * MICRO),
    Row("fresh", "fresh process, one hit, over a bare interpreter", 25 * MILLI),
    Row("chain_100", "chain of 100 hits", empty_cache=True),
    Row("chain_1000", "chain of 1,000 hits", 10 * MILLI, empty_cache=True),
    Row("chain_10000", "chain of 10,000 hits", empty_cache=True),
    Row("chain_1000", "chain of 1,000 misses", sample="first", empty_cache=True),
    Row("misses", "miss of an empty body, each of 1,000", 100 * MICRO, empty_cache=True),
    Row("key_array_100", "key of a 100 MB array by value", 1.1, relative=True, systems=LIMITED),
    Row("key_array_1000", "key of a 1 GB array by value", 1.1, relative=True, systems=LIMITED),
    Row("fed_array", "the 1 GB array as output of a cached step, both hits", 1 * MILLI),
    Row("key_numbers", "key of a frame of 10 M x 4 numbers", 0.1, systems=("limit", *HASHED)),
    Row("key_text", "key of a frame of 1 M rows with a text column", 0.1, systems=HASHED, rounds=2),
    Row("out_array", "1 GB array out of a hit", 1 * MILLI, systems=MAPPED),
    Row("out_array_sum", "1 GB array out of a hit, and its sum", systems=MAPPED),
    Row("out_numbers", "frame of 10 M x 4 numbers out of a hit", systems=MAPPED),
    Row("out_text", "frame of 1 M rows with a text column out of a hit", 50 * MILLI),
    Row(
        "memory",
        "resident memory of a consumer that reads 1 % of a 1 GB hit",
        TOUCHED_BYTES + 64 * MEBIBYTE,
        systems=MAPPED,
    ),
    Row(
        "code_cold",
        "fingerprint of a function that reaches 200 helpers, first in a process",
        30 * MILLI,
        systems=OWN,
    ),
    Row("code_warm", "whether that fingerprint still holds", 20 * MICRO, systems=OWN),
    Row(
        "serialized_misses",
        "miss of an empty body with `serialize=True` and nobody else, each of 1,000",
        1 * MILLI,
        systems=SERIAL,
        empty_cache=True,
    ),
    Row("serialized_hit", "trivial hit with `serialize=True`", 5 * MICRO, systems=SERIAL),
    Row(
        "woken",
        "from the end of a body in another process to the value of who waits for it",
        50 * MILLI,
        systems=SERIAL,
        empty_cache=True,
    ),
    Row("graph", "graph of 10,000 nodes, all hits", 100 * MILLI, empty_cache=True),
    Row("grid_python", "`sweep` over a grid of 10,000 trials, all hits", systems=OWN),
    Row(
        "grid_file",
        "`thrifty run` of a grid of 10,000 trials, all hits, whole process",
        2,
        systems=OWN,
    ),
    Row(
        "commands",
        "`thrifty run` of 1,000 commands `true`, one at a time, over a shell; each",
        5 * MILLI,
        systems=OWN,
        empty_cache=True,
    ),
]


@dataclass
class Samples:
    """What one system gave for one measure."""

    seconds: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    proofs: list[str] = field(default_factory=list[str])
    hit: bool = True
    failure: str = ""
    version: str = ""
    day: str = field(default_factory=date.today().isoformat)
    load: float = 0.0
    """The machine's load before the measure began."""

    def add(self, result: dict[str, Any]) -> None:
        """Takes in what one process printed."""
        self.seconds += result["seconds"]
        self.first += result.get("first", [])
        self.hit = self.hit and result.get("hit", True)
        self.version = result.get("version", self.version)

    def of(self, row: Row) -> list[float]:
        """The samples that the row shows."""
        return self.first if row.sample == "first" else self.seconds


Taken = dict[tuple[str, str], Samples]


class Failure(Exception):
    """A system did not finish a measure; the text says why."""


def python(environment: str) -> Path:
    """The interpreter of an environment."""
    return ROOMS / environment / "bin" / "python"


def install(environment: str, wheel: Path | None) -> None:
    """Makes the environment, unless it is there and its requirements are the same."""
    folder = ROOMS / environment
    requirements = HERE / "requirements" / f"{environment}.txt"
    wanted = requirements.read_text() + (requirements.parent / "values.txt").read_text()
    made = folder / ".made"
    if not made.exists() or made.read_text() != wanted:
        print(f"installing {environment}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip(environment, "--requirement", str(requirements))
        made.write_text(wanted)
    if wheel:
        pip(environment, "--no-deps", "--force-reinstall", str(wheel))


def pip(environment: str, *what: str) -> None:
    """Installs into an environment."""
    command = [python(environment), "-m", "pip", "install", "--quiet", *what]
    subprocess.run(command, check=True)


def output(command: list[str], timeout: float) -> str:
    """What a process prints; a failure if it fails or takes too long."""
    try:
        # Some systems leave copies of big values in the folder for temporary files.
        with tempfile.TemporaryDirectory(prefix="room-", dir=ROOMS) as scratch:
            done = subprocess.run(
                command,
                timeout=timeout,
                env={**os.environ, "PYTHONWARNINGS": "ignore", "TMPDIR": scratch},
                capture_output=True,
                text=True,
                cwd=HERE,
            )
    except subprocess.TimeoutExpired:
        raise Failure(f"stopped at {timeout:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise Failure(f"fails: {said[-1][:80]}")
    return done.stdout


class Bench:
    """One run of the benchmark."""

    def __init__(self, room: Path, systems: list[str], *, quick: bool) -> None:
        """Keeps the caches of the systems in the room."""
        self.room = room
        self.systems = systems
        self.quick = quick

    def take(self, row: Row) -> dict[str, Samples]:
        """Every system's samples for the measure of a row."""
        load = round(os.getloadavg()[0], 1)
        taken = {system: Samples(load=load) for system in row.systems if system in self.systems}
        rounds = 1 if self.quick else row.rounds
        for number in range(rounds if row.empty_cache else rounds + 1):
            for system, samples in taken.items():
                if not samples.failure:
                    counted = row.empty_cache or number > 0
                    self.once(row, system, samples, counted=counted)
        for system in taken:
            shutil.rmtree(self.room / f"{row.measure}-{system}", ignore_errors=True)
        return taken

    def once(self, row: Row, system: str, samples: Samples, *, counted: bool) -> None:
        """One process of one system."""
        folder = self.room / f"{row.measure}-{system}"
        if row.empty_cache:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        measured = self.fresh if row.measure == "fresh" else self.measured
        try:
            result = measured(row.measure, system, folder)
        except Failure as failure:
            samples.failure = str(failure)
            return
        if "proof" in result and not row.empty_cache:
            samples.proofs.append(result["proof"])
            samples.hit = samples.hit and len(set(samples.proofs)) == 1
        if counted:
            samples.add(result)

    def measured(self, measure: str, system: str, folder: Path) -> dict[str, Any]:
        """What the system's process says of a measure."""
        script = HERE / "systems" / f"{system}_system.py"
        pace = "quick" if self.quick else "full"
        command = [str(python(ENVIRONMENTS[system])), str(script), measure, str(folder), pace]
        return json.loads(output(command, TIMEOUT_SECONDS).splitlines()[-1])

    def fresh(self, measure: str, system: str, folder: Path) -> dict[str, Any]:
        """How much longer a program with one hit takes than the bare interpreter."""
        interpreter = str(python(ENVIRONMENTS[system]))
        script = str(HERE / "systems" / f"{measure}_{system}.py")
        bare, _ = self.timed([interpreter, "-c", "pass"])
        whole, said = self.timed([interpreter, script, str(folder)])
        return {"seconds": [whole - bare], "proof": said.strip()}

    def timed(self, command: list[str]) -> tuple[float, str]:
        """How long a process takes, and what it prints."""
        began = time.perf_counter()
        said = output(command, TIMEOUT_SECONDS)
        return time.perf_counter() - began, said


def seconds(value: float) -> str:
    """A time with three digits and the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", MILLI), ("µs", MICRO)):
        if abs(value) >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    raise AssertionError("the smallest unit takes every value")


def mebibytes(value: float) -> str:
    """An amount of memory."""
    return f"{value / MEBIBYTE:.0f} MiB"


def unit(row: Row) -> Callable[[float], str]:
    """How the row's values are written."""
    return mebibytes if row.measure == "memory" else seconds


def cells(rows: list[Row], taken: Taken) -> Iterator[list[str]]:
    """The lines of the table."""
    for row in rows:
        own = taken.get((row.measure, "thrifty"), Samples()).of(row)
        shown = [cell(row, taken.get((row.measure, system)), own) for system in ALL]
        extra = "".join(
            f"; {name} {cell(row, taken.get((row.measure, system)), own)}"
            for system, name in BESIDE
            if (row.measure, system) in taken
        )
        budget, verdict = judged(row, own, taken)
        yield [row.title + extra, budget, verdict, *shown, when(row, taken)]


def when(row: Row, taken: Taken) -> str:
    """The day of the row's measure and the machine's load before it."""
    days = {s.day: s.load for (measure, _), s in taken.items() if measure == row.measure}
    return ", ".join(f"{day}, {load:.1f}" for day, load in sorted(days.items()))


def cell(row: Row, samples: Samples | None, own: list[float]) -> str:
    """Median (min - max), how many times Thrifty's, and whether it was no hit at all."""
    if samples is None:
        return "–"
    values = samples.of(row)
    if samples.failure or not values:
        return samples.failure or "–"
    write = unit(row)
    middle = f"**{write(median(values))}** ({write(min(values))} – {write(max(values))})"
    compared = values is not own and own and median(own) > 0
    ratio = f", {median(values) / median(own):.2g}×" if compared else ""
    return middle + ratio + ("" if samples.hit else ", **no hit**")


def judged(row: Row, own: list[float], taken: Taken) -> tuple[str, str]:
    """The row's budget, and whether Thrifty kept it."""
    if row.budget is None:
        return "–", "–"
    allowed, text = row.budget, f"≤ {unit(row)(row.budget)}"
    if row.relative:
        limit = taken.get((row.measure, "limit"), Samples()).seconds
        text = f"≤ {row.budget:g} × BLAKE3"
        if not limit:
            return text, "–"
        allowed *= median(limit)
    if not own:
        return text, "–"
    return text, "kept" if median(own) <= allowed else f"**over**, {median(own) / allowed:.2g}×"


def report(rows: list[Row], taken: Taken, command: str) -> str:
    """The page."""
    header = ["what", "budget", "", *ALL, "day, load before"]
    lines = [header, ["---"] * len(header), *cells(rows, taken)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    versions = {system: s.version for (_, system), s in taken.items() if s.version}
    return PAGE.format(
        command=command,
        machine=machine(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        rounds=ROUNDS,
        limit=TIMEOUT_SECONDS,
        table=table,
    )


PAGE = """# Benchmarks

Written by `{command}`. {machine}. {versions}.

Cells read **median** (min – max), and for a peer how many times Thrifty's median it took. Every
measure was taken in {rounds} rounds, the systems in turn, each time in a new process of at
most {limit:.0f} s; *no hit* means that the peer ran the body again. Budgets are Thrifty's own.
*mapped* is `mmap_mode="r"`: read-only and not verified. flytekit and diskcache do not have the
code in their keys.

{table}
"""


QUICK = "# A quick check: sizes and counts are a hundredth, once each; no benchmark"


def machine() -> str:
    """What this runs on."""
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{processor()}, {cores} cores, {memory:.0f} GB, {system}"


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def main() -> None:
    """Installs, measures, writes."""
    options = argparse.ArgumentParser(description="Measures Thrifty beside its peers.")
    options.add_argument("--wheel", type=Path, help="Thrifty's; without it only the peers run")
    options.add_argument("--quick", action="store_true", help="small and once; only prints")
    options.add_argument("--only", nargs="+", metavar="MEASURE", help="these measures again")
    chosen = options.parse_args()
    systems = [name for name in ENVIRONMENTS if name != "thrifty" or chosen.wheel]
    rows = [row for row in ROWS if not chosen.only or row.measure in chosen.only]
    asked = {system for row in rows for system in row.systems if system in systems}
    for environment in sorted({ENVIRONMENTS[system] for system in asked}):
        install(environment, chosen.wheel if environment == "thrifty" else None)
    kept = not chosen.quick and chosen.wheel is not None
    taken = read_samples() if kept else {}
    with tempfile.TemporaryDirectory(prefix="room-", dir=ROOMS) as room:
        bench = Bench(Path(room), systems, quick=chosen.quick)
        for measure, row in {row.measure: row for row in rows}.items():
            print(row.title, flush=True)
            taken |= {(measure, system): got for system, got in bench.take(row).items()}
            if kept:
                write_samples(taken)
                REPORT.write_text(report(ROWS, taken, "make bench"), encoding="utf-8")
    page = report(rows, taken, "make bench")
    print(page.replace("# Benchmarks", QUICK) if chosen.quick else page)


def read_samples() -> Taken:
    """The samples of the measures taken before."""
    if not SAMPLES.exists():
        return {}
    lines = json.loads(SAMPLES.read_text(encoding="utf-8"))
    return {(line["measure"], line["system"]): Samples(**line["samples"]) for line in lines}


def write_samples(taken: Taken) -> None:
    """Keeps the samples, so that an interrupted benchmark loses nothing but its last measure."""
    lines = [
        {"measure": measure, "system": system, "samples": asdict(samples)}
        for (measure, system), samples in taken.items()
    ]
    SAMPLES.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
