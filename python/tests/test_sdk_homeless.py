"""A cache directory that cannot be used for a while, or is gone: told, counted, and tried again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator

import pytest
from thrifty import Cache, CacheUnavailable, _native, sweep, task, testing, workflow

pytestmark = pytest.mark.usefixtures("home")

UNREADABLE = "1 not stored (1 the cache could not be read)"


@task
def plus(n: int) -> int:
    return n + 1


@workflow
def twice(n: int) -> int:
    return plus(plus(n))


@task(cache=Cache(observe=False))
def lost(n: int) -> int:
    """The cache goes while it runs."""
    shutil.rmtree(os.environ["THRIFTY_HOME"], ignore_errors=True)
    return n + 1


@workflow
def twice_lost(n: int) -> int:
    return lost(lost(n))


@task
def opened(n: int) -> Iterator[int]:
    return iter(range(n))


def computed(call, *args):
    with testing.recorded() as calls:
        call(*args)
    return len(calls.computed)


@pytest.fixture
def in_the_way(tmp_path, monkeypatch, reopen):
    """A file in the place of a directory above the cache."""
    path = tmp_path / "file"
    path.write_text("")
    monkeypatch.setenv("THRIFTY_HOME", str(path / "home"))
    reopen()
    return path


def test_a_directory_that_cannot_be_opened_is_tried_again(in_the_way, reopen):
    with pytest.warns(RuntimeWarning, match="thrifty runs without its cache directory") as told:
        plus(1)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # In vain, and what is known here stays known.
        _native.end_pause()
        assert computed(plus, 1) == 0
        in_the_way.unlink()
        assert computed(plus, 1) == 0
        _native.end_pause()
        assert computed(plus, 1) == 1
        assert computed(plus, 2) == 1
    with pytest.warns(RuntimeWarning) as told:
        reopen()
    assert [str(it.message).split(";")[0] for it in told] == [
        f"calls outside of workflows: {UNREADABLE}"
    ]
    assert [computed(plus, 1), computed(plus, 2)] == [0, 0]


def test_another_trouble_is_told(in_the_way, home, monkeypatch):
    with pytest.warns(RuntimeWarning, match="Not a directory"):
        plus(1)
    in_the_way.unlink()
    (in_the_way / "home").mkdir(parents=True)
    (in_the_way / "home" / "catalog.sqlite").write_bytes(b"no database" * 1000)
    _native.end_pause()
    with pytest.warns(RuntimeWarning, match="thrifty runs without its cache directory: .*catalog"):
        plus(2)


def test_space_that_comes_back_is_used(programs):
    text = """
        import resource, signal
        from thrifty import _native, task

        @task
        def work(n: int) -> int:
            print("computing", n, flush=True)
            return n

        if __name__ == "__main__":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            work(1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            work(1)
            _native.end_pause()
            work(2)
        """
    programs.write("spaceless.py", text)
    process = programs.start("spaceless.py")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "computing 1\ncomputing 2\n"), err
    # This limit of the system gives SQLite no word for a lack of space.
    assert "1 not stored (1 the cache failed)" in err
    programs.write("again.py", "from spaceless import work\nwork(2)\n")
    assert programs.run("again.py") == ""


def test_what_is_computed_meanwhile_counts_as_not_stored(in_the_way):
    with pytest.warns(RuntimeWarning) as told:
        run = twice.run(1)
    assert (run.value, run.reasons) == (3, {"unreadable": 2})
    assert {node["outcome"] for node in run.nodes} == {"computed-not-stored"}
    assert "Not a directory" in run.nodes[0]["detail"]
    summary = "2 not stored (2 the cache could not be read)"
    assert any(summary in str(warning.message) for warning in told)
    assert twice.run(1).reasons == {}


def test_a_catalog_of_a_newer_version_counts_as_damaged(home, reopen):
    plus(1)
    reopen()
    connection = sqlite3.connect(home / "catalog.sqlite")
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    with pytest.warns(RuntimeWarning):
        assert plus.run(1).reasons == {"damaged": 1}


@task(cache=Cache(observe=False))
def move(source: str, target: str) -> int:
    """Moves the cache while it is in use."""
    shutil.move(source, target)
    return 1


def test_what_is_computed_while_the_directory_goes_counts_as_not_stored(home, tmp_path, reopen):
    plus(1)
    with pytest.warns(RuntimeWarning) as told:
        run = move.run(str(home), str(tmp_path / "aside"))
    assert any("removed or replaced" in str(warning.message) for warning in told)
    assert (run.value, run.reasons) == (1, {"unreadable": 1})
    assert [computed(plus, 2), computed(plus, 1)] == [1, 1]
    reopen()
    assert [computed(plus, 2), computed(plus, 1)] == [0, 0]


def test_what_is_in_the_directory_that_took_its_place_is_found(home, tmp_path, reopen):
    plus(1)
    reopen()
    home.rename(tmp_path / "before")
    plus(2)

    @task(cache=Cache(observe=False))
    def swap(before: str, here: str) -> int:
        shutil.rmtree(here)
        shutil.move(before, here)
        return 1

    with pytest.warns(RuntimeWarning):
        assert swap.run(str(tmp_path / "before"), str(home)).reasons == {"unreadable": 1}
    assert computed(plus, 1) == 0


def test_strict_makes_an_error_of_a_directory_that_cannot_be_opened(in_the_way, monkeypatch):
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    with pytest.raises(CacheUnavailable, match="Not a directory"):
        plus(1)
    assert issubclass(CacheUnavailable, RuntimeError)


@pytest.mark.parametrize("word", ["", "0", "false", "No", "off"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_strict_is_switched_off_by_a_word(in_the_way, monkeypatch, word):
    monkeypatch.setenv("THRIFTY_STRICT", word)
    assert plus(1) == 2


@pytest.mark.parametrize("verb", ["run", "check"])
def test_strict_ends_a_command_with_the_code_of_the_cache(in_the_way, programs, monkeypatch, verb):
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    programs.write(
        "jobs.py", "from thrifty import task\n\n@task\ndef plus(n: int):\n    return n + 1\n"
    )
    said = programs.run("-m", "thrifty", verb, "jobs:plus", "-p", "n=1", code=3)
    assert "Not a directory" in said


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: lost(1), r"lost was computed and is not stored \(unreadable: .*removed.*\);"),
        (
            lambda: twice_lost(1),
            r"lost was computed and is not stored \(unreadable: .*\), and 1 more;",
        ),
        (lambda: sweep(lost, {"n": [1]}), "lost was computed and is not stored"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_strict_makes_an_error_of_what_the_cache_could_not_store(monkeypatch, call, text):
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    with pytest.raises(CacheUnavailable, match=text):
        call()
    # The cache is opened anew.
    assert plus(1) == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_of_which_strict_makes_an_error_has_failed(monkeypatch):
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    run = twice_lost.run(1)
    assert (run.status, run.reasons) == ("failed", {"unreadable": 2})
    assert [type(error) for _, error in run.failures] == [CacheUnavailable]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_fault_of_the_cache_is_no_error_of_strict(monkeypatch):
    monkeypatch.setenv("THRIFTY_STRICT", "1")
    assert list(opened(2)) == [0, 1]
    assert plus.with_options(cache=False)(1) == 2
