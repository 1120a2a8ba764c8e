"""Threads, processes, odd paths: where observing meets the rest of Python."""

from __future__ import annotations

import json
import os
import textwrap

import pytest

HEAD = """
import json, os, pathlib, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from thrifty import Cache, compute, task, workflow

def text(path):
    with open(path) as file:
        return file.read()

def outcome(run):
    node = run.nodes[-1]
    return [node["outcome"].split("-")[0], run.value, node["detail"]]
"""


@pytest.fixture
def program(programs):
    """Runs a program twice or more, each time in a process of its own; its last line is JSON."""

    def run(body: str, *arguments: str, **options):
        programs.write("main.py", HEAD + textwrap.dedent(body))
        process = programs.start("main.py", *arguments, **options)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        return json.loads(out.splitlines()[-1])

    run.directory = programs.directory
    run.put = lambda name, content: programs.write(name, content)
    return run


def test_threads_read_for_the_body_that_started_them(program):
    body = """
    barrier = threading.Barrier(2, timeout=30)

    @task(cache=Cache(version="1"))
    def reads(path: str) -> str:
        found = []
        def late():
            barrier.wait()
            found.append(text(path))
            barrier.wait()
        thread = threading.Thread(target=late)
        thread.start()
        thread.join()
        return found[0]

    @workflow
    def both():
        return [reads("a.txt"), reads("b.txt")]

    if sys.argv[1] == "first":
        print(json.dumps(both.with_options(workers=2)()))
    else:
        told = [reads.run(path) for path in ("a.txt",)]
        print(json.dumps(outcome(told[0])))
    """
    program.put("a.txt", "a")
    program.put("b.txt", "b")
    assert program(body, "first") == ["a", "b"]
    # What the body beside it read in its own thread is no reason to run again.
    program.put("b.txt", "changed")
    assert program(body, "again")[:2] == ["hit", "a"]


def test_threads_that_were_there_before_read_for_all(program):
    body = """
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()

    @task(cache=Cache(version="1"))
    def reads(path: str) -> str:
        return pool.submit(text, path).result()

    run = reads.run("a.txt")
    print(json.dumps(outcome(run)))
    """
    program.put("a.txt", "1")
    assert program(body)[:2] == ["computed", "1"]
    assert program(body)[:2] == ["hit", "1"]
    program.put("a.txt", "2")
    assert program(body)[:2] == ["computed", "2"]


def test_the_main_thread_reads_for_itself(program):
    body = """
    begun, done = threading.Event(), threading.Event()

    @task(cache=Cache(version="1"))
    def waits() -> str:
        begun.set()
        done.wait(30)
        return text("a.txt")

    if sys.argv[1] == "first":
        thread = threading.Thread(target=waits)
        thread.start()
        begun.wait(30)
        text("b.txt")
        done.set()
        thread.join()
    done.set()
    print(json.dumps(outcome(waits.run())))
    """
    program.put("a.txt", "a")
    program.put("b.txt", "b")
    assert program(body, "first")[:2] == ["hit", "a"]
    program.put("b.txt", "changed")
    assert program(body, "again")[:2] == ["hit", "a"]


def test_bodies_around_and_within(program):
    """Without the cache a body is part of the one around it; unobserved, it is nobody's."""
    body = """
    @task(cache=False)
    def passes() -> str:
        return text("a.txt")

    @task(cache=Cache(observe=False))
    def ignores() -> str:
        return text("b.txt")

    @task
    def outer() -> list:
        return [passes(), ignores()]

    print(json.dumps(outcome(outer.run())))
    """
    program.put("a.txt", "1")
    program.put("b.txt", "1")
    assert program(body)[:2] == ["computed", ["1", "1"]]
    program.put("b.txt", "2")
    assert program(body)[:2] == ["hit", ["1", "1"]]
    program.put("a.txt", "2")
    assert program(body)[:2] == ["computed", ["2", "1"]]


def test_another_working_directory_within_a_body(program):
    body = """
    @task
    def moves() -> str:
        before = text("a.txt")
        os.chdir("below")
        try:
            return before + text("a.txt")
        finally:
            os.chdir("..")

    print(json.dumps(outcome(moves.run())))
    """
    program.put("a.txt", "1")
    program.put("below/a.txt", "x")
    assert program(body)[:2] == ["computed", "1x"]
    assert program(body)[:2] == ["hit", "1x"]
    program.put("below/a.txt", "y")
    assert program(body)[:2] == ["computed", "1y"]
    program.put("a.txt", "2")
    assert program(body)[:2] == ["computed", "2y"]


def test_a_path_that_is_no_text_is_not_stored(program):
    body = """
    @task
    def odd() -> str:
        with open(b"odd-\\xff.txt", "rb") as file:
            return file.read().decode()

    print(json.dumps(outcome(odd.run())))
    """
    with open(os.fsencode(program.directory) + b"/odd-\xff.txt", "wb") as file:
        file.write(b"1")
    told = program(body)
    assert told[:2] == ["computed", "1"]
    assert "not valid UTF-8" in told[2]
    assert program(body)[0] == "computed"


def test_a_forked_child_does_no_harm(program):
    body = """
    @task
    def forks() -> int:
        child = os.fork()
        if child == 0:
            text("a.txt")
            os.environ.get("A")
            os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps(outcome(forks.run())))
    """
    program.put("a.txt", "1")
    assert program(body)[:2] == ["computed", 3]
    assert program(body)[:2] == ["hit", 3]


def test_what_was_put_in_the_place_of_others_still_does_the_same(program):
    body = """
    import inspect, pickle, posix, shutil
    from thrifty import _native
    replaced = ("getcwd", "stat", "readlink", "open", "access")
    before = [_native.digest(it) for it in (*map(os.__dict__.get, replaced), os.path.expanduser)]
    wanted = [os.getcwd(), os.stat(".").st_ino, sorted(os.environ), os.path.expanduser("~")]

    @task
    def nothing() -> int:
        return 1

    nothing()
    after = [_native.digest(it) for it in (*map(os.__dict__.get, replaced), os.path.expanduser)]
    found = [os.getcwd(), os.stat(".").st_ino, sorted(os.environ), os.path.expanduser("~")]
    os.symlink("a", "link")
    try:
        os.environ["NOT THERE"]
    except KeyError as error:
        missing = error.args
    os.environ["HERE"] = "1"
    print(json.dumps([
        before == after,
        wanted == found,
        os.readlink("link"),
        os.stat("main.py", follow_symlinks=False) == os.lstat("main.py"),
        pickle.loads(pickle.dumps(os.stat)) is os.stat is not posix.stat,
        os.stat in os.supports_follow_symlinks and shutil.rmtree.avoids_symlink_attacks,
        missing,
        os.environ.pop("HERE"),
        "HERE" in os.environ,
        os.environ.copy() == dict(os.environ),
        pickle.loads(pickle.dumps(posix.stat)) is posix.stat,
    ]))
    """
    told = program(body)
    assert told == [
        True, True, "a", True, True, True, ["NOT THERE"], "1", False, True, True,
    ]  # fmt: skip


def test_code_without_a_file_is_the_project(programs):
    programs.write("data.txt", "1")
    code = (
        "from thrifty import task, Cache\n"
        "@task(cache=Cache(version='1'))\n"
        "def reads():\n    return open('data.txt').read()\n"
        "run = reads.run()\nprint(run.nodes[-1]['outcome'], run.value)"
    )
    assert programs.run("-c", code) == "computed 1\n"
    programs.write("data.txt", "2")
    assert programs.run("-c", code) == "computed 2\n"


def test_what_is_looked_at_is_shown_and_explained(program, programs):
    body = """
    @task
    def reads() -> str:
        return text("a.txt") + str(len(os.environ["TOKEN"]))

    run = reads.run()
    print(json.dumps([run.value, run.why(), run.nodes[-1]["key"]]))
    """
    env = {**os.environ, "TOKEN": "hunter2"}
    program.put("a.txt", "1")
    program(body, env=env)
    program.put("a.txt", "2")
    value, why, key = program(body, env=env)
    assert value == "27"
    assert "a.txt has changed since it was read" in why
    shown = programs.run("-m", "thrifty", "show", key[:12])
    assert "a.txt" in shown
    assert "variable TOKEN" in shown
    assert "hunter2" not in shown + why


UNSEEN = """
from thrifty import Cache, task, workflow

@task
def fetch(n: int) -> int:
    import subprocess
    return n + subprocess.run(["true"]).returncode

@task
def plain(n: int) -> int:
    return n + 1

@workflow
def steps(n: int = 1) -> tuple[int, int]:
    return fetch(n), plain(n)
"""
TOLD = "starts another program, and what that reads is not observed"


def ask(programs, *arguments: str) -> str:
    return programs.run("-m", "thrifty", *arguments)


def test_what_was_done_unseen_is_repeated_by_every_later_process(programs):
    programs.write("steps.py", UNSEEN)
    run = ("run", "steps:steps", "-p", "n=1")
    ask(programs, *run)
    for again in range(2):
        whole = ask(programs, "why")
        assert whole.count(f"note: fetch {TOLD}") == 1, (again, whole)
        assert whole.count("note:") == 1
        assert f"note: it {TOLD}" in ask(programs, "why", "last", "fetch")
        assert "note:" not in ask(programs, "why", "last", "plain")
        # The second time all are hits, of a computation in another process.
        ask(programs, *run)
    nodes = json.loads(ask(programs, "show", "last", "--json"))["nodes"]
    keys = {node["operation"]: node["key"] for node in nodes}
    assert f"note       it {TOLD}" in ask(programs, "show", keys["steps.fetch"][:16])
    [entry] = json.loads(ask(programs, "show", keys["steps.plain"][:16], "--json"))
    assert entry["notes"] == []
    hit = json.loads(ask(programs, *run, "--dry-run", "--json"))
    assert (hit["hits"], [note["operation"] for note in hit["notes"]]) == (2, ["steps.fetch"])
    # The same operation with another argument, which is still to run.
    planned = ask(programs, "run", "steps:steps", "-p", "n=2", "--dry-run")
    assert f"note: fetch {TOLD}" in planned
    # Other code has not been seen to do anything.
    programs.write("steps.py", UNSEEN.replace("n + subprocess", "n - subprocess"))
    assert "note:" not in ask(programs, *run, "--dry-run")


@pytest.mark.parametrize("how", ["--no-cache", "--read-only", "--dry-run"])
def test_what_stores_nothing_keeps_no_notes_either(programs, how):
    programs.write(
        "steps.py",
        UNSEEN
        + """
@workflow
def built(n: int) -> int:
    import os
    os.system("true")
    return plain(n)

@workflow
def whole(n: int = 1) -> tuple[int, int]:
    return fetch(n), built(n)
""",
    )
    noted = [f"note: built {TOLD}", f"note: fetch {TOLD}"]
    ask(programs, "run", "steps:whole", how)
    planned = ask(programs, "run", "steps:whole", "--dry-run")
    assert [note in planned for note in noted] == [False, False]
    ask(programs, "run", "steps:whole")
    planned = ask(programs, "run", "steps:whole", "--dry-run")
    assert [note in planned for note in noted] == [True, True]


def test_notes_of_worker_processes_are_kept(programs):
    programs.write("steps.py", UNSEEN)
    ask(programs, "run", "steps:steps", "--executor", "processes")
    assert f"note: fetch {TOLD}" in ask(programs, "why")
