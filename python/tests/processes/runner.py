"""Starts the programs of this directory, each with an empty cache and an empty book."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).resolve().parent
WATCHDOG_SECONDS = 60.0
"""How long one round of anything may take before it counts as a hang."""

METHODS = ("fork", "spawn", "forkserver")
MOMENTS = ("before-first-use", "after-use", "publishing", "holding")
VEHICLES = ("process", "pool", "executor", "loader")
"""How children are started, when, and by what: the cells of ``matrix.py``."""


class Hang(AssertionError):
    """A program did not come to its end; the text says where its processes stood."""


def environment(room: pathlib.Path, **more: str) -> dict[str, str]:
    """A cache and a book in the room, and nothing of the user's."""
    room.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THRIFTY_")}
    return {
        **kept,
        "THRIFTY_HOME": str(room / "home"),
        "PROCESSES_BOOK": str(room / "book"),
        "PYTHONFAULTHANDLER": "1",
        **more,
    }


class Program(subprocess.Popen[str]):
    """A program of this directory, the first process of a session of its own."""

    def __init__(self, room: pathlib.Path, name: str, *arguments: object, **more: str) -> None:
        self.name = " ".join([name, *map(str, arguments)])
        super().__init__(
            [sys.executable, "-W", "error", str(HERE / f"{name}.py"), *map(str, arguments)],
            env=environment(room, **more),
            cwd=room,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def heard(self) -> str:
        """The next line that the program says."""
        assert self.stdout is not None
        return self.stdout.readline().rstrip("\n")

    def tell(self, *words: object) -> None:
        """A line for the program."""
        assert self.stdin is not None
        print(*words, file=self.stdin, flush=True)

    def ended(self, seconds: float = WATCHDOG_SECONDS) -> tuple[str, str]:
        """What the program said until its end, and what it said beside that."""
        try:
            return self.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # They show where they stand, if they have said how (`operations.begin`).
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.pid, signal.SIGUSR1)
                self.communicate(timeout=2)
            self.stop()
            out, err = self.communicate()
            raise Hang(f"{self.name} hangs\n{out}\n{err}") from None

    def result(self, seconds: float = WATCHDOG_SECONDS) -> str:
        """What the program said; it must end well, and complain of nothing."""
        out, err = self.ended(seconds)
        assert self.returncode == 0, f"{self.name}: {self.returncode}\n{out}\n{err}"
        assert err == "", f"{self.name}\n{err}"
        return out

    def stop(self) -> None:
        """Ends the program and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def crowd(*programs: Program) -> Iterator[list[Program]]:
    """The programs, and whatever the block adds to them; none outlives it."""
    started = list(programs)
    try:
        yield started
    finally:
        for program in started:
            program.stop()
            program.communicate()


def run(
    room: pathlib.Path, name: str, *arguments: object, seconds: float = WATCHDOG_SECONDS
) -> str:
    """What one program says, from its beginning to its end."""
    with crowd(Program(room, name, *arguments)) as (program,):
        return program.result(seconds)
