"""Clean processes: each executes one operation again, and says what came out.

Clean is: a new interpreter, nothing inherited from this one but its arguments, environment and
working directory; an empty directory for temporary files; another ``PYTHONHASHSEED``.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing import spawn
from typing import Any

from thrifty import _native
from thrifty._worker import dereferenced

# What comes out of the first pipe is the answer; what the operation prints goes nowhere.
_BEGIN = """\
import sys
sys.path[:1] = [] if sys.path[:1] == [""] else sys.path[:1]
import os, pickle
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
prepared = pickle.load(sys.stdin.buffer)
sys.path[:] = prepared["sys_path"]
from thrifty._clean import serve
serve(prepared, out)
"""

# How much of what a process said before it died is told.
_LAST_WORDS = 2000


class Stopped(Exception):
    """The check was given up while a process ran."""


class Processes:
    """The clean processes that run now, so that all of them can be stopped."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def execute(self, call: bytes, hash_seed: int) -> dict[str, Any]:
        """What one process answers that is given this call."""
        with (
            tempfile.TemporaryDirectory(
                prefix="thrifty-check-", ignore_cleanup_errors=True
            ) as directory,
            tempfile.TemporaryFile() as words,
        ):
            environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "TMPDIR": directory}
            process = self._start(environment, words)
            try:
                answer, _ = process.communicate(_prepared() + call)
            finally:
                with self._lock:
                    self._running.discard(process)
            if process.returncode == 0 and answer:
                return pickle.loads(answer)
            if self._stopped:
                raise Stopped
            return {"died": _death(process.returncode, words)}

    def _start(self, environment: dict[str, str], words: Any) -> subprocess.Popen[bytes]:
        # The flags of this interpreter, as multiprocessing passes them on.
        flags: list[str] = subprocess._args_from_interpreter_flags()  # pyright: ignore
        pipe = subprocess.PIPE
        with self._lock:
            if self._stopped:
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, *flags, "-c", _BEGIN],
                env=environment,
                stdin=pipe,
                stdout=pipe,
                stderr=words,
                # An interrupt from the terminal is for the process that checks.
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Kills those that run, and all that they started."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def _prepared() -> bytes:
    """What makes another interpreter import what this one did."""
    prepared = spawn.get_preparation_data("thrifty-check")
    # Pickled only where multiprocessing itself starts a process.
    prepared["authkey"] = bytes(prepared["authkey"])
    return pickle.dumps(prepared)


def _death(code: int, words: Any) -> str:
    words.seek(0, os.SEEK_END)
    words.seek(max(0, words.tell() - _LAST_WORDS))
    said = words.read().decode(errors="replace").strip()
    last = said.splitlines()[-1] if said else ""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"the process {how}{': ' if last else ''}{last}"


def serve(prepared: dict[str, Any], out: int) -> None:
    """In the clean process: executes what the first one asks for, and answers."""
    _native.begin_clean()
    call = sys.stdin.buffer.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    try:
        spawn.prepare(prepared)
        answer = _answer(*pickle.loads(call))
    except Exception as error:
        answer = {"unusable": f"a clean process cannot import it: {_line(error)}"}
    with os.fdopen(out, "wb") as stream:
        pickle.dump(answer, stream)


def _answer(
    task: Any,
    key: str,
    args: Any,
    kwargs: Any,
    stream: bytes | None,
    stored: tuple[bytes, str],
    is_secret: bool,
) -> dict[str, Any]:
    if task.definition_key() != key:
        reason = (
            "it is not the same in a clean process: its file was changed since the program "
            "started, or the program changed a value that it uses after the import"
        )
        return {"unusable": reason}
    values = dereferenced(args), dereferenced(kwargs)
    began = time.perf_counter()
    try:
        made, reads, notes = _native.repeat(task, *values, stream)
    except Exception as error:
        raised = type(error).__name__ if is_secret else _line(error)
        return {"raised": raised, "seconds": time.perf_counter() - began, **_facts()}
    seconds = time.perf_counter() - began
    digest = _native.result_digest(made, task)
    if digest is None:
        return {"unusable": "its result has no digest, so that nothing can be compared"}
    answer = {"digest": digest, "seconds": seconds, "reads": reads, "notes": notes, **_facts()}
    if digest != stored[1]:
        _compare(task, made, stored[0], is_secret, answer)
    return answer


def _compare(task: Any, made: Any, record: bytes, is_secret: bool, answer: dict[str, Any]) -> None:
    """Adds how the value differs from the stored one."""
    from thrifty._differences import differences

    try:
        known = _native.dereference(record)
    except Exception as error:
        answer["differences"] = [f"what is stored cannot be read any more: {_line(error)}"]
        return
    # What is stored may have been hashed in parts, as the operations say that gave them.
    answer["is_equal"] = _native.result_digest(known, task) == answer["digest"]
    answer["differences"] = differences(known, made, shows=not is_secret)


def _facts() -> dict[str, Any]:
    from thrifty._environment import facts

    return {"environment": facts()}


def _line(error: BaseException) -> str:
    """The exception in one line, with its place in the program."""
    text = _native.hide_secrets("".join(traceback.format_exception_only(error)).strip())
    text = text.splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    inner = [frame for frame in frames if os.path.dirname(__file__) not in frame.filename]
    if not inner:
        return text
    return f"{text} ({os.path.basename(inner[-1].filename)}:{inner[-1].lineno})"
