"""Pinned entries stay, whatever is asked to be freed."""

from __future__ import annotations

import json

import pytest

STEPS = """
    import sys
    from thrifty import task

    @task
    def kept(n: int) -> bytes:
        print("kept", n)
        return bytes(5000) + bytes([n])

    @task
    def other(n: int) -> bytes:
        print("other", n)
        return bytes(5000) + bytes([n])

    def refresh():
        kept.with_options(refresh="kept")(1)

    if __name__ == "__main__":
        {"refresh": refresh}.get(sys.argv[-1], lambda: [kept(1), kept(2), other(1)])()
    """

ALL = "kept 1\nkept 2\nother 1\n"


@pytest.fixture
def steps(programs):
    programs.write("steps.py", STEPS)
    assert programs.run("steps.py") == ALL
    assert programs.run("steps.py") == ""
    return programs


def thrifty(programs, *arguments, code=0):
    return programs.run("-m", "thrifty", *arguments, code=code)


def collected(programs):
    return json.loads(thrifty(programs, "gc", "--budget", "0B", "--json"))["entries"]


def test_a_pinned_operation_stays_when_all_else_is_evicted(steps):
    thrifty(steps, "pin", "kept")
    assert collected(steps) == 1
    assert steps.run("steps.py") == "other 1\n"
    # Taken back, it goes as the others do.
    thrifty(steps, "pin", "--off", "kept")
    assert collected(steps) == 3
    assert steps.run("steps.py") == ALL


def test_one_entry_is_pinned_by_the_beginning_of_its_key(steps):
    nodes = json.loads(thrifty(steps, "show", "--json"))["nodes"]
    keys = {(node["name"], node["label"]): node["key"] for node in nodes}
    [key] = [key for (name, label), key in keys.items() if name == "other"]
    thrifty(steps, "pin", key[:12])
    assert collected(steps) == 2
    assert steps.run("steps.py") == "kept 1\nkept 2\n"


def test_what_takes_the_place_of_a_pinned_entry_is_pinned(steps):
    thrifty(steps, "pin", "kept")
    assert steps.run("steps.py", "refresh") == "kept 1\n"
    assert collected(steps) == 1
    assert steps.run("steps.py") == "other 1\n"


def test_to_invalidate_reaches_pinned_entries(steps):
    thrifty(steps, "pin", "kept")
    thrifty(steps, "invalidate", "--operation", "kept", "--yes")
    assert steps.run("steps.py") == "kept 1\nkept 2\n"
    # What is computed anew was not there when the pins were set.
    assert collected(steps) == 3


def test_pins_are_listed_and_counted(steps):
    thrifty(steps, "pin", "kept")
    listed = thrifty(steps, "pin").splitlines()
    assert [line.split()[1].rsplit(".", 1)[-1] for line in listed[1:]] == ["kept", "kept"]
    assert "2 entries pinned" in thrifty(steps, "stats")
    assert json.loads(thrifty(steps, "stats", "--json"))["pinned"] == 2


def test_a_pin_of_nothing_says_what_there_is(steps):
    told = thrifty(steps, "pin", "keptt", code=2)
    assert "no entry of default/development matches `keptt`; did you mean" in told
