"""Who decides how the cache is used: all levels, each against each."""

from __future__ import annotations

import itertools

import pytest
from thrifty import Cache, task, testing, workflow


@pytest.fixture(autouse=True)
def project(home, monkeypatch):
    """The project has a name of its own: that of its directory changes with its `thrifty.toml`."""
    monkeypatch.setenv("THRIFTY_PROJECT", "tests")


MODES = ("on", "refresh", "read-only", "off")
# Most specific first.
LEVELS = ("operation at run time", "run", "invocation", "definition", "workflow", "project")


def one(a: int) -> int:
    return a


def run_of(chosen, reopen, tmp_path):
    """Runs the task in a workflow with these modes chosen; the node of the task."""
    if "project" in chosen:
        (tmp_path / "thrifty.toml").write_text(f'cache = "{chosen["project"]}"\n')
    reopen()
    of_task = chosen.get("definition")
    called = task(cache=of_task, name="one")(one)
    if "invocation" in chosen:
        called = called.with_overrides(cache=Cache(mode=chosen["invocation"]))

    def inside(a: int) -> int:
        return called(a)

    outer = workflow(cache=chosen.get("workflow"), name="outer")(inside)
    if "run" in chosen:
        outer = outer.with_options(cache=chosen["run"])
    if "operation at run time" in chosen:
        assert chosen["operation at run time"] == "refresh"
        outer = outer.with_options(refresh="one")
    (node,) = outer.run(1).nodes
    return node


def expected(mode):
    """The outcome of a mode where the value is known."""
    return {"refresh": "computed", "off": "uncached"}.get(mode, "hit")


def pairs():
    for specific, general in itertools.combinations(LEVELS, 2):
        modes = ("refresh",) if specific == "operation at run time" else MODES
        for one_mode, other_mode in itertools.product(modes, MODES):
            if one_mode != other_mode:
                yield pytest.param(
                    {specific: one_mode, general: other_mode},
                    specific,
                    id=f"{specific}={one_mode}, {general}={other_mode}",
                )


@pytest.mark.parametrize(("chosen", "rule"), list(pairs()))
def test_the_more_specific_of_two_levels_decides(chosen, rule, reopen, tmp_path):
    assert run_of({}, reopen, tmp_path)["outcome"] == "computed"
    node = run_of(chosen, reopen, tmp_path)
    assert node["rule"] == rule
    assert node["outcome"].startswith(expected(chosen[rule]))


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_alone_decides(level, reopen, tmp_path):
    run_of({}, reopen, tmp_path)
    node = run_of({level: "refresh"}, reopen, tmp_path)
    assert (node["rule"], node["outcome"]) == (level, "computed")


def test_nobody_chose(reopen, tmp_path):
    assert run_of({}, reopen, tmp_path)["rule"] == "default"


def test_the_environment_stands_for_the_run(reopen, monkeypatch, tmp_path):
    run_of({}, reopen, tmp_path)
    monkeypatch.setenv("THRIFTY_CACHE", "off")
    node = run_of({"invocation": "on"}, reopen, tmp_path)
    assert (node["rule"], node["outcome"]) == ("run", "uncached")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["definition", "overrides", "options", "environment", "project"])
def test_modes_of_a_call_on_its_own(way, mode, monkeypatch, tmp_path, reopen):
    plain = task(name="one")(one)
    plain(1)
    called = plain
    if way == "definition":
        called = task(name="one", cache=mode)(one)
    elif way == "overrides":
        called = plain.with_overrides(cache=mode)
    elif way == "options":
        called = plain.with_options(cache=mode)
    elif way == "environment":
        monkeypatch.setenv("THRIFTY_CACHE", mode)
    else:
        (tmp_path / "thrifty.toml").write_text(f'cache = "{mode}"\n')
    reopen()
    with testing.recorded() as calls:
        called(1)
    # A call with the cache off leaves no trace.
    traces = {"on": ([], ["one"]), "read-only": ([], ["one"]), "refresh": (["one"], [])}
    assert (calls.computed, calls.hits) == traces.get(mode, ([], []))


def test_read_only_stores_nothing():
    plain = task(name="one")(one)
    reading = plain.with_overrides(cache="read-only")
    assert reading(1) == 1
    with testing.recorded() as calls:
        reading(1)
    assert calls.hits == []
    plain(1)
    with testing.recorded() as calls:
        reading(1)
    assert calls.hits == ["one"]


def test_off_neither_reads_nor_writes():
    plain = task(name="one")(one)
    plain.with_options(cache=False)(1)
    with testing.recorded() as calls:
        plain(1)
    assert calls.computed == ["one"]


def test_refresh_replaces(tmp_path):
    source = tmp_path / "source"

    @task(cache=Cache(version="1", observe=False))
    def read() -> str:
        return source.read_text()

    source.write_text("old")
    assert read() == "old"
    source.write_text("new")
    assert read() == "old"
    assert read.with_options(cache="refresh")() == "new"
    assert read() == "new"


@task
def left(a: int) -> int:
    return a


@task
def right(a: int) -> int:
    return -a


@workflow
def both(a: int) -> list[int]:
    return [left(a), right(a)]


@pytest.mark.parametrize(
    ("patterns", "computed"),
    [
        ("left", ["left"]),
        (["left", "right"], ["left", "right"]),
        ("*", ["left", "right"]),
        ("*.right", ["right"]),
        ("l?ft", ["left"]),
        ("none", []),
        ([], []),
    ],
)
def test_chosen_operations_are_computed_again(patterns, computed):
    both(1)
    run = both.with_options(refresh=patterns).run(1)
    found = [n["name"].rsplit(".", 1)[-1] for n in run.nodes if n["outcome"] == "computed"]
    assert sorted(found) == computed
    assert run.value == [1, -1]


def test_options_of_a_run_reach_calls_in_bodies():
    @task
    def outer(a: int) -> int:
        return left(a)

    outer(1)
    with testing.recorded() as calls:
        outer.with_options(cache="refresh")(1)
    assert calls.computed == ["left", "outer"]


def test_settings_add_up():
    made = left.with_overrides(cache=Cache(salt="a")).with_overrides(cache=Cache(version="1"))
    once = left.with_overrides(cache=Cache(salt="a", version="1"))
    assert made.key(1) == once.key(1)
    assert made.key(1) != left.with_overrides(cache=Cache(version="1")).key(1)


def test_a_handle_takes_overrides():
    @workflow
    def overridden(a: int) -> list[int]:
        return [left(a), left(a).with_overrides(cache=Cache(salt="x", mode="off"))]

    run = overridden.run(1)
    assert run.value == [1, 1]
    outcomes = [(node["outcome"], node["rule"]) for node in run.nodes]
    assert outcomes == [("computed", "default"), ("uncached", "invocation")]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"cache": "of"}, ValueError, "read-only"),
        ({"cache": Cache()}, TypeError, "with_overrides"),
        ({"refresh": True}, TypeError, 'cache="refresh"'),
        ({"refresh": [1]}, TypeError, "names of operations"),
        ({"refresh": "["}, ValueError, "pattern"),
        ({"workers": 0}, ValueError, "from 1 on"),
        ({"workers": True}, ValueError, "from 1 on"),
        ({"executor": "thread"}, ValueError, "did you mean `threads`"),
        ({"retries": 3}, TypeError, "retries"),
    ],
)
def test_options_that_make_no_sense(options, error, text):
    with pytest.raises(error, match=text):
        left.with_options(**options)
