"""Scripts, modules, notebooks, worker processes, interrupts, many processes at once."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import thrifty

pytestmark = pytest.mark.usefixtures("home")

LIBRARY = """
import os
import time
from thrifty import task, workflow

FACTOR = 2

@task
def pid(n: int) -> int:
    return os.getpid()

@task
def rows(n: int) -> list[int]:
    import numpy as np
    return np.arange(n)

@task
def scaled(values, n: int):
    return values * FACTOR + n

@task
def fails(n: int) -> int:
    raise LookupError(n, "for the user")

@task
def dies(n: int) -> int:
    os._exit(7)

@workflow
def pipeline(n: int):
    return scaled(rows(n), 1)
"""


@pytest.fixture
def library(programs):
    programs.write("library.py", LIBRARY)
    return programs


def test_bodies_run_in_worker_processes(library):
    library.write(
        "main.py",
        """
        import os
        import library

        if __name__ == "__main__":
            workers = library.pid.with_options(executor="processes", workers=2).map(range(6))
            assert os.getpid() not in workers
            assert 1 <= len(set(workers)) <= 2
            run = library.pipeline.with_options(executor="processes").run(100_000)
            assert run.value[:3].tolist() == [1, 3, 5], run
            print(*(node["outcome"] for node in run.nodes))
            print(*(node["outcome"][:3] for node in library.pipeline.run(100_000).nodes))
        """,
    )
    assert library.run("main.py") == "computed computed\nhit hit\n"


def test_an_input_that_a_worker_cannot_load_is_computed_again(library):
    library.write(
        "main.py",
        """
        import pathlib
        import os
        import library

        if __name__ == "__main__":
            processes = library.pipeline.with_options(executor="processes", workers=1)
            processes(100_000)
            for blob in pathlib.Path(os.environ["THRIFTY_HOME"]).glob("blobs/v1/*/*"):
                blob.unlink()
            run = processes.with_options(refresh=["scaled"]).run(100_000)
            assert run.value[:3].tolist() == [1, 3, 5], run
            print(*(node["outcome"] for node in run.nodes))
        """,
    )
    assert library.run("main.py") == "computed computed\n"


def test_the_configuration_may_choose_worker_processes(library):
    library.write("thrifty.toml", 'executor = "processes"\nworkers = 1\n')
    library.write(
        "main.py",
        """
        import os
        import library
        from thrifty import testing

        if __name__ == "__main__":
            assert library.pid.map([1])[0] != os.getpid()
            assert library.pid.with_options(executor="threads").map([2]) == [os.getpid()]
            with testing.memory_cache():
                # No other process could reach this cache.
                assert library.pid.map([1]) == [os.getpid()]
                assert library.pipeline(100_000)[:2].tolist() == [1, 3]
        """,
    )
    assert library.run("main.py") == ""


def test_one_of_two_processes_computes(library):
    library.write(
        "main.py",
        """
        import sys
        from thrifty import Cache, task

        @task(cache=Cache(serialize=True))
        def slow(n: int) -> int:
            print("computing", flush=True)
            sys.stdin.readline()
            return n

        print("calling", flush=True)
        print(slow(1), flush=True)
        """,
    )
    first = library.start("main.py", stdin=-1)
    assert [first.stdout.readline() for _ in range(2)] == ["calling\n", "computing\n"]
    second = library.start("main.py", stdin=-1)
    assert second.stdout.readline() == "calling\n"
    assert first.communicate("go\n", timeout=60)[0] == "1\n"
    assert second.communicate("", timeout=60)[0] == "1\n"


def test_tasks_of_a_script_run_in_worker_processes(programs):
    programs.write(
        "script.py",
        """
        import os
        from thrifty import task

        @task
        def where(n: int) -> int:
            return os.getpid()

        if __name__ == "__main__":
            processes = where.with_options(executor="processes", workers=1)
            assert processes.map([1, 2])[0] != os.getpid()
            assert where.map([1, 2]) == processes.map([1, 2])
            print("done")
        """,
    )
    assert programs.run("script.py") == "done\n"
    assert programs.run("-m", "script") == "done\n"


@pytest.mark.parametrize(
    ("body", "error", "texts"),
    [
        (
            "library.fails(1)",
            "LookupError",
            ["(1, 'for the user')", "in fails", "raise LookupError"],
        ),
        ("library.dies(1)", "RuntimeError", ["worker process died", "library.dies", "threads"]),
        ("local(1)", "PicklingError", ["top level of a module", 'executor="threads"']),
        ("library.scaled(lambda: 1, 1)", "PicklingError", ["arguments of library.scaled"]),
    ],
)
def test_what_goes_wrong_in_workers(library, body, error, texts):
    library.write(
        "main.py",
        f"""
        import library
        from thrifty import task, workflow

        def make():
            @task
            def local(n: int) -> int:
                return n
            return local

        local = make()

        @workflow
        def wrong():
            return {body}

        if __name__ == "__main__":
            wrong.with_options(executor="processes", workers=1)()
        """,
    )
    printed = library.run("main.py", code=1)
    assert error in printed
    for text in texts:
        assert text in printed


def test_a_worker_that_would_compute_something_else(library):
    library.write(
        "main.py",
        """
        import library

        if __name__ == "__main__":
            library.FACTOR = 3
            library.scaled.with_options(executor="processes", workers=1).map([1], [1])
        """,
    )
    assert "library.scaled is not the same in a worker process" in library.run("main.py", code=1)


def test_an_interrupt_stops_workers(library):
    library.write(
        "main.py",
        """
        import sys, time
        from thrifty import task

        @task
        def forever(n: int) -> int:
            print("running", flush=True)
            while True:
                time.sleep(0.01)

        if __name__ == "__main__":
            forever.with_options(executor=sys.argv[1], workers=2).map([1])
        """,
    )
    for executor in ("threads", "processes"):
        process = library.start("main.py", executor)
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in err


def test_an_interrupted_call_on_its_own_stores_nothing(programs):
    programs.write(
        "main.py",
        """
        import sys, time
        from thrifty import task

        @task
        def slow(n: int) -> int:
            print("running", flush=True)
            sys.stdin.readline()
            return n

        slow(1)
        """,
    )
    for _ in range(2):
        process = programs.start("main.py", stdin=-1)
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert "KeyboardInterrupt" in err


def test_cells_of_a_notebook(programs):
    # A notebook gives its cells to `linecache` and runs them in `__main__`.
    programs.write(
        "kernel.py",
        """
        import json, linecache, sys

        def cell(number, text):
            name = f"/tmp/ipykernel_1/{number}.py"
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
            exec(compile(text, name, "exec"), sys.modules["__main__"].__dict__)

        del __file__
        for number, text in enumerate(json.loads(sys.argv[1])):
            cell(number, text)
        """,
    )
    define = "from thrifty import task\nRATE = {}\n@task\ndef f(n):\n    print('computing')\n    return n * RATE\n"
    call = "print(f(2), f.operation_name)\n"

    def notebook(*cells):
        return programs.run("kernel.py", json.dumps(cells))

    assert notebook(define.format(3), call) == "computing\n6 notebook.f\n"
    assert notebook("# another cell\n", define.format(3), call) == "6 notebook.f\n"
    # The same cell run again, with a change.
    assert notebook(define.format(3), call, define.format(4), call) == (
        "6 notebook.f\ncomputing\n8 notebook.f\n"
    )


def test_a_package_that_is_run(programs):
    programs.write("pkg/__init__.py", "")
    programs.write(
        "pkg/work.py",
        """
        from thrifty import task

        @task
        def f() -> int:
            print("computing")
            return 1

        if __name__ == "__main__":
            print(f(), f.operation_name)
        """,
    )
    assert programs.run("-m", "pkg.work") == "computing\n1 pkg.work.f\n"
    assert programs.run("-c", "import pkg.work; print(pkg.work.f())") == "1\n"


def test_the_command(programs):
    assert "thrifty" in programs.run("-m", "thrifty", "--version")


def test_import_is_light(programs):
    heavy = ["numpy", "pandas", "typing", "dataclasses", "inspect", "logging", "json", "re"]
    heavy += ["concurrent.futures", "multiprocessing", "importlib.metadata", "thrifty.files"]
    programs.write("light.py", "from thrifty import task\n\n@task\ndef f(a):\n    return a\n")
    check = f"import light, sys; light.f(1); print([n for n in {heavy} if n in sys.modules])"
    for _ in range(2):
        assert programs.run("-S", "-c", f"import sys; sys.path[:0] = {sys.path}; {check}") == "[]\n"


def test_many_processes_at_once(library):
    soak = pathlib.Path(__file__).with_name("soak.py")
    assert "0 wrong" in library.run(str(soak), "--processes", "16", "--seconds", "3")


def test_a_task_is_pickled_by_name(library, monkeypatch):
    import importlib
    import pickle

    monkeypatch.syspath_prepend(str(library.directory))
    module = importlib.import_module("library")
    try:
        assert pickle.loads(pickle.dumps(module.rows)) is module.rows
        made = module.scaled.with_options(workers=2).with_overrides(cache=thrifty.Cache(salt="s"))
        again = pickle.loads(pickle.dumps(made))
        assert again.key([1], 2) == made.key([1], 2) != module.scaled.key([1], 2)
        assert again.operation_name == "library.scaled"
    finally:
        del sys.modules["library"]


def test_a_forked_child_has_workers_of_its_own(programs):
    programs.write(
        "forking.py",
        """
        import os, signal
        from thrifty import task

        @task
        def worker(n: int) -> int:
            return os.getppid()

        if __name__ == "__main__":
            apart = worker.with_options(executor="processes", workers=1)
            assert apart.map([1]) == [os.getpid()]
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                try:
                    assert apart.map([2]) == [os.getpid()]
                except BaseException:
                    os._exit(1)
                raise SystemExit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert apart.map([3]) == [os.getpid()]
            print("done")
        """,
    )
    assert programs.run("forking.py") == "done\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_calls_of_a_pool_in_a_workflow_give_values(programs, method):
    programs.write(
        "pools.py",
        f"""
        import multiprocessing

        from thrifty import Cache, task, workflow


        @task
        def square(n):
            return n * n


        @workflow
        def squares(ns):
            return [square(n) for n in ns]


        @task
        def added(ns):
            return sum(ns)


        @workflow
        def through_pool(ns):
            before = square(9)
            with multiprocessing.get_context("{method}").Pool(1) as pool:
                apart = pool.map(square, ns)
                within = pool.map(squares, [ns])
            return added([before, square(10), *apart]), within


        if __name__ == "__main__":
            run = through_pool.run([2, 3])
            print(run.value, sorted(node["name"] for node in run.nodes))
        """,
    )
    names = "['pools.added', 'pools.square', 'pools.square']"
    assert programs.run("pools.py") == f"(194, [[4, 9]]) {names}\n"


@pytest.mark.parametrize("kind", ["task", "workflow"])
def test_a_forked_child_may_go_on_with_what_its_parent_ran(programs, kind):
    programs.write(
        "going_on.py",
        f"""
        import os

        from thrifty import task, workflow


        @task
        def square(n):
            return n * n


        @{kind}
        def forking(n):
            before = square(n)
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                assert not status
            return [before, square(before), square(n + 1)]


        parent = os.getpid()
        print(forking(3), flush=True)
        if os.getpid() != parent:
            os._exit(0)
        """,
    )
    assert programs.run("going_on.py") == "[9, 81, 16]\n" * 2


def test_what_was_chosen_for_a_run_goes_for_forked_children(programs):
    programs.write(
        "chosen.py",
        """
        import multiprocessing
        import os

        from thrifty import task, workflow


        @task
        def square(n):
            os.write(1, b"ran ")
            return n * n


        @workflow
        def through_pool(n):
            with multiprocessing.get_context("fork").Pool(1) as pool:
                return pool.apply(square, [n])


        through_pool(2)
        through_pool(2)
        through_pool.with_options(refresh="square")(2)
        """,
    )
    assert programs.run("chosen.py") == "ran ran "


def test_workers_of_a_run_that_waits_for_nobody_wait_for_nobody(programs):
    programs.write(
        "now.py",
        """
        import os, sys
        from thrifty import Cache, task

        @task(cache=Cache(serialize=True))
        def inner(n: int) -> int:
            if os.environ.get("HOLDS"):
                print("computing", flush=True)
                sys.stdin.readline()
            return n + 1

        @task
        def outer(n: int) -> int:
            return inner(n)

        if __name__ == "__main__":
            if os.environ.get("HOLDS"):
                inner(1)
            else:
                now = outer.with_options(executor="processes", workers=1, now=True)
                print(now.map([1]))
        """,
    )
    holder = programs.start("now.py", stdin=subprocess.PIPE, env={**os.environ, "HOLDS": "1"})
    assert holder.stdout is not None
    assert holder.stdout.readline() == "computing\n"
    assert programs.run("now.py") == "[2]\n"
    holder.communicate("go\n", timeout=60)
    assert holder.returncode == 0
