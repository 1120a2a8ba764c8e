"""To invalidate a result reaches whatever was made of it, however it was called."""

from __future__ import annotations

import json

import pytest

FLOWS = """
    import concurrent.futures
    import functools
    import subprocess
    import sys
    from thrifty import Cache, process, task, workflow

    @task
    def clean(n: int) -> int:
        print("clean", n)
        return n + 1

    @task(cache=False)
    def look(n: int) -> int:
        return n

    @task
    def handle_not_stored(n: int):
        return (i for i in range(n))

    @task
    def calls(n: int) -> int:
        print("calls")
        return clean(n) * 2

    @task(cache=Cache(observe=False))
    def unobserved(n: int) -> int:
        print("unobserved")
        return clean(n) * 3

    @task
    def around(n: int) -> int:
        print("around")
        return calls(n) + 1

    @task
    def in_a_thread(n: int) -> int:
        print("in_a_thread")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(clean, n).result()

    @functools.lru_cache
    def remembered(n):
        return clean(n)

    @task
    def first(n: int) -> int:
        print("first")
        return remembered(n)

    @task
    def second(n: int) -> int:
        print("second")
        return remembered(n)

    @task
    def in_a_process(n: int) -> int:
        return clean(n)

    @workflow
    def spread(n: int) -> int:
        return in_a_process(n)

    @task
    def fails(n: int) -> int:
        raise ValueError(n)

    @task
    def goes_on(n: int) -> int:
        print("goes_on")
        try:
            return fails(n)
        except ValueError:
            return -1

    @task(cache="refresh")
    def latest() -> int:
        return 1

    @task
    def middle(n: int) -> int:
        return latest()

    @task
    def polls(n: int) -> int:
        print("polls")
        return latest() + latest() + middle(1) + middle(2)

    @task
    def looks(n: int) -> int:
        print("looks")
        return look(n)

    @task
    def takes_not_stored(n: int) -> int:
        print("takes_not_stored")
        return sum(handle_not_stored(n))

    @process
    def unit(n: int) -> int:
        return clean(clean(n))

    @process
    def outer(n: int) -> int:
        return unit(n)

    @task
    def apart(n: int) -> int:
        print("apart")
        return n

    @workflow
    def flow(n: int) -> int:
        return calls(unit(n))

    @task
    def calls_a_flow(n: int) -> int:
        print("calls_a_flow")
        return flow(n)

    if __name__ == "__main__":
        name = sys.argv[1]
        if name == "spread":
            print(spread.with_options(executor="processes")(1))
        elif name == "both":
            print(first(1), second(1))
        elif name == "later":
            first(1)
            subprocess.run(
                [sys.executable, "-m", "thrifty", "invalidate", "--operation", "clean", "--yes"],
                check=True, capture_output=True,
            )
            print(second(1))
        elif name == "pool":
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                print(sum(pool.map(apart, range(40))))
        else:
            print(globals()[name](1))
    """


@pytest.fixture
def flows(programs):
    programs.write("flows.py", FLOWS)
    return programs


def invalidate(flows, *selection):
    said = flows.run("-m", "thrifty", "invalidate", *selection, "--yes", "--json")
    return json.loads(said)["entries"]


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("calls", 2),
        ("unobserved", 2),
        ("around", 3),
        ("in_a_thread", 2),
        ("both", 3),
        ("unit", 3),
        ("outer", 4),
        ("calls_a_flow", 6),
    ],
)
def test_what_was_made_of_a_result_goes_with_it(flows, name, entries):
    computed = flows.run("flows.py", name)
    assert "clean" in computed
    assert flows.run("flows.py", "apart") == "apart\n1\n"
    value = computed.splitlines()[-1]
    assert flows.run("flows.py", name) == f"{value}\n"
    assert invalidate(flows, "--operation", "clean") == entries
    assert flows.run("flows.py", name) == computed
    assert flows.run("flows.py", "apart") == "1\n"


@pytest.mark.parametrize(
    ("name", "operation"),
    [("looks", "look"), ("takes_not_stored", "handle_not_stored"), ("goes_on", "fails")],
)
def test_by_its_operation_also_where_it_is_not_stored(flows, name, operation):
    computed = flows.run("flows.py", name)
    assert flows.run("flows.py", name) != computed
    assert invalidate(flows, "--operation", operation) == 1
    assert flows.run("flows.py", name) == computed


def test_of_a_hit_too_and_where_the_parts_were_evicted(flows):
    flows.run("flows.py", "calls")
    # The inner call is a hit, and so is what it was made of.
    assert "calls\n" not in flows.run("flows.py", "around")
    flows.run("-m", "thrifty", "gc", "--budget", "0B")
    # A whole that is there, while what it was made of is gone.
    flows.run("flows.py", "around")
    shown = json.loads(
        flows.run("-m", "thrifty", "invalidate", "--operation", "calls", "--dry-run", "--json")
    )
    assert shown["entries"] == 2
    assert invalidate(flows, "--operation", "clean") == 3


def test_the_history_is_not_asked(flows):
    flows.run("flows.py", "outer")
    flows.run("-m", "thrifty", "gc", "--history", "0s")
    assert invalidate(flows, "--operation", "clean") == 4


def test_processes_bring_along_what_their_bodies_called(flows):
    flows.run("flows.py", "spread")
    assert flows.run("flows.py", "spread") == "2\n"
    assert invalidate(flows, "--operation", "clean") == 2


def test_what_a_function_remembered_of_before_an_invalidation_is_not_stored(flows):
    assert "second\n2\n" in flows.run("flows.py", "later")
    # Another process does not get what was made of it.
    assert "second" in flows.run("flows.py", "both")
    assert flows.run("flows.py", "both") == "2 2\n"


def test_what_runs_at_the_same_time_is_no_part(flows):
    flows.run("flows.py", "pool")
    shown = json.loads(flows.run("-m", "thrifty", "show", "--json"))
    assert invalidate(flows, "--key", shown["nodes"][0]["key"]) == 1


def test_a_part_that_is_computed_anew_each_time_keeps_nothing_from_being_stored(flows):
    assert flows.run("flows.py", "polls") == "polls\n4\n"
    assert flows.run("flows.py", "polls") == "4\n"


TAKES = """
    import functools
    import os
    import subprocess
    import sys
    from thrifty import Cache, task

    @task(cache=Cache(observe=False))
    def source() -> int:
        with open("source.txt") as file:
            return int(file.read())

    @task(cache="refresh")
    def latest() -> int:
        return 1

    def changed(value, operation="source"):
        with open("source.txt", "w") as file:
            file.write(str(value))
        subprocess.run(
            [sys.executable, "-m", "thrifty", "invalidate", "--operation", operation, "--yes"],
            check=True, capture_output=True,
        )

    @functools.lru_cache
    def remembered(n):
        return source()

    @task
    def first(n: int) -> int:
        return remembered(n)

    @task
    def second(n: int) -> int:
        return remembered(n)

    @task(cache=False)
    def look() -> int:
        return 1

    @functools.lru_cache
    def remembered_look():
        return look()

    @task
    def looks(n: int) -> int:
        return remembered_look() + n

    def outcome(n):
        return looks.run(n).nodes[0]["outcome"]

    def outcome_in_a_child(n):
        if child := os.fork():
            return os.waitpid(child, 0)[1]
        print(outcome(n), flush=True)
        os._exit(0)

    @task
    def both(n: int) -> int:
        return remembered(n) * 10 + source()

    @task
    def twice(n: int) -> int:
        before = source()
        changed(2)
        return before * 10 + source()

    @task
    def polls() -> int:
        return sum(latest() for _ in range(40))

    @task
    def polls_while_it_is_changed() -> int:
        before = latest()
        changed(1, "latest")
        return before + latest()

    if __name__ == "__main__":
        print(eval(sys.argv[1]))
    """


@pytest.fixture
def takes(programs):
    programs.write("takes.py", TAKES)
    programs.write("source.txt", "1")
    return programs


@pytest.mark.parametrize(
    ("before", "call", "stale", "right"),
    [
        # A function that remembers takes it for two bodies, and a third one gets what is older.
        ("first(1), changed(2), first(2)", "second(1)", 1, 2),
        ("first(1), changed(2)", "both(1)", 12, 22),
        ("0", "twice(1)", 12, 22),
    ],
)
def test_all_that_was_taken_of_a_call_counts(takes, before, call, stale, right):
    assert takes.run("takes.py", f"[{before}, {call}][-1]") == f"{stale}\n"
    assert takes.run("takes.py", call) == f"{right}\n"


def test_what_was_invalidated_before_a_function_remembered_says_nothing_of_that(takes):
    takes.run("takes.py", "looks(0)")
    takes.run("-m", "thrifty", "invalidate", "--operation", "look*", "--yes")
    calls = "looks(1), outcome(2), outcome_in_a_child(3)"
    assert takes.run("takes.py", calls) == "computed\n(2, 'computed', 0)\n"
    calls = "looks(4), changed(1, 'look'), outcome(5)"
    assert takes.run("takes.py", calls) == "(5, None, 'fenced')\n"
    # What is remembered since is newer.
    calls = "source(), changed(1, 'look'), looks(6), outcome(7)"
    assert takes.run("takes.py", calls) == "(1, None, 7, 'computed')\n"
    forget = "remembered_look.cache_clear()"
    calls = f"looks(8), changed(1, 'look'), {forget}, outcome(9), outcome(10)"
    assert takes.run("takes.py", calls) == "(9, None, None, 'computed', 'computed')\n"


def test_what_a_body_itself_makes_anew_ever_so_often_keeps_nothing_from_being_stored(takes):
    outcome = "[polls.run().nodes[0]['outcome'] for _ in range(2)]"
    assert takes.run("takes.py", outcome) == "['computed', 'hit-memory']\n"
    outcome = "polls_while_it_is_changed.run().nodes[0]['outcome']"
    assert takes.run("takes.py", outcome) == "fenced\n"


def test_neither_does_it_in_another_process(takes):
    for name, outcome in [("polls", "computed"), ("polls_while_it_is_changed", "fenced")]:
        run = f"{name}.with_options(executor='processes').run()"
        assert takes.run("takes.py", f"{run}.nodes[0]['outcome']") == f"{outcome}\n"


FALLS = """
    import os
    import subprocess
    import sys
    import threading
    import time
    from thrifty import Cache, task, workflow

    @task(cache=Cache(observe=False))
    def source() -> int:
        with open("source.txt") as file:
            return int(file.read())

    @task
    def breaks() -> int:
        if source() == 1:
            raise ValueError
        return 5

    @task(cache=False)
    def breaks_uncached() -> int:
        if source() == 1:
            raise ValueError
        return 5

    @task(cache=Cache(observe=False))
    def ends() -> int:
        if source() == 1:
            os._exit(1)
        return 5

    @task
    def beside(n: int) -> int:
        return n

    @task
    def becomes():
        if source() == 1:
            return [broken(), beside(3)]
        return 5

    @task
    def broken() -> int:
        raise ValueError

    @workflow
    def stored():
        return [beside(1), breaks(), beside(2)]

    @workflow
    def uncached():
        return [beside(1), breaks_uncached(), beside(2)]

    @workflow
    def became():
        return [beside(1), becomes(), beside(2)]

    @workflow
    def ended():
        return [beside(1), ends(), beside(2)]

    def change():
        if os.path.exists("changes"):
            os.remove("changes")
            with open("source.txt", "w") as file:
                file.write("2")
            subprocess.run(
                [sys.executable, "-m", "thrifty", "invalidate", "--operation", "source", "--yes"],
                check=True, capture_output=True,
            )

    @task(cache=Cache(observe=False))
    def goes_on(name: str, executor: str) -> int:
        flow = globals()[name].with_options(executor=executor, workers=2)
        try:
            flow()
        except (ValueError, RuntimeError):
            change()
            return -1
        return 1

    if __name__ == "__main__":
        print(goes_on(sys.argv[1], sys.argv[2]))
    """


@pytest.fixture
def falls(programs):
    programs.write("falls.py", FALLS)
    programs.write("source.txt", "1")
    return programs


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("name", ["stored", "uncached", "became", "ended"])
def test_a_failure_that_is_caught_is_part_of_what_goes_on(falls, name, executor):
    if (name, executor) == ("ended", "threads"):
        pytest.skip("it ends the program")
    falls.write("changes", "")
    assert falls.run("falls.py", name, executor) == "-1\n"
    assert falls.run("falls.py", name, executor) == "1\n"


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("name", ["stored", "uncached", "became"])
def test_to_invalidate_what_led_to_a_failure_reaches_what_goes_on(falls, name, executor):
    falls.run("falls.py", name, executor)
    falls.write("source.txt", "2")
    assert falls.run("falls.py", name, executor) == "-1\n"
    assert invalidate(falls, "--operation", "source") == 2
    assert falls.run("falls.py", name, executor) == "1\n"


REFRESHED = """
    import sys
    from pathlib import Path
    from thrifty import Cache, task, workflow

    @task(cache=Cache(observe=False))
    def state() -> int:
        return int(Path("state").read_text())

    @task
    def whole() -> int:
        print("whole")
        return state() * 10

    @workflow
    def flow() -> int:
        return whole()

    if __name__ == "__main__":
        if sys.argv[1] == "refresh":
            print(state.with_options(refresh="state")())
        else:
            print(flow())
    """


def test_a_refresh_to_another_value_removes_what_was_made_of_the_old(programs):
    programs.write("flows.py", REFRESHED)

    def run(state, name):
        programs.write("state", str(state))
        return programs.run("flows.py", name)

    assert run(1, "flow") == "whole\n10\n"
    assert run(1, "refresh") == "1\n"
    assert run(2, "flow") == "10\n"
    assert run(2, "refresh") == "2\n"
    assert run(2, "flow") == "whole\n20\n"
    runs = json.loads(programs.run("-m", "thrifty", "runs", "--json"))
    last = next(it["id"] for it in runs if it["name"].endswith("flow"))
    assert "by `refresh of " in programs.run("-m", "thrifty", "why", last, "whole")
    # Taken away, so that nobody knows what it was.
    programs.run("-m", "thrifty", "pin", "whole")
    programs.run("-m", "thrifty", "gc", "--budget", "0B")
    assert run(3, "flow") == "20\n"
    assert run(3, "refresh") == "3\n"
    assert run(3, "flow") == "whole\n30\n"
