"""Calls to the system that fail beneath a task: its value is right, and it says so once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what interposes is of Linux")

SOURCE = Path(__file__).parents[2] / "campaigns" / "faults" / "interpose.c"

SCRIPT = """
import os, sys, warnings
from thrifty import Cache, task

def mark(name):
    try:
        os.open("/faults/" + name, os.O_RDONLY)
    except OSError:
        pass

@task
def array(n: int):
    print("ran")
    return list(range(n)), b"x" * (n * 100)

warnings.simplefilter("default")
with warnings.catch_warnings(record=True) as caught:
    if sys.argv[1] == "from the start":
        mark("begin")
    small = array(10)
    mark("begin")
    for n in (10, 1000, 1001):
        assert array(n) == (list(range(n)), b"x" * (n * 100)), n
    mark("end")
for warning in caught:
    print("warned:", warning.message)
"""


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the campaign, built as it builds it."""
    library = tmp_path_factory.mktemp("interposer") / "interpose.so"
    compiler = os.environ.get("CC", "cc")
    options = ["-std=gnu17", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", library, SOURCE, "-ldl"], check=True)
    return library


def run(home: Path, interposer: Path, when: str = "later", **faults: object) -> list[str]:
    """What a script says whose calls on the cache fail like this."""
    script = home.parent / "script.py"
    script.write_text(SCRIPT)
    home.mkdir(exist_ok=True)
    told = {f"FAULTS_{name.upper()}": str(fault) for name, fault in faults.items()}
    environment = {
        **os.environ,
        **told,
        "FAULTS_ROOT": str(home),
        "LD_PRELOAD": str(interposer),
        "THRIFTY_HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, script, when],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def warned(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("warned:")]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("call", ["write", "sync", "open", "lock"])
def test_a_call_that_fails_costs_the_cache_and_not_the_value(
    tmp_path: Path, interposer: Path, call: str, number: int
) -> None:
    home = tmp_path / "home"
    lines = run(home, interposer, call=call, nth=1, times=0, do=number)
    assert lines.count("ran") == 3
    assert len(warned(lines)) <= 1
    if call in {"write", "open"}:
        assert warned(lines)
    assert run(home, interposer).count("ran") <= 2


def test_a_full_disk_serves_hits_and_warns_once(tmp_path: Path, interposer: Path) -> None:
    home = tmp_path / "home"
    lines = run(home, interposer, space=0)
    assert (lines.count("ran"), len(warned(lines))) == (3, 1)
    assert "no space left" in warned(lines)[0]
    assert run(home, interposer).count("ran") == 2
    assert run(home, interposer, space=0) == []


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, interposer: Path) -> None:
    home = tmp_path / "home"
    lines = run(home, interposer, "from the start", space=0)
    assert lines.count("ran") in {3, 4}
    assert len(warned(lines)) == 1


def test_bytes_that_cannot_be_read_now_are_computed_and_kept(
    tmp_path: Path, interposer: Path
) -> None:
    home = tmp_path / "home"
    run(home, interposer)
    before = sorted(path.name for path in home.glob("blobs/v1/*/*"))
    assert before
    lines = run(home, interposer, call="open", path="blobs/*", nth=1, times=0, do=errno.EIO)
    assert lines.count("ran") == 2
    assert {path.name for path in home.glob("blobs/v1/*/*")} >= set(before)
    assert run(home, interposer) == []
