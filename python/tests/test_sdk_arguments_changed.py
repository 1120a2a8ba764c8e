"""Arguments in memory that another thread changes: nothing is stored under a key that they no
longer have. What a task changes of its own arguments, with nobody else about, does not count.
"""

from __future__ import annotations

import pytest

PROGRAM = """
    import sys
    import threading
    from typing import Annotated
    from thrifty import Cache, HashMethod, task

    over, inside, changed = threading.Event(), threading.Event(), threading.Event()

    @task
    def total(batch: list) -> float:
        print("total")
        if over.is_set():
            return sum(batch)
        inside.set()
        changed.wait()
        return sum(batch)

    def content_of_then(batch):
        # The worst moment: the key is made, and the body has not begun.
        content = repr(batch).encode()
        if not over.is_set():
            over.set()
            batch[:] = [9.0]
        return content

    @task
    def late(batch: Annotated[list, HashMethod(content_of_then)]) -> float:
        print("late")
        return sum(batch)

    @task
    def sort(batch: list) -> list:
        print("sort")
        batch.sort()
        return [*batch]

    @task(cache=Cache(key=lambda batch: len(batch)))
    def by_length(batch: list) -> list:
        print("by_length")
        batch.sort()
        return batch

    @task(cache=Cache(ignore="batch"))
    def blind(batch: list) -> int:
        print("blind")
        batch.sort()
        return 1

    @task
    def starts_a_thread(batch: list) -> list:
        print("starts_a_thread")
        thread = threading.Thread(target=changed.wait)
        thread.start()
        batch.sort()
        return [*batch]

    def beside(act, thread=None):
        # Something of the program's goes on in another thread.
        thread = thread or threading.Thread(target=changed.wait)
        thread.start()
        try:
            print(act())
        finally:
            changed.set()
            thread.join()

    def feeder():
        buffer = [1.0, 2.0]
        feeds = threading.Thread(target=lambda: (inside.wait(), buffer.clear(), changed.set()))
        feeds.start()
        print(total(buffer))
        feeds.join()

    class Heartbeat(threading.Thread):
        def run(self):
            changed.wait()

    Heartbeat.__module__ = "ipykernel.heartbeat"
    messages = threading.Thread(target=changed.wait)

    class Messages:
        def loop(self):
            changed.wait()

    Messages.loop.__module__ = "ipykernel.iostream"

    name = sys.argv[1]
    if name == "feeder":
        feeder()
    elif name == "fresh":
        over.set()
        print(total([1.0, 2.0]))
    elif name == "late":
        beside(lambda: late([1.0, 2.0]))
    elif name == "late, alone":
        over.set()
        print(late([1.0, 2.0]))
    elif name == "unchanged":
        over.set()
        beside(lambda: total([1.0, 2.0]))
    elif name == "alone":
        print(sort([2, 1]))
    elif name == "beside":
        beside(lambda: sort([2, 1]))
    elif name == "notebook":
        beside(lambda: sort([2, 1]), Heartbeat())
    elif name == "messages":
        beside(lambda: sort([2, 1]), threading.Thread(target=Messages().loop))
    elif name == "elsewhere":
        thread = threading.Thread(target=lambda: print(sort([2, 1])))
        thread.start()
        thread.join()
    elif name == "starts":
        print(starts_a_thread([2, 1]))
        changed.set()
    elif name == "refused":
        beside(lambda: by_length([2, 1]))
    elif name == "blind":
        beside(lambda: blind([2, 1]))
    """


@pytest.fixture
def program(programs):
    programs.write("main.py", PROGRAM)
    return programs


def test_changed_by_another_thread_while_the_body_runs(program):
    assert program.run("main.py", "feeder") == "total\n0\n"
    assert program.run("main.py", "fresh") == "total\n3.0\n"
    assert program.run("main.py", "fresh") == "3.0\n"


def test_changed_before_the_body_begins(program):
    assert program.run("main.py", "late") == "late\n9.0\n"
    assert program.run("main.py", "late, alone") == "late\n3.0\n"
    assert program.run("main.py", "late, alone") == "3.0\n"


def test_what_is_said_of_it(program):
    program.run("main.py", "beside")
    shown = program.run("-m", "thrifty", "show", "last")
    assert "the argument batch was changed while the task ran" in shown


# With another thread about, nobody knows who changed it; alone, it was the task.
@pytest.mark.parametrize(
    ("name", "operation", "is_stored"),
    [
        ("alone", "sort", True),
        ("beside", "sort", False),
        ("elsewhere", "sort", False),
        ("notebook", "sort", True),
        ("messages", "sort", True),
        ("starts", "starts_a_thread", True),
        ("unchanged", "total", True),
        ("refused", "by_length", True),
        ("blind", "blind", True),
    ],
)
def test_whether_the_result_is_stored(program, name, operation, is_stored):
    first, second = (program.run("main.py", name) for _ in range(2))
    assert first.startswith(operation)
    assert second.startswith(operation) is not is_stored
