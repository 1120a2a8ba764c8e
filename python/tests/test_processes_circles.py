"""Nobody waits for who waits for him; a failure reaches all who waited for it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "processes" / "circles.py"


CONTAINER = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Runs a program as the first process of a namespace of its own, as containers do."""


@cache
def has_namespaces() -> bool:
    try:
        return (
            subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


in_container = pytest.mark.skipif(
    not has_namespaces(), reason="this user may make no namespace of processes here"
)


def printed(room: Path, what: str, *before: str) -> list[str]:
    done = subprocess.run(
        [*before, sys.executable, "-W", "error", str(PROGRAM), what],
        env={**os.environ, "THRIFTY_HOME": str(room / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_pool_in_a_body_may_call_what_the_body_computes(tmp_path: Path):
    assert printed(tmp_path, "pool") == ["21"]


@in_container
@pytest.mark.parametrize("what", ["pool", "program"])
def test_so_may_children_of_the_first_process_of_a_container(tmp_path: Path, what: str):
    assert printed(tmp_path, what, *CONTAINER) == ["21"]


@in_container
def test_so_may_those_of_whom_the_system_does_not_say_who_started_them(tmp_path: Path):
    hidden = ["sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"']
    assert printed(tmp_path, "pool", *CONTAINER, *hidden) == ["21"]


def test_a_failure_reaches_all_who_waited_for_it(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    said = printed(tmp_path, "shared")
    runs = (tmp_path / "book").read_text().count("ran")
    # Who came only when it had failed computes himself.
    assert said.count("LookupError: 7") == runs
    assert said.count("RuntimeError: LookupError: 7") == len(said) - runs
