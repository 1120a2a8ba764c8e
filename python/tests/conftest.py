"""Fixtures: an empty cache of its own for each test, and programs in processes of their own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
from hypothesis import settings
from thrifty import _native

# The same cases on every machine; HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("search", max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def no_session():
    """What the cache of this process is before anything opened it."""
    before = _native.enter_memory()
    _native.leave(before)
    return before


@pytest.fixture
def home(tmp_path, monkeypatch, no_session):
    """An empty cache directory, which this process opens with its next call."""
    for name in list(os.environ):
        if name.startswith("THRIFTY_"):
            monkeypatch.delenv(name)
    directory = tmp_path / "home"
    monkeypatch.setenv("THRIFTY_HOME", str(directory))
    monkeypatch.chdir(tmp_path)
    _native.leave(no_session)
    yield directory
    _native.close()
    _native.leave(no_session)


@pytest.fixture
def reopen(home, no_session):
    """Closes the cache of this process, as its end would; the next call opens it again."""

    def close():
        _native.close()
        _native.leave(no_session)

    return close


class Programs:
    """Python programs in a directory, each run in a process of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *arguments: str, **options) -> subprocess.Popen[str]:
        command = [sys.executable, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        kinds = {"cwd": self.directory, **pipes}
        process = subprocess.Popen(command, **{**kinds, **options})
        self.started.append(process)
        return process

    def stop(self) -> None:
        """Ends what a failed test left behind."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the program printed; its exit code must be as given."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out if code == 0 else out + err


@pytest.fixture
def programs(tmp_path, home):
    directory = tmp_path / "programs"
    directory.mkdir()
    programs = Programs(directory)
    yield programs
    programs.stop()
