"""Ctrl-C of `thrifty schedule`: first the scheduler is asked to end, then the run. SIGTERM: both."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess

import pytest

FILE = """
schedule: {{every: 1s}}
operations:
  slow:
    run: 'echo begun > {begun}; read go < {go}; echo {{{{ tick }}}} $go > {{{{ outputs.o }}}}'
    outputs: {{o: o}}
"""


@pytest.fixture
def scheduler(programs):
    """The scheduler, in the first run of which a command runs until it is told to go on."""
    begun, go = (programs.directory / name for name in ("begun", "go"))
    os.mkfifo(begun)
    os.mkfifo(go)
    (programs.directory / "often.yaml").write_text(FILE.format(begun=begun, go=go))
    process = programs.start("-m", "thrifty", "schedule", "often.yaml", start_new_session=True)
    assert begun.read_text() == "begun\n"
    return process


def runs(programs) -> list[str]:
    told = json.loads(programs.run("-m", "thrifty", "runs", "--json"))
    return [run["status"] for run in told]


def test_the_first_interrupt_lets_the_run_end_and_begins_no_other(programs, scheduler):
    scheduler.send_signal(signal.SIGINT)
    (programs.directory / "go").write_text("on\n")
    _, err = scheduler.communicate(timeout=60)
    assert scheduler.returncode == 0, err
    assert "1 computed" in err
    assert runs(programs) == ["succeeded"]


def test_further_interrupts_cancel_the_run_and_end_its_command(programs, scheduler):
    while scheduler.poll() is None:
        scheduler.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            scheduler.wait(timeout=0.2)
    _, err = scheduler.communicate(timeout=60)
    assert scheduler.returncode == 130, err
    assert runs(programs) == ["cancelled"]
    # Nobody reads it any more.
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        os.open(programs.directory / "go", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_the_system_says_once_cancels_the_run(programs, scheduler, number, code):
    scheduler.send_signal(number)
    _, err = scheduler.communicate(timeout=60)
    assert scheduler.returncode == code, err
    assert runs(programs) == ["cancelled"]
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        os.open(programs.directory / "go", os.O_WRONLY | os.O_NONBLOCK)
