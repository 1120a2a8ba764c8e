"""Functions that remember what they gave, such as those of ``functools.lru_cache``: what they read counts
for every body that takes what they remember.
"""

from __future__ import annotations

import json

import pytest

HEAD = """
    import functools, os, sys
    from thrifty import task, workflow

    @functools.cache
    def load(name):
        with open(name) as file:
            return int(file.read())

    @functools.lru_cache(maxsize=4)
    def scale():
        return int(os.environ["SCALE"]) * load("b")

    class Tables:
        @staticmethod
        @functools.cache
        def first():
            return load("a") + 100

    @functools.cache
    def square(number):
        return number * number

    @task
    def reads(a: int, name: str = "a") -> int:
        print("reads", a, name, flush=True)
        return a + load(name)

    @task
    def scales(a: int) -> int:
        print("scales", a, flush=True)
        return a * scale()

    @task
    def first(a: int) -> int:
        print("first", a, flush=True)
        return a + Tables.first()

    @task
    def squares(a: int) -> int:
        print("squares", a, flush=True)
        return square(a) + square(1)

    @functools.cache
    def asks():
        return reads(0)

    @task
    def outer(a: int) -> int:
        print("outer", a, flush=True)
        return a + asks()
"""


@pytest.fixture
def steps(programs):
    programs.write("steps.py", HEAD)
    for name in ("a", "b"):
        programs.write(name, "1")
    return programs


def run(programs, code: str, **variables: str) -> list[str]:
    """The lines that a program printed."""
    import os

    env = {**os.environ, "SCALE": "2", **variables}
    process = programs.start("-W", "ignore", "-c", f"from steps import *\n{code}", env=env)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out.splitlines()


TWICE = {
    "file": ("print(reads(1), reads(2))", ["2 3", "3 4"]),
    "method": ("print(first(1), first(2))", ["102 103", "103 104"]),
    "inner": ("print(outer(1), outer(2))", ["2 3", "3 4"]),
}


@pytest.mark.parametrize("case", TWICE)
def test_what_was_remembered_counts_for_each_body(steps, case):
    code, (before, after) = TWICE[case]
    assert run(steps, code)[-1] == before
    assert run(steps, code) == [before]
    steps.write("a", "2")
    lines = run(steps, code)
    assert lines[-1] == after, lines
    assert run(steps, code) == [after]


def test_variables_and_what_it_remembers_of_others_count(steps):
    code = "print(scales(1), scales(2))"
    assert run(steps, code)[-1] == "2 4"
    assert run(steps, code) == ["2 4"]
    assert run(steps, code, SCALE="3")[-1] == "3 6"
    steps.write("b", "5")
    assert run(steps, code, SCALE="3")[-1] == "15 30"


def test_what_a_decorator_of_the_project_keeps_counts(steps):
    steps.write(
        "memo.py",
        """
        import functools
        from thrifty import task

        def memoized(function):
            kept = {}

            @functools.wraps(function)
            def wrapper(*given):
                if given not in kept:
                    kept[given] = function(*given)
                return kept[given]

            return wrapper

        @memoized
        def load():
            return int(open("a").read())

        @task
        def reads(a: int) -> int:
            return a + load()
        """,
    )
    code = "import memo\nprint(memo.reads(1), memo.reads(2))"
    assert run(steps, code) == ["2 3"]
    steps.write("a", "2")
    assert run(steps, code) == ["3 4"]


def test_only_what_was_taken_counts(steps):
    code = "print(reads(1, 'a'), reads(1, 'b'), squares(3))"
    assert run(steps, code)[-1] == "2 2 10"
    steps.write("a", "5")
    # The other file was not remembered by the body that read `b`, and squares read nothing.
    assert run(steps, code) == ["reads 1 a", "6 2 10"]


def test_worker_processes_remember_too(steps):
    steps.write("thrifty.toml", 'executor = "processes"\nworkers = 1\n')
    steps.write(
        "flow.py",
        "import steps\nfrom thrifty import workflow\n\n\n@workflow\ndef both() -> list[int]:\n    return [steps.reads(1), steps.reads(2)]\n",
    )
    code = "import flow\nif __name__ == '__main__': print(flow.both())"
    assert run(steps, code)[-1] == "[2, 3]"
    steps.write("a", "2")
    assert run(steps, code)[-1] == "[3, 4]"


def test_a_function_that_is_imported_by_the_body_counts(steps):
    steps.write(
        "late.py",
        "from thrifty import task\n\n\n@task\ndef late(a: int) -> int:\n    from steps import load\n\n    return a + load('a')\n",
    )
    code = "import late\nprint(late.late(1), late.late(2))"
    assert run(steps, code)[-1] == "2 3"
    steps.write("a", "2")
    assert run(steps, code)[-1] == "3 4"


def test_what_was_remembered_before_any_body_ran_is_warned_of(steps):
    warned = "import warnings\nwarnings.simplefilter('always')\nwarnings.showwarning = lambda text, *_: print('warned:', str(text)[:60])\n"
    lines = run(steps, warned + "load('a')\nprint(reads(1))")
    assert lines[-1] == "2"
    assert [line for line in lines if "warned: steps.reads takes what a function" in line], lines
    assert not [
        line for line in run(steps, warned + "print(reads(3), reads(4))") if "warned" in line
    ]


def test_a_change_in_between_is_not_stored(steps):
    code = "print(reads(1))\nopen('a', 'w').write('7')\nprint(reads(2))"
    assert run(steps, code) == ["reads 1 a", "2", "reads 2 a", "3"]
    # What it remembered was no longer in the file.
    assert run(steps, "print(reads(2))") == ["reads 2 a", "9"]


NESTED = {
    "one after the other": "print(reads(1, 'b')); print(scales(2)); print(scales(3))",
    "forgotten": "print(scales(1)); scale.cache_clear(); print(scales(2)); print(scales(3))",
}


@pytest.mark.parametrize("case", NESTED)
def test_what_one_remembers_of_another_counts_for_who_takes_it(steps, case):
    assert run(steps, NESTED[case])[-1] == "6"
    assert run(steps, "print(scales(3))") == ["6"]
    steps.write("b", "5")
    assert run(steps, "print(scales(3))") == ["scales 3", "30"]


ELSEWHERE = """
    import concurrent.futures, functools, os, threading
    from thrifty import Cache, task

    POOL = concurrent.futures.ThreadPoolExecutor(1)
    POOL.submit(len, "").result()

    def read(name):
        with open(name) as file:
            return int(file.read())

    @functools.cache
    def load(name="a"):
        return read(name)

    @functools.cache
    def prepared():
        return load() * 10

    @task
    def part(n: int) -> int:
        return n

    @functools.cache
    def calls():
        return part(1)

    @functools.cache
    def calls_another():
        return calls() * 10

    @task(cache=Cache(observe=False))
    def fails() -> int:
        raise ValueError(part(1))

    @functools.cache
    def tries():
        try:
            return fails()
        except ValueError:
            return -1

    def in_a_thread(function, *given):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *given).result()

    @functools.cache
    def reads_in_a_thread():
        return in_a_thread(read, "a")

    @functools.cache
    def reads_in_a_thread_of_a_thread():
        return in_a_thread(in_a_thread, read, "a")

    @functools.cache
    def calls_in_a_thread():
        return in_a_thread(part, 1)

    @functools.cache
    def clears_itself():
        number = read("a")
        clears_itself.cache_clear()
        return number + read("b")

    @functools.cache
    def reads_in_a_thread_of_before():
        return POOL.submit(read, "a").result()

    REMEMBER = [
        load, reads_in_a_thread_of_before, prepared, clears_itself, calls, calls_another, tries,
        reads_in_a_thread, reads_in_a_thread_of_a_thread, calls_in_a_thread,
    ]

    def asked(name):
        (function,) = [it for it in REMEMBER if it.__name__ == name]
        return function()

    @task
    def takes(name: str, n: int) -> int:
        print("takes", n, flush=True)
        value = asked(name)
        if n < 0:
            raise ValueError("not yet")
        return value + n

    @task
    def clears(n: int) -> int:
        load.cache_clear()
        return load() + n

    @functools.cache
    def is_there(n):
        return os.path.exists("a")

    @task
    def clears_often(n: int) -> int:
        for _ in range(n):
            is_there(1), is_there(2)
            is_there.cache_clear()
        return n

    @task
    def takes_and_clears() -> int:
        print("takes_and_clears", flush=True)
        number = load()
        load.cache_clear()
        return number + load("b")

    @task(cache=Cache(observe=False))
    def unobserved(name: str) -> int:
        return asked(name)

    @task
    def around(name: str) -> int:
        return unobserved(name)

    def raises(name):
        try:
            takes(name, -1)
        except ValueError:
            print("raised", flush=True)

    @task
    def busy(began: int, ends: int) -> int:
        os.write(began, b"x")
        return len(os.read(ends, 1))

    class Busy:
        # Another thread runs a body.

        def __enter__(self):
            (began, tells), (ends, self.end) = os.pipe(), os.pipe()
            self.thread = threading.Thread(target=busy, args=(tells, ends))
            self.thread.start()
            os.read(began, 1)

        def __exit__(self, *_):
            os.write(self.end, b"x")
            self.thread.join()
"""


@pytest.fixture
def elsewhere(steps):
    steps.write("steps.py", ELSEWHERE)
    return steps


def is_taken_anew(elsewhere, name):
    """Whether what another process stored is taken no longer, once a file is another one."""
    code = f"print(takes({name!r}, 1))"
    (before,) = run(elsewhere, code)
    elsewhere.write("a", "5")
    taken, after = run(elsewhere, code)
    return taken == "takes 1" and after != before


def goes_with_part(elsewhere):
    """How many entries go with the task that functions call."""
    said = elsewhere.run("-m", "thrifty", "invalidate", "--operation", "part", "--yes", "--json")
    return json.loads(said)["entries"]


THREADS = ["reads_in_a_thread", "reads_in_a_thread_of_a_thread", "reads_in_a_thread_of_before"]


def test_what_a_function_took_in_a_body_that_failed_counts(elsewhere):
    run(elsewhere, "takes('load', 0); raises('prepared'); takes('prepared', 1)")
    assert is_taken_anew(elsewhere, "prepared")


def test_what_a_function_called_in_a_body_that_failed_counts(elsewhere):
    run(elsewhere, "takes('calls', 0); raises('calls_another'); takes('calls_another', 1)")
    assert goes_with_part(elsewhere) == 3


def test_what_fails_within_a_function_counts(elsewhere):
    run(elsewhere, "takes('tries', 0); takes('tries', 1)")
    assert goes_with_part(elsewhere) == 3


@pytest.mark.parametrize("name", THREADS)
def test_what_threads_of_a_function_read_counts(elsewhere, name):
    run(elsewhere, f"takes({name!r}, 0); takes({name!r}, 1)")
    assert is_taken_anew(elsewhere, name)


def test_what_threads_of_a_function_call_counts(elsewhere):
    run(elsewhere, "takes('calls_in_a_thread', 0); takes('calls_in_a_thread', 1)")
    assert goes_with_part(elsewhere) == 3


@pytest.mark.parametrize("name", ["load", "reads_in_a_thread"])
def test_what_a_function_read_beside_a_body_counts(elsewhere, name):
    warned = "import warnings\nwarnings.simplefilter('error')\n"
    beside = f"takes('calls', 0)\nwith Busy(): asked({name!r})\ntakes({name!r}, 1)"
    run(elsewhere, f"{warned}{beside}")
    assert is_taken_anew(elsewhere, name)


def test_what_a_function_called_beside_a_body_counts(elsewhere):
    run(elsewhere, "takes('load', 0)\nwith Busy(): calls()\ntakes('calls', 1)")
    assert goes_with_part(elsewhere) == 2


def test_what_a_function_read_in_a_body_that_is_not_observed_counts(elsewhere):
    run(elsewhere, "around('load'); takes('load', 1)")
    assert is_taken_anew(elsewhere, "load")


CLEARED = {
    "between bodies": "load.cache_clear(); takes('load', 2)",
    "in a body": "clears(2)",
    "and not asked before": "load.cache_clear()",
}


@pytest.mark.parametrize("case", CLEARED)
def test_what_was_forgotten_keeps_nothing_from_being_stored(elsewhere, case):
    # It gave more often than it will have when it is looked at again.
    before = "takes('load', 0); takes('load', 1); takes('load', 5)"
    change = "with open('a', 'w') as file: file.write('5')"
    run(elsewhere, f"{before}\n{change}\n{CLEARED[case]}\ntakes('load', 3); takes('load', 4)")
    assert run(elsewhere, "print(takes('load', 4))") == ["9"]


def test_what_was_taken_before_it_was_forgotten_counts(elsewhere):
    before = "takes('load', 0); takes('load', 1); takes('load', 2)"
    run(elsewhere, f"{before}\ntakes_and_clears()")
    assert run(elsewhere, "print(takes_and_clears())") == ["2"]
    elsewhere.write("a", "5")
    assert run(elsewhere, "print(takes_and_clears())") == ["takes_and_clears", "6"]


def test_what_a_run_read_before_it_cleared_itself_counts(elsewhere):
    run(elsewhere, "takes('clears_itself', 0); takes('clears_itself', 1)")
    run(elsewhere, "takes('clears_itself', 0); takes('clears_itself', 2)")
    assert is_taken_anew(elsewhere, "clears_itself")


def test_a_body_may_clear_a_function_without_end(elsewhere):
    on_a_small_stack = """
threading.stack_size(512 * 1024)
thread = threading.Thread(target=lambda: print(clears_often(20_000)))
thread.start()
thread.join()
"""
    assert run(elsewhere, on_a_small_stack) == ["20000"]
