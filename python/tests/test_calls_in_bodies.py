"""Calls that bodies of tasks make, as the command line and a run tell of them."""

from __future__ import annotations

import json
import warnings

import pytest
from thrifty import task, workflow

pytestmark = pytest.mark.usefixtures("home")

JOBS = """
    from thrifty import task, workflow

    @task
    def part(n: int) -> int:
        return n + 1

    @task
    def whole(n: int) -> int:
        return part(n) * 2

    @task
    def other(n: int) -> int:
        return n

    @workflow
    def pipeline(n: int):
        return whole(n)
"""


@pytest.fixture
def jobs(programs):
    programs.write("jobs.py", JOBS)
    return programs


def command(programs, *arguments):
    """What a verb wrote as JSON."""
    return json.loads(programs.run("-m", "thrifty", *arguments, "--json"))


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_last_run_is_the_workflow_and_not_the_calls_of_its_bodies(jobs, executor):
    run = ["-m", "thrifty", "run", "jobs:pipeline", "--executor", executor, "-p"]
    jobs.run(*run, "n=1")
    assert {it["name"] for it in command(jobs, "runs")} == {"jobs.pipeline", ""}
    assert command(jobs, "show", "last")["name"] == "jobs.pipeline"
    # What a body takes as a hit is written when its process ends.
    jobs.run(*run, "n=1", "--refresh", "whole")
    assert command(jobs, "show", "last")["name"] == "jobs.pipeline"
    assert len(command(jobs, "runs", "--limit", "9")) == 4


def test_the_last_run_of_a_script_that_calls_tasks_has_its_calls(jobs):
    jobs.run("-m", "thrifty", "run", "jobs:pipeline", "-p", "n=1")
    jobs.write("script.py", "from jobs import whole\nwhole(7)\n")
    jobs.run("script.py")
    nodes = command(jobs, "show", "last")["nodes"]
    assert sorted(node["operation"] for node in nodes) == ["jobs.part", "jobs.whole"]


def test_an_invalidated_run_takes_along_what_its_bodies_called(jobs):
    jobs.write("script.py", "from jobs import part\npart(7)\n")
    jobs.run("script.py")
    jobs.run("-m", "thrifty", "run", "jobs:pipeline", "-p", "n=1")
    [run] = command(jobs, "runs", "--name", "jobs.pipeline")
    removed = command(jobs, "invalidate", "--run", run["id"], "--yes")
    assert removed["entries"] == 2
    jobs.write("script.py", "import jobs\njobs.part(7)\njobs.part(1)\n")
    jobs.run("script.py")
    # The one that the run did not call is a hit.
    outcomes = [node["outcome"] for node in command(jobs, "show", "last")["nodes"]]
    assert sorted(outcomes) == ["computed", "hit-local"]


def said(programs, *arguments):
    """What the run wrote beside its result."""
    process = programs.start("-m", "thrifty", "run", "jobs:pipeline", "-p", "n=1", *arguments)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return err


def test_a_refresh_that_meant_nothing_is_told(jobs):
    told = "--refresh part: nothing of that name was asked for; if it is called in the body"
    assert told not in said(jobs, "--refresh", "part")
    assert told in said(jobs, "--refresh", "part"), "whole is a hit"
    assert "asked for" not in said(jobs, "--refresh", "whole", "part"), "whole calls it"
    two = said(jobs, "--refresh", "whole", "other")
    assert "--refresh other: nothing" in two
    assert "--refresh whole: nothing" not in two
    processes = ["--executor", "processes"]
    assert told in said(jobs, "--refresh", "part", *processes)
    assert told not in said(jobs, "--refresh", "whole", "part", *processes), "a worker calls it"


def test_a_run_warns_of_a_refresh_that_meant_nothing():
    @task(name="part")
    def part(n: int) -> int:
        return n + 1

    @task(name="whole")
    def whole(n: int) -> int:
        return part(n) * 2

    @workflow(name="pipeline")
    def pipeline(n: int):
        return whole(n)

    refreshed = pipeline.with_options(refresh=["part", "whole"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refreshed.run(1).value == 4
        assert pipeline.with_options(refresh="pipeline").run(1).value == 4
    with pytest.warns(RuntimeWarning, match='refresh="part": nothing of that name') as caught:
        assert pipeline.with_options(refresh="part").run(1).value == 4
    assert len(caught) == 1
    assert caught[0].filename == __file__
