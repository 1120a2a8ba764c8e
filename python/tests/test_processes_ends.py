"""Interrupts at any moment, and every way to end an interpreter that uses the cache."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest
from processes import runner
from processes.runner import Program, crowd

# Each way of `exits.py`, and the code that it ends with.
WAYS = {
    "nothing": 0,
    "body": 0,
    "busy-body": 0,
    "run": 0,
    "busy-run": 0,
    "processes": 0,
    "waiting": 0,
    "publishing": 0,
    "thread": 0,
    "exit-in-thread": 0,
    "exit-in-body": 5,
    "exit-at-once": 6,
    "exit-at-once-in-body": 7,
    "generator": 0,
    "late": 0,
    "at-exit": 0,
    "pool": 0,
    "terminated": -signal.SIGTERM,
}


def check(room):
    """The cache is whole, and no body ran twice in one call."""
    command = [sys.executable, "-m", "thrifty", "fsck"]
    checked = subprocess.run(command, env=runner.environment(room), capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    book = room / "book"
    lines = book.read_text().splitlines() if book.exists() else []
    calls = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize("way", WAYS)
def test_an_interpreter_ends_without_a_word(tmp_path, way):
    with crowd(Program(tmp_path, "exits", way)) as (program,):
        out, err = program.ended()
    assert (program.process.returncode, err) == (WAYS[way], "")
    assert out == ("" if way == "exit-in-body" else "ready\n")
    check(tmp_path)


def test_an_interpreter_ends_with_the_error_of_a_body(tmp_path):
    with crowd(Program(tmp_path, "exits", "error")) as (program,):
        _, err = program.ended()
    assert program.process.returncode == 1
    assert err.endswith("raise LookupError(n)\nLookupError: 1\n")
    assert err.count("Traceback") == 1
    check(tmp_path)


def test_an_interpreter_ends_while_a_thread_waits_for_another_process(tmp_path):
    with crowd(Program(tmp_path, "exits", "holding")) as programs:
        assert programs[0].heard() == "ready"
        programs.append(Program(tmp_path, "exits", "waiting-for-another"))
        assert programs[1].result() == "ready\n"
        programs[0].tell("go")
        assert programs[0].result() == ""
    check(tmp_path)


def interrupted(program: Program) -> str:
    """How a program ended that was interrupted: `interrupted` or `finished`."""
    out, err = program.ended()
    if out.endswith("done\n"):
        assert (program.process.returncode, err) == (0, "")
        return "finished"
    assert program.process.returncode == -signal.SIGINT, (program.process.returncode, err)
    assert err.endswith("\nKeyboardInterrupt\n"), err
    for word in ("Exception ignored", "panicked", "Fatal", "Warning", "Error:"):
        assert word not in err, err
    return "interrupted"


def test_an_interrupt_at_any_moment(tmp_path):
    choose = random.Random(1)
    ends = set()
    for seed in range(20):
        with crowd(Program(tmp_path, "interrupted", seed)) as (program,):
            assert program.heard() == "ready"
            # Any moment will do: nothing waits for this time.
            time.sleep(choose.random() * 0.3)
            program.send(signal.SIGINT)
            ends.add(interrupted(program))
    assert "interrupted" in ends
    check(tmp_path)
