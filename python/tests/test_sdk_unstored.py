"""What is not stored is counted, and told at the end of a run."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Generator

import pytest
from thrifty import File, sweep, task, workflow

pytestmark = pytest.mark.usefixtures("home")

UNSTORED = "2 not stored (1 no key could be made, 1 a value that cannot be stored)"


@task
def opened(n: int) -> Generator[int]:
    return (i for i in range(n))


@task
def total(numbers: object) -> int:
    return sum(numbers)


@task
def plus(n: int) -> int:
    return n + 1


@workflow
def pipeline(n: int) -> int:
    return plus(total(opened(n)))


@workflow
def sound(n: int) -> int:
    return plus(plus(n))


def test_a_run_tells_once_how_many_results_are_not_stored_and_why():
    with pytest.warns(RuntimeWarning) as told:
        run = pipeline.run(4)
    assert (run.value, len(told)) == (7, 1)
    assert f"{pipeline.operation_name}: {UNSTORED}; `thrifty show` says which" in str(
        told[0].message
    )
    assert run.reasons == {"unstorable": 1, "unkeyed": 1}
    reasons = {node["name"].rsplit(".", 1)[-1]: node["reason"] for node in run.nodes}
    assert reasons == {"opened": "unstorable", "total": "unkeyed", "plus": ""}


def test_a_sweep_tells_so_too():
    with pytest.warns(RuntimeWarning) as told:
        sweep(opened, {"n": [1, 2]})
    assert f"{opened.operation_name}.sweep: 2 not stored (2 a value that cannot be stored)" in str(
        told[0].message
    )


def test_a_run_of_which_all_is_stored_tells_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = sound.run(1)
        with_cache_off = pipeline.with_options(cache=False).run(4)
    assert (run.value, run.reasons) == (3, {})
    assert (with_cache_off.value, with_cache_off.reasons) == (7, {})


def test_a_call_whose_input_changed_is_counted(tmp_path):
    (tmp_path / "in.txt").write_text("a")

    @task
    def read(file: File) -> str:
        text = file.read_text()
        (tmp_path / "in.txt").write_text(text + "b")
        return text

    @workflow
    def reading(file: File) -> str:
        return read(file)

    with pytest.warns(RuntimeWarning, match="1 not stored \\(1 an input changed meanwhile\\)"):
        assert reading.run(File(tmp_path / "in.txt")).reasons == {"changed": 1}


LONE = """
    import sys
    from thrifty import task

    @task
    def opened(n: int) -> object:
        return (i for i in range(n))

    @task
    def plus(n: int) -> int:
        return n + 1

    print(plus(1), *(sum(opened(n)) for n in (2, 3, 3)))
    if len(sys.argv) > 1:
        import os
        child = os.fork()
        if child == 0:
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """

LONE_TOLD = (
    "calls outside of workflows: 3 not stored (3 a value that cannot be stored); "
    "`thrifty show` says which"
)


@pytest.mark.parametrize("arguments", [(), ("fork",)])
def test_lone_calls_are_told_of_at_the_end_of_their_program(programs, arguments):
    """By the process that made them, and by no child of it."""
    programs.write("lone.py", LONE)
    process = programs.start("lone.py", *arguments)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "2 1 3 3\n"), err
    assert err.count("not stored") == 1
    assert LONE_TOLD in err
    nodes = json.loads(programs.run("-m", "thrifty", "show", "--json"))["nodes"]
    reasons = [node["reason"] for node in nodes if node["name"] == "opened"]
    assert reasons == ["unstorable"] * 3


def test_on_the_command_line_the_line_at_the_end_tells_it(programs):
    programs.write(
        "flow.py",
        """
        from thrifty import task, workflow

        @task
        def opened(n: int) -> object:
            return (i for i in range(n))

        @workflow
        def flow() -> object:
            return opened(2)
        """,
    )
    process = programs.start("-m", "thrifty", "run", "flow:flow", stdout=subprocess.DEVNULL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("not stored") == 1
    assert "1 computed, 0 hits, 1 not stored (1 a value that cannot be stored)" in err


CHILDREN = """
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from thrifty import task, workflow

@task
def locked(n: int) -> object:
    return threading.Lock()

@task
def outer(n: int) -> int:
    locked(n)
    return n

@task
def fails(n: int) -> int:
    locked(n)
    raise LookupError(n)

def use(n):
    locked(n)
    return n

def dies():
    # As the end of `with Pool()` does to its processes, unless they are quicker.
    for n in range(4):
        use(n)
    os.kill(os.getpid(), signal.SIGKILL)

@workflow
def run():
    return [outer(n) for n in range(3)]

if __name__ == "__main__":
    way = sys.argv[1]
    if way in multiprocessing.get_all_start_methods():
        pool = multiprocessing.get_context(way).Pool(1)
        assert pool.map(use, range(4)) == [0, 1, 2, 3]
        pool.close()
        pool.join()
    elif way == "killed":
        process = multiprocessing.Process(target=dies)
        process.start()
        process.join()
    elif way == "futures":
        with ProcessPoolExecutor(1) as pool:
            assert list(pool.map(use, range(4))) == [0, 1, 2, 3]
    elif way == "workers":
        assert run.with_options(executor="processes", workers=2)() == [0, 1, 2]
    elif way == "a worker that fails":
        try:
            fails.with_options(executor="processes", workers=1).map([1])
        except LookupError:
            pass
    elif way == "nothing":
        with ProcessPoolExecutor(1) as pool:
            assert list(pool.map(abs, [-1])) == [1]
"""


@pytest.mark.parametrize(
    ("way", "counts"),
    [
        ("fork", [1, 3]),
        ("spawn", [1, 3]),
        ("forkserver", [1, 3]),
        ("killed", [1]),
        ("futures", [1, 3]),
        ("workers", [3]),
        ("a worker that fails", [1]),
        ("nothing", []),
    ],
)
def test_what_children_do_not_store_is_told(programs, way, counts):
    programs.write("children.py", CHILDREN)
    process = programs.start("children.py", way)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = [line for line in err.splitlines() if "not stored" in line]
    for line, count in zip(told, counts, strict=True):
        assert f"calls outside of workflows: {count} not stored ({count} a value that" in line
