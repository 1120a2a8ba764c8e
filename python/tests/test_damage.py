"""Damaged files: never a wrong value, one warning, and a way out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from thrifty import task, testing

pytestmark = pytest.mark.usefixtures("home")


@task
def array(n: int) -> np.ndarray:
    return np.arange(n, dtype="int64")


def fsck(*arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "thrifty", "fsck", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def change(home, *statements: str) -> None:
    """Changes the catalog from outside: two libraries in one process drop each other's locks."""
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])"
    script = "; ".join(statements)
    subprocess.run([sys.executable, "-c", program, home / "catalog.sqlite", script], check=True)


def overwrite(path, at: int, data: bytes) -> bytes:
    bytes_ = bytearray(path.read_bytes())
    bytes_[at : at + len(data)] = data
    path.write_bytes(bytes_)
    return bytes(bytes_)


def test_a_damaged_catalog_is_told_once_kept_and_saved(home, programs):
    programs.write(
        "arrays.py",
        """
        import numpy as np
        from thrifty import task, testing

        @task
        def array(n: int) -> np.ndarray:
            return np.arange(n)

        with testing.recorded() as calls:
            for n in [0, 1, 2, 50_000]:
                assert array(n).tolist() == list(range(n))
        print(len(calls.computed))
        """,
    )

    def run() -> tuple[str, int]:
        """How many were computed, and how many warnings named the way out."""
        out, err = programs.start("arrays.py").communicate(timeout=120)
        return out, err.count("thrifty fsck --repair")

    assert run() == ("4\n", 0)
    assert run() == ("0\n", 0)
    # Or the first page would still stand in the log.
    change(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    catalog = home / "catalog.sqlite"
    damaged = overwrite(catalog, 0, bytes(100))
    assert run() == ("4\n", 1)
    assert catalog.read_bytes() == damaged, "nothing is changed because it could not be opened"

    assert "saved into a new catalog: 4 entries, 0 lost" in fsck("--repair")
    (aside,) = home.glob("catalog.damaged-*")
    assert aside.read_bytes() == damaged
    assert run() == ("0\n", 0)
    assert fsck("--full").splitlines()[0].endswith("clean")


def test_a_catalog_that_is_damaged_while_it_is_in_use(home, programs):
    programs.write(
        "live.py",
        """
        from thrifty import task, testing

        @task
        def double(n: int) -> int:
            return 2 * n

        assert double(1) == 2
        print("begun", flush=True)
        input()
        assert double(2) == 4
        print("met", flush=True)
        input()
        with testing.recorded() as calls:
            assert double(1) == 2
        print(calls.computed, calls.hits)
        """,
    )
    program = programs.start("live.py", stdin=subprocess.PIPE)
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    change(home, "ALTER TABLE meta RENAME COLUMN epoch TO epoque")
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "met\n"
    # It let go of the catalog, so it need not end before the repair, and goes on afterwards.
    assert "saved into a new catalog: 1 entry, 0 lost" in fsck("--repair")
    out, err = program.communicate("\n", timeout=120)
    assert (program.returncode, out) == (0, "[] ['double']\n"), err
    assert "is damaged: no such column: epoch; `thrifty fsck --repair`" in err


def test_a_repair_names_who_has_the_catalog_open(home):
    array(1)
    command = [sys.executable, "-m", "thrifty", "fsck", "--repair"]
    change(
        home,
        "CREATE INDEX more ON entry (cost)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX more ON entry (size)' WHERE name = 'more'",
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert f"is open in process {os.getpid()}: end it" in done.stderr


def test_a_busy_catalog_is_not_damaged(home, reopen, programs):
    array(1)
    reopen()
    programs.write(
        "holder.py",
        """
        import sqlite3, sys

        holder = sqlite3.connect(sys.argv[1], isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        input()
        """,
    )
    holder = programs.start("holder.py", str(home / "catalog.sqlite"), stdin=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert [array(n).tolist() for n in [2, 1]] == [[0, 1], [0]]
    holder.communicate("\n", timeout=60)
    assert not any("damaged" in str(it.message) for it in told)
    reopen()
    with warnings.catch_warnings(), testing.recorded() as calls:
        warnings.simplefilter("ignore")
        assert array(1).tolist() == [0]
    assert calls.computed == []
    assert fsck("--repair").endswith("clean\n")
    assert list(home.glob("catalog.damaged-*")) == []


def test_bytes_out_of_reach_for_a_while_are_kept(home, reopen):
    assert array(50_000)[-1] == 49_999
    reopen()
    # As a volume that is not mounted.
    (home / "blobs").rename(home / "away")
    with testing.recorded() as calls, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert array(50_000)[-1] == 49_999
    assert calls.computed == ["array"]
    reopen()
    shutil.copytree(home / "away", home / "blobs", dirs_exist_ok=True)
    with testing.recorded() as calls:
        assert array(50_000)[-1] == 49_999
    assert calls.computed == []
    assert fsck("--full").startswith("1 entry and ")


@pytest.mark.parametrize("damage", ["gone", "shorter", "flipped"])
def test_a_blob_that_is_not_what_it_was_is_repaired_by_the_next_call(home, reopen, damage):
    assert array(50_000)[-1] == 49_999
    reopen()
    (blob,) = (path for path in (home / "blobs").rglob("*.*") if path.is_file())
    blob.chmod(0o600)
    if damage == "gone":
        blob.unlink()
    elif damage == "shorter":
        blob.write_bytes(blob.read_bytes()[:-1])
    else:
        overwrite(blob, 100, b"\xff")
    for expected in (["array"], []):
        with testing.recorded() as calls:
            assert array(50_000).tolist() == list(range(50_000))
        assert calls.computed == expected
        reopen()
    assert "clean" in fsck("--full")
