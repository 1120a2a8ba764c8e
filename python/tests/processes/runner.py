"""Starts the programs of this directory, each with an empty cache and an empty book."""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
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


RACES = ("invalidated, replaced or taken over meanwhile", "computed without waiting for others")
"""What a program says at its end when others removed, or took over, what it computed."""


def complaints(err: str) -> str:
    """What a program complained of, apart from races that it lost as it should."""
    lines = [line for line in err.splitlines() if line.strip()]
    told = [
        line for line in lines if not ("RuntimeWarning" in line and any(r in line for r in RACES))
    ]
    return "\n".join(told)


class Program:
    """A program of this directory, the first process of a session of its own.

    What it says is read by threads, so it never waits for its reader, nor its reader for ever.
    """

    def __init__(self, room: pathlib.Path, name: str, *arguments: object, **more: str) -> None:
        self.name = " ".join([name, *map(str, arguments)])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(HERE / f"{name}.py"), *map(str, arguments)],
            env=environment(room, **more),
            cwd=room,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.complaints = ""
        self.readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_complaints, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line)

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as text:
            self.complaints = text.read()

    def heard(self, seconds: float = WATCHDOG_SECONDS) -> str:
        """The next line that the program says."""
        try:
            return self.lines.get(timeout=seconds).rstrip("\n")
        except queue.Empty:
            raise self._hang() from None

    def has_spoken(self) -> bool:
        """Whether it said something that was not heard yet."""
        return not self.lines.empty()

    def tell(self, *words: object) -> None:
        """A line for the program."""
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)

    def send(self, sent: signal.Signals) -> None:
        """Sends a signal to the program alone."""
        self.process.send_signal(sent)

    def ended(self, seconds: float = WATCHDOG_SECONDS) -> tuple[str, str]:
        """What the program said until its end, and what it said beside that."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise self._hang() from None
        return self._rest()

    def _rest(self) -> tuple[str, str]:
        for reader in self.readers:
            # A process that it left behind may hold the other end.
            reader.join(timeout=WATCHDOG_SECONDS)
        said: list[str] = []
        while not self.lines.empty():
            said.append(self.lines.get())
        return "".join(said), self.complaints

    def _hang(self) -> Hang:
        # They show where they stand, if they have said how (`operations.begin`).
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.pid, signal.SIGUSR1)
            self.process.wait(timeout=2)
        self.stop()
        out, err = self._rest()
        return Hang(f"{self.name} hangs, or ended early\n{out}\n{err}")

    def result(self, seconds: float = WATCHDOG_SECONDS) -> str:
        """What the program said; it must end well, and complain of nothing."""
        out, err = self.ended(seconds)
        assert self.process.returncode == 0, f"{self.name}: {self.process.returncode}\n{out}\n{err}"
        assert complaints(err) == "", f"{self.name}\n{err}"
        return out

    def stop(self) -> None:
        """Ends the program and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


@contextlib.contextmanager
def crowd(*programs: Program) -> Iterator[list[Program]]:
    """The programs, and whatever the block adds to them; none outlives it."""
    started = list(programs)
    try:
        yield started
    finally:
        for program in started:
            program.stop()


def run(
    room: pathlib.Path, name: str, *arguments: object, seconds: float = WATCHDOG_SECONDS
) -> str:
    """What one program says, from its beginning to its end."""
    with crowd(Program(room, name, *arguments)) as (program,):
        return program.result(seconds)
