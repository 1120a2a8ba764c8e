"""Signals that end a run of an operation file: its commands end with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest

FILE = """
operations:
  slow:
    run: '{before}sh -c "echo begun > {begun}; read go < {go}"; echo $go > {{{{ outputs.o }}}}'
    outputs: {{o: o}}
    cache: {{serialize: true}}
"""


@pytest.fixture
def start(programs):
    """Starts a run whose command has a child that waits until it is told to go on."""
    begun, go = (programs.directory / name for name in ("begun", "go"))
    os.mkfifo(begun)
    os.mkfifo(go)

    def start(before: str = "", **options):
        text = FILE.format(begun=begun, go=go, before=before)
        (programs.directory / "slow.yaml").write_text(text)
        command = ("-m", "thrifty", "run", "slow.yaml")
        process = programs.start(*command, start_new_session=True, **options)
        assert begun.read_text() == "begun\n"
        return process

    return start


def goes_on(programs) -> bool:
    """Whether the child of the command is still there, and reads what it is told."""
    with contextlib.suppress(OSError):
        os.close(os.open(programs.directory / "go", os.O_WRONLY | os.O_NONBLOCK))
        return True
    return False


def told(programs, *arguments: str):
    return json.loads(programs.run("-m", "thrifty", *arguments, "--json"))


@pytest.mark.parametrize(
    ("number", "code", "before"),
    [
        (signal.SIGINT, 130, ""),
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
        # What asks a command to end is not what makes it end.
        (signal.SIGTERM, 143, 'trap "" TERM HUP INT; '),
    ],
)
def test_a_signal_ends_the_run_and_its_command(programs, start, number, code, before):
    process = start(before)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert not goes_on(programs)
    assert [run["status"] for run in told(programs, "runs")] == ["cancelled"]
    assert told(programs, "stats")["computing"] == []


def test_a_hangup_that_is_ignored_ends_nothing(programs, start):
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start(preexec_fn=ignore)
    process.send_signal(signal.SIGHUP)
    (programs.directory / "go").write_text("on\n")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "1 computed" in err


def test_a_function_may_end_a_child_by_a_signal(programs):
    programs.write(
        "functions.py",
        """
        import multiprocessing
        import signal


        def ended() -> int:
            child = multiprocessing.get_context("fork").Process(target=signal.pause)
            child.start()
            child.terminate()
            child.join(30)
            code = child.exitcode
            child.kill()
            return code
        """,
    )
    text = 'operations: {ended: {task: "functions:ended"}}'
    (programs.directory / "ended.yaml").write_text(text)
    process = programs.start("-m", "thrifty", "run", "ended.yaml", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "-15" in out, out
    assert "Traceback" not in err
