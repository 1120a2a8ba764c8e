"""Nobody waits for who waits for him; a failure reaches all who waited for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "processes" / "circles.py"


def printed(room: Path, what: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), what],
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


def test_a_failure_reaches_all_who_waited_for_it(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    said = printed(tmp_path, "shared")
    runs = (tmp_path / "book").read_text().count("ran")
    # Who came only when it had failed computes himself.
    assert said.count("LookupError: 7") == runs
    assert said.count("RuntimeError: LookupError: 7") == len(said) - runs
