"""The directory of the cache is removed, moved or replaced while a program has it open."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

PROGRAM = """
    import pathlib
    import sys
    from thrifty import Cache, task, workflow

    @task(cache=Cache(observe=False, version="1"))
    def answer(n: int) -> str:
        return pathlib.Path("answer").read_text()

    @workflow
    def flow(n: int):
        return answer(n)

    # Ready, and again after each line.
    print(answer(1), flush=True)
    for line in sys.stdin:
        value = flow(1) if line.strip() == "flow" else answer(int(line))
        print(value, flush=True)
    """


class Session:
    """A program that has the cache open, and calls when it is told to."""

    def __init__(self, programs) -> None:
        programs.write("main.py", PROGRAM)
        self.programs = programs
        programs.write("answer", "old")
        self.process = programs.start("main.py", stdin=subprocess.PIPE)
        assert self.process.stdout.readline() == "old\n"

    def call(self, what) -> str:
        print(what, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def elsewhere(self) -> str:
        """Another program calls."""
        self.programs.write("answer", "new")
        return self.programs.run("main.py").strip()

    def end(self) -> str:
        _, err = self.process.communicate(timeout=120)
        return err


@pytest.fixture
def session(programs):
    session = Session(programs)
    yield session
    session.end()


def away(home, how):
    if how == "removed":
        shutil.rmtree(home)
    elif how == "moved":
        home.rename(home.with_name("aside"))
    else:
        (home / "catalog.sqlite").unlink()


@pytest.mark.parametrize("how", ["removed", "moved", "the catalog alone"])
@pytest.mark.parametrize("what", ["1", "flow"])
def test_the_new_one_counts(session, home, how, what):
    away(home, how)
    assert session.elsewhere() == "new"
    assert session.call(what) == "new"


def test_what_is_invalidated_there_is_obeyed(session, home, programs):
    shutil.rmtree(home)
    assert session.elsewhere() == "new"
    said = programs.run("-m", "thrifty", "invalidate", "--operation", "*answer", "--yes", "--json")
    assert json.loads(said)["entries"] == 1
    programs.write("answer", "newer")
    assert session.call("1") == "newer"


def test_what_is_computed_is_kept_there(session, home, programs):
    shutil.rmtree(home)
    assert session.elsewhere() == "new"
    assert session.call("2") == "new"
    programs.write("answer", "newer")
    other = programs.start("main.py", stdin=subprocess.PIPE)
    out, _ = other.communicate("2\n3\n", timeout=120)
    assert out.split() == ["new", "new", "newer"]


def test_a_program_that_ends_says_nothing(session, home):
    shutil.rmtree(home)
    assert session.call("1") == "old"
    assert session.end() == ""
