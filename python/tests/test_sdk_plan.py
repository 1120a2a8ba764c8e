"""Plans: what a call would run, told before anything is spent; and what `why` says afterwards."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import termios
from pathlib import Path

import pytest
import thrifty
from thrifty import Cache, File, HandleError, Secret, UnhashableArgument, task, testing, workflow

PIPELINE = """
    from thrifty import task, workflow

    LIMIT = 10
    RATE = 0.5

    @task
    def load(n: int = 3) -> list[int]:
        print("ran load")
        return list(range(n))

    @task
    def clean(rows: list[int]) -> list[int]:
        print("ran clean")
        return [row for row in rows if row < LIMIT]

    @task
    def train(rows: list[int], depth: int) -> float:
        print("ran train")
        return depth * RATE + sum(rows)

    @workflow
    def tournament(rows: list[int]) -> list[float]:
        return [train(rows, depth) for depth in (1, 2)]

    @task
    def report(scores: list[float]) -> str:
        print("ran report")
        return f"best: {max(scores)}"

    @workflow
    def experiment(n: int = 3) -> str:
        return report(tournament(clean(load(n))))
"""


def rows(home: Path) -> dict[str, int]:
    with sqlite3.connect(home / "catalog.sqlite") as database:
        tables = ("entry", "run", "node", "blob", "slot", "invalidation", "text", "memo")
        count = "SELECT count(*) FROM "
        return {table: database.execute(count + table).fetchone()[0] for table in tables}


def plan(programs, *arguments: str) -> dict:
    command = ("-m", "thrifty", "run", "pipeline:experiment", "--dry-run", "--json")
    return json.loads(programs.run(*command, *arguments))


def outcomes(told: dict) -> dict[str, str]:
    return {cause["operation"].split(".")[-1]: cause["outcome"] for cause in told["causes"]}


def test_a_dry_run_tells_computes_and_writes_nothing(programs, home):
    programs.write("pipeline.py", PIPELINE)
    cold = plan(programs)
    assert (cold["would_run"], cold["may_run"], cold["hits"]) == (6, 0, 0)
    assert all(count == 0 for count in rows(home).values())
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    before = rows(home)
    warm = plan(programs)
    assert (warm["would_run"], warm["may_run"], warm["hits"]) == (0, 0, 4)
    text = programs.run("-m", "thrifty", "run", "pipeline:experiment", "--dry-run")
    assert text.startswith("nothing would run; 4 hits")
    assert "ran " not in text
    assert rows(home) == before


def test_what_a_dry_run_tells_is_what_the_run_does(programs):
    programs.write("pipeline.py", PIPELINE)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    programs.write("pipeline.py", PIPELINE.replace("LIMIT = 10", "LIMIT = 11"))
    told = plan(programs)
    assert outcomes(told) == {
        "clean": "would-run",
        "tournament": "may-run",
        "train": "may-run",
        "report": "may-run",
    }
    (root,) = told["roots"]
    assert root["changes"][0]["name"] == "pipeline:LIMIT"
    assert (root["changes"][0]["old"], root["changes"][0]["new"]) == ("10", "11")
    ran = programs.run("-m", "thrifty", "run", "pipeline:experiment")
    assert ran.splitlines()[:-1] == ["ran clean"], "it gave what it gave before"


def test_a_nested_workflow_is_told_operation_by_operation(programs):
    programs.write("pipeline.py", PIPELINE)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    programs.write("pipeline.py", PIPELINE.replace("RATE = 0.5", "RATE = 0.7"))
    told = plan(programs)
    assert outcomes(told) == {"tournament": "would-run", "train": "would-run", "report": "may-run"}
    labels = [cause["label"] for cause in told["causes"] if cause["operation"].endswith("train")]
    assert labels == ["depth=1", "depth=2"]
    text = programs.run("-m", "thrifty", "run", "pipeline:experiment", "--dry-run")
    assert "3 operations would run, 1 more if what goes in changes" in text
    assert "code pipeline:RATE: 0.5 → 0.7" in text
    assert "tournament #2, train #4–#5" in text


def test_two_edits_are_two_roots(programs):
    programs.write("pipeline.py", PIPELINE)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    edited = PIPELINE.replace("RATE = 0.5", "RATE = 0.7").replace("LIMIT = 10", "LIMIT = 2")
    programs.write("pipeline.py", edited)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    why = json.loads(programs.run("-m", "thrifty", "why", "--json"))
    names = {root["changes"][0]["name"]: root for root in why["roots"]}
    assert set(names) == {"pipeline:LIMIT", "pipeline:RATE"}
    assert len(names["pipeline:LIMIT"]["direct"]) == 1
    assert len(names["pipeline:RATE"]["direct"]) == 3


def test_modes_of_a_dry_run(programs):
    programs.write("pipeline.py", PIPELINE)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    refreshed = outcomes(plan(programs, "--refresh", "clean"))
    assert refreshed["clean"] == "would-run"
    assert refreshed["report"] == "may-run"
    off = plan(programs, "--no-cache")
    assert off["hits"] == 0
    assert off["roots"][0]["detail"] == "it was switched off for the whole run"


def test_wrong_use_of_a_dry_run(programs):
    programs.write("pipeline.py", PIPELINE)
    run = ("-m", "thrifty", "run")
    assert "has no `experimen`" in programs.run(*run, "pipeline:experimen", "--dry-run", code=2)
    assert "has no parameter" in programs.run(
        *run, "pipeline:load", "-p", "m=1", "--dry-run", code=2
    )
    programs.write(
        "broken.py",
        """
        from thrifty import workflow

        @workflow
        def broken() -> int:
            raise ValueError("no such thing")
        """,
    )
    assert "no such thing" in programs.run(*run, "broken:broken", "--dry-run", code=1)


def test_a_file_that_is_not_there_is_told_as_such(programs):
    programs.write(
        "files.py",
        """
        from thrifty import Dir, File, task

        @task
        def size(source: File) -> int:
            return source.size

        @task
        def count(source: Dir) -> int:
            return len(list(source.path.iterdir()))
        """,
    )
    run = ("-m", "thrifty", "run")
    told = programs.run(*run, "files:size", "-p", "source=nope.csv", code=2)
    assert "source='nope.csv': there is no such file" in told
    assert "HashMethod" not in told
    assert "no such directory" in programs.run(*run, "files:count", "-p", "source=files.py", code=2)


def test_a_file_that_is_not_there_is_a_missing_file_in_python(home):
    @task
    def size(source: File) -> int:
        return source.size

    with pytest.raises(FileNotFoundError, match=r"source: .*nope\.csv") as raised:
        size(File("nope.csv"))
    assert not isinstance(raised.value, UnhashableArgument)


@task
def double(n: int) -> int:
    return n * 2


@task
def add(one: int, other: int) -> int:
    return one + other


@workflow
def both(n: int) -> int:
    return add(double(n), double(n + 1))


def test_a_plan_in_python():
    with testing.memory_cache():
        first = both.plan(1)
        assert first.would_run == [
            "test_sdk_plan.double",
            "test_sdk_plan.double",
            "test_sdk_plan.add",
        ]
        assert (first.may_run, first.hits) == ([], 0)
        both(1)
        then = both.plan(2)
        assert [(node["name"].split(".")[-1], node["outcome"]) for node in then.nodes] == [
            ("double", "hit"),
            ("double", "would-run"),
            ("add", "would-run"),
        ], "one of its inputs is known, and was never so"
        assert repr(then) == "<Plan: 2 would run, 0 may run, 1 hits>"
        assert "called for the first time" in str(then) or "inputs n" in str(then)
        assert double.plan(1).hits == 1
        assert both.with_options(cache="refresh").plan(1).hits == 0
        assert isinstance(then, thrifty.Plan)


def test_a_plan_does_not_compute_what_a_workflow_asks_for():
    @workflow
    def impatient(n: int) -> int:
        return add(thrifty.compute(double(n)), 1)

    with testing.memory_cache():
        with pytest.raises(HandleError, match="a plan computes nothing"):
            impatient.plan(1)
        assert impatient(1) == 3


def test_secrets_and_passwords_are_in_no_plan_and_no_explanation():
    @task(cache=Cache(env=["THRIFTY_TEST_TOKEN"]))
    def fetch(token: Secret[str], url: str) -> str:
        return url

    @workflow
    def fetched(token: Secret[str], url: str) -> list[str]:
        return [fetch(token, url), fetch(token + "x", url + "/x")]

    with testing.memory_cache():
        url = "postgres://ada:hunter2@db/"
        first = fetched.run("hunter1", url)
        run = fetched.run("hunter3", url)
        texts = [str(fetched.plan("hunter4", url)), repr(fetched.plan("hunter4", url).nodes)]
        texts += [first.why(), run.why(), run.why("fetch"), repr(run.nodes)]
        assert not any("hunter" in text for text in texts), texts
        assert "postgres://ada:…@db" in run.why("fetch") + first.why()


def test_notes_on_code_that_is_not_followed_are_shown(programs):
    programs.write(
        "noted.py",
        """
        from thrifty import task, workflow

        @task
        def look_up(name: str = "len") -> int:
            return len(str(eval(name)))

        @workflow
        def noted() -> int:
            return look_up()
        """,
    )
    programs.run("-m", "thrifty", "run", "noted:noted")
    why = programs.run("-m", "thrifty", "why", "look_up")
    assert "note: " in why
    assert "eval" in why.lower()
    shown = json.loads(programs.run("-m", "thrifty", "show", "--json"))
    entry = programs.run("-m", "thrifty", "show", shown["nodes"][0]["key"])
    assert "reaches is not followed" in entry


def test_an_operation_within_a_unit_that_hit_was_not_looked_at(programs):
    programs.write("pipeline.py", PIPELINE)
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    programs.run("-m", "thrifty", "run", "pipeline:experiment")
    told = programs.run("-m", "thrifty", "why", "train")
    assert "train was not looked at: tournament #2 was a hit as a whole" in told


def test_what_a_failed_task_and_a_unit_took_is_counted_once(programs):
    programs.write(
        "slow.py",
        """
        import time
        from thrifty import task, workflow

        def spend(seconds: float) -> None:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass

        @task
        def slow() -> int:
            spend(0.3)
            return 1

        @workflow
        def unit() -> int:
            return slow()

        @task
        def fail(n: int) -> int:
            spend(0.2)
            raise ValueError(n)

        @workflow
        def whole() -> int:
            return fail(unit())
        """,
    )
    programs.run("-m", "thrifty", "run", "slow:whole", code=1)
    stats = json.loads(programs.run("-m", "thrifty", "stats", "--json"))
    seconds = {line["operation"].split(".")[-1]: line["seconds"] for line in stats["operations"]}
    assert seconds["slow"] >= 0.3
    assert seconds["fail"] >= 0.2
    assert seconds["unit"] < seconds["slow"], "what its operations took is theirs"


SLOW = """
    import time
    from thrifty import task, workflow

    @task
    def a_task_with_a_long_name_that_fills_the_live_line(n: int) -> int:
        for _ in range(1200):
            time.sleep(0.05)
        return n

    @workflow
    def slow() -> list[int]:
        return [a_task_with_a_long_name_that_fills_the_live_line(n) for n in range(9)]
"""


def test_the_live_line_leaves_room_for_what_an_interrupt_writes(programs):
    programs.write("slow.py", SLOW)
    columns, terminal = 60, pty.openpty()
    fcntl.ioctl(terminal[1], termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    ends = {"stdin": terminal[1], "stdout": terminal[1], "stderr": terminal[1]}
    process = programs.start("-m", "thrifty", "run", "slow:slow", text=False, **ends)
    os.close(terminal[1])
    written = b""
    while "live_line".encode() not in written and b"a_task_with" not in written:
        written += os.read(terminal[0], 65536)
    process.send_signal(signal.SIGINT)
    try:
        while more := os.read(terminal[0], 65536):
            written += more
    except OSError:  # nobody holds the other end any more
        pass
    os.close(terminal[0])
    assert process.wait(timeout=60) == 130
    lines = re.split(r"\r|\n|\x1b\[[0-9;]*[A-Za-z]", written.decode())
    live = [line for line in lines if "0/9" in line]
    assert live, lines
    assert all(len(line) + len("^C") < columns for line in live), live
    assert any("interrupted" in line for line in lines), lines
