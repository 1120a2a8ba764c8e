"""A broken cache costs time, and never the work."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import warnings

import numpy as np
import pytest
from thrifty import task, testing, workflow

pytestmark = pytest.mark.usefixtures("home")


@task
def array(n: int) -> np.ndarray:
    return np.arange(n, dtype="int64")


@task
def double(values: np.ndarray) -> np.ndarray:
    return values * 2


@task
def largest(values: np.ndarray) -> int:
    return int(values.max())


@workflow
def pipeline(n: int) -> int:
    return largest(double(array(n)))


def blobs(home):
    """The large files of the store."""
    files = [path for path in home.rglob("*") if path.is_file()]
    large = [path for path in files if path.stat().st_size > 100_000]
    return [path for path in large if not path.name.startswith(("catalog", "ballast"))]


def outcomes(run):
    return [node["outcome"].split("-")[0] for node in run.nodes]


def test_a_run_of_hits_needs_no_bytes(home, reopen):
    assert pipeline(50_000) == 99_998
    assert len(blobs(home)) == 2
    for blob in blobs(home):
        os.chmod(blob, 0o600)
        blob.unlink()
    reopen()
    run = pipeline.run(50_000)
    assert (run.value, outcomes(run)) == (99_998, ["hit", "hit", "hit"])


def test_a_missing_blob_is_computed_again(home, reopen):
    array(50_000)
    (blob,) = blobs(home)
    os.chmod(blob, 0o600)
    blob.unlink()
    reopen()
    for expected in (["array"], []):
        with testing.recorded() as calls:
            assert array(50_000)[-1] == 49_999
        assert calls.computed == expected


def test_a_corrupt_blob_is_computed_again(home, reopen):
    array(50_000)
    (blob,) = blobs(home)
    content = bytearray(blob.read_bytes())
    content[200_000] ^= 1
    os.chmod(blob, 0o600)
    blob.write_bytes(content)
    reopen()
    for expected in (["array"], []):
        with testing.recorded() as calls:
            assert np.array_equal(array(50_000), np.arange(50_000))
        assert calls.computed == expected


def test_a_missing_blob_in_the_middle_of_a_workflow(home, reopen):
    pipeline(50_000)
    for blob in blobs(home):
        os.chmod(blob, 0o600)
        blob.unlink()
    reopen()
    run = pipeline.with_options(refresh="largest").run(50_000)
    assert run.value == 99_998
    assert outcomes(run) == ["computed"] * 3
    assert outcomes(pipeline.run(50_000)) == ["hit"] * 3


def test_a_home_that_cannot_be_made(monkeypatch, tmp_path, reopen):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("THRIFTY_HOME", str(in_the_way / "home"))
    reopen()
    with pytest.warns(RuntimeWarning, match="thrifty runs without its cache directory"):
        assert array(3).tolist() == [0, 1, 2]
    # Told once; and within the process results are known.
    with warnings.catch_warnings(), testing.recorded() as calls:
        warnings.simplefilter("error")
        assert array(3).tolist() == [0, 1, 2]
    assert calls.hits == ["array"]


def test_a_home_that_cannot_be_made_and_everything_that_needs_one(programs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THRIFTY_HOME", str(tmp_path / "file"))
    programs.write(
        "needy.py",
        """
        import pathlib
        from thrifty import File, Secret, task

        @task
        def write(text: str) -> File:
            path = pathlib.Path("written")
            path.write_text(text)
            return File(path)

        @task
        def read(file: File, token: Secret[str]) -> str:
            return file.read_text() + token

        if __name__ == "__main__":
            for _ in range(2):
                print(read(write("a"), "b"))
            assert read.with_options(executor="processes").map([write("a")], ["c"]) == ["ac"]
        """,
    )
    assert programs.run("needy.py") == "ab\nab\n"


def test_strict_refuses_to_start_without_its_directory(monkeypatch, tmp_path, reopen):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("THRIFTY_HOME", str(in_the_way))
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    reopen()
    with pytest.raises(RuntimeError, match="file"):
        array(3)


def test_a_catalog_of_a_newer_version(home, reopen):
    array(3)
    reopen()
    path = home / "catalog.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = path.read_bytes()
    with pytest.warns(RuntimeWarning, match="9999"):
        assert array(3).tolist() == [0, 1, 2]
    reopen()
    assert path.read_bytes() == before


def test_a_catalog_that_is_no_database(home, reopen):
    array(3)
    reopen()
    path = home / "catalog.sqlite"
    for leftover in path.parent.glob(path.name + "-*"):
        leftover.unlink()
    path.write_bytes(b"this is no database" * 1000)
    with pytest.warns(RuntimeWarning, match="thrifty"):
        assert array(3).tolist() == [0, 1, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home(home, reopen):
    array(3)
    reopen()
    directories = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for directory in directories:
        directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.warns(RuntimeWarning):
            assert array(4).tolist() == [0, 1, 2, 3]
    finally:
        for directory in directories:
            directory.chmod(stat.S_IRWXU)


def test_a_configuration_that_makes_no_sense(tmp_path, reopen):
    (tmp_path / "thrifty.toml").write_text('projct = "x"\n')
    reopen()
    with pytest.raises(ValueError, match="did you mean `project`"):
        array(3)


def test_what_cannot_be_stored_is_given_all_the_same():
    @task
    def opened() -> object:
        return (n for n in [1, 2])

    for _ in range(2):
        with testing.recorded() as calls:
            assert list(opened()) == [1, 2]
        assert calls.computed == ["opened"]


def test_a_child_that_was_forked_uses_the_cache(programs):
    programs.write(
        "forking.py",
        """
        import os
        from thrifty import task

        @task
        def work(n: int) -> int:
            print("computing", n, flush=True)
            return n

        work(1)
        child = os.fork()
        if child == 0:
            work(1), work(2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        work(2)
        """,
    )
    assert programs.run("forking.py") == "computing 1\ncomputing 2\n"


def test_children_that_are_forked_while_files_are_hashed_use_the_cache(programs):
    """A thread that stands in the catalog at the fork is not in the child."""
    programs.write(
        "hashing.py",
        """
        import os, pathlib, signal, threading
        from thrifty import Dir, task

        @task
        def plus(n: int) -> int:
            return n + 1

        plus(0)
        tree = pathlib.Path("tree")
        tree.mkdir()
        for n in range(2000):
            (tree / str(n)).write_text(str(n))
        hashing = threading.Thread(target=lambda: Dir(tree).digest)
        hashing.start()
        children = 0
        while children < 8 or (hashing.is_alive() and children < 40):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                os._exit(0 if plus(children) == children + 1 else 1)
            assert os.waitpid(child, 0)[1] == 0
            children += 1
        hashing.join()
        print("done")
        """,
    )
    assert programs.run("hashing.py") == "done\n"


TROUBLED = """
    import sys
    from thrifty import Cache, task

    @task(cache=Cache(serialize=True))
    def work(n: int) -> int:
        if n < 0:
            raise LookupError(n)
        return n + 1

    work(0)
    print("ready", flush=True)
    sys.stdin.readline()
    match sys.argv[1]:
        case "call":
            print(work(1))
        case "run":
            print(work.run(1).value)
        case "raise":
            try:
                work(-1)
            except LookupError:
                print(2)
    """


@pytest.mark.parametrize("how", ["call", "run", "raise"])
def test_trouble_is_no_error_where_warnings_are(programs, home, how):
    programs.write("troubled.py", TROUBLED)
    process = programs.start("-W", "error", "troubled.py", how, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    held = sqlite3.connect(home / "catalog.sqlite")
    held.execute("BEGIN IMMEDIATE")
    out, err = process.communicate("go\n", timeout=60)
    held.close()
    assert (process.returncode, out) == (0, "2\n"), err
    assert err.count("the cache is in trouble") == 1
    # What failed gave nothing that could have been stored.
    assert err.count("1 not stored (1 the cache was busy)") == (how != "raise")


def test_a_home_that_cannot_be_made_is_no_error_where_warnings_are(programs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THRIFTY_HOME", str(tmp_path / "file"))
    programs.write("homeless.py", "from thrifty import task\nprint(task(lambda: 2)())\n")
    process = programs.start("-W", "error", "homeless.py")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "2\n"), err
    assert "thrifty runs without its cache directory" in err


def test_who_waits_for_the_catalog_leaves_the_interpreter_to_others(programs, home):
    """Only another thread can end the wait, and no thread is made to let go of the interpreter."""
    programs.write(
        "waiting.py",
        """
        import sys, threading
        from thrifty import task

        @task
        def work(n: int) -> int:
            return n + 1

        work.run(0)
        print("ready", flush=True)
        sys.stdin.readline()
        sys.setswitchinterval(1000)
        calling = threading.Thread(target=work, args=(1,))
        calling.start()
        print("let go", flush=True)
        calling.join()
        """,
    )
    process = programs.start("waiting.py", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    held = sqlite3.connect(home / "catalog.sqlite")
    held.execute("BEGIN IMMEDIATE")
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "let go\n"
    held.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    # The call began a run of its own while the catalog was held.
    assert len(json.loads(programs.run("-m", "thrifty", "runs", "--json"))) == 2
