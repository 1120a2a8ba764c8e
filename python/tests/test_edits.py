"""This edit must run again, that one must not: real trees, each edited and run in a fresh process.

Each tree under `edits/` is run once, which fills a cache. For each case the tree and the cache are
copied, the copy is edited, and the program is run in a new process. What ran is what the cache
recorded; what the tasks gave is compared with what they give without a cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import thrifty
from edits.cases import CASES
from edits.changes import Case

TREES = Path(__file__).parent / "edits"
SDK = Path(thrifty.__file__).resolve().parents[1]

PROGRAMS = {
    "package": "main.py",
    "scripts": "report.py",
    "program": "program.py",
    "flows": "flow.py",
}
# A version and `code="function"` say that the user answers for what is left out.
TRUSTED = {"with_version", "with_function"}

SITE = """
import os, site
site.addsitedir(os.environ["EDITS_SITE"])
"""


@dataclass(frozen=True)
class Told:
    """What a process told of its tasks."""

    given: dict[str, str]
    right: dict[str, str]
    ran: list[str]


@dataclass(frozen=True)
class Room:
    """A tree and the cache of whoever runs it."""

    root: Path
    home: Path

    def run(self, tree: str, at: str | None = None, variables: Mapping[str, str] = {}) -> Told:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("THRIFTY_", "PYTHON"))
        }
        search = [SDK, TREES, self.root.parent / "startup", self.root / "src"]
        environment = {
            **inherited,
            "THRIFTY_HOME": str(self.home),
            "THRIFTY_PROJECT": "edits",
            "THRIFTY_STRICT": "1",
            "EDITS_SITE": str(self.root / "site-packages"),
            "PYTHONPATH": os.pathsep.join(map(str, search)),
            # Two edits within one second could leave the interpreter with the code of the first.
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }
        done = subprocess.run(
            [sys.executable, str(self.root / PROGRAMS[tree])],
            cwd=self.root / (at or "."),
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Told(**json.loads(done.stdout.splitlines()[-1]))


def install(tree: str, to: Path) -> None:
    """The tree as a user has it: with packages, one of them editable."""
    shutil.copytree(TREES / tree, to, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        TREES / "packages", to / "site-packages", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        TREES / "editable", to / "editable", ignore=shutil.ignore_patterns("__pycache__")
    )
    link(to)
    startup = to.parent / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text(SITE, encoding="utf-8")


def link(root: Path) -> None:
    """What `pip install --editable` writes."""
    pth = root / "site-packages" / "__editable__.rates-0.1.pth"
    pth.write_text(f"{root / 'editable' / 'src'}\n", encoding="utf-8")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Room, Told]]:
    """Every tree, run once."""
    rooms = {}
    for tree in PROGRAMS:
        base = tmp_path_factory.mktemp(f"warm-{tree}")
        install(tree, base / "work")
        room = Room(base / "work", base / "home")
        rooms[tree] = (room, room.run(tree))
    return rooms


def judge(case: Case, warm: dict[str, tuple[Room, Told]], base: Path) -> Told:
    """Applies the edit to a copy, and runs the copy."""
    source, _ = warm[case.tree]
    room = Room(base / case.folder, base / "home")
    shutil.copytree(source.root, room.root)
    shutil.copytree(source.root.parent / "startup", base / "startup")
    shutil.copytree(source.home, room.home)
    link(room.root)
    for edit in case.edits:
        edit(room.root)
    return room.run(case.tree, case.at, case.variables)


@pytest.fixture(scope="session")
def futures(request, warm, tmp_path_factory) -> dict[str, Future[Told]]:
    """All cases that were asked for, a few at a time."""
    chosen = [
        item.callspec.params["case"]
        for item in request.session.items
        if "case" in getattr(getattr(item, "callspec", None), "params", {})
        and isinstance(item.callspec.params["case"], Case)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            str(case): pool.submit(judge, case, warm, tmp_path_factory.mktemp("case"))
            for case in chosen
            if sys.version_info >= case.needs
        }


@pytest.mark.parametrize("tree", PROGRAMS)
def test_a_second_process_runs_nothing(tree: str, warm: dict[str, tuple[Room, Told]]) -> None:
    room, first = warm[tree]
    assert first.given == first.right
    assert room.run(tree).ran == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_edit_reruns_what_it_can_change_and_nothing_else(
    case: Case, futures: dict[str, Future[Told]], warm: dict[str, tuple[Room, Told]]
) -> None:
    if str(case) not in futures:
        pytest.skip(f"needs Python {case.needs}")
    told, before = futures[str(case)].result(), warm[case.tree][1]
    stale = {
        name: (told.given[name], told.right[name])
        for name in told.given
        if told.given[name] != told.right[name] and name not in TRUSTED | case.trusts
    }
    assert stale == {}
    assert set(told.ran) == case.reruns
    assert (told.given != before.given) == (bool(case.reruns) and not case.silent)


# What was measured in other caches: the edits of a step that calls a helper, a class and a package,
# reads constants, a variable and a file. The best of twelve had ten of them right.
FOURTEEN = [
    "own body",
    "helper",
    "transitive helper",
    "method",
    "own constant",
    "constant of a helper",
    "upgrade of a package",
    "variable that is read",
    "file behind a path",
    "comment",
    "docstring of a helper",
    "lines moved down",
    "local renamed",
    "unrelated helper added",
]


def test_the_fourteen_edits_are_among_the_cases() -> None:
    found = {case.name: bool(case.reruns) for case in CASES if case.tree == "package"}
    assert [found[name] for name in FOURTEEN] == [True] * 9 + [False] * 5


def test_there_are_enough_cases_and_none_twice() -> None:
    names = [str(case) for case in CASES]
    assert len(set(names)) == len(names) >= 120
    assert all(names.count(name) == 1 for name in names)
