"""Where a process looks for what was read, and how long what a body took is valid."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

READS = """
    from pathlib import Path
    from thrifty import task

    @task
    def own() -> str:
        return (Path(__file__).parent / "config.txt").read_text()

    if __name__ == "__main__":
        run = own.run()
        print(run.nodes[-1]["outcome"], run.value)
    """


def test_the_place_of_the_program_is_the_project_and_not_where_it_was_started(programs):
    """What lies beside another project's marks is no part of this one."""
    for root in ("here", "other"):
        programs.write(f"{root}/thrifty.toml", 'project = "one"\n')
        programs.write(f"{root}/config.txt", "old")
    programs.write("here/below/read.py", READS.replace("parent", "parent.parent"))
    program = str(programs.directory / "here/below/read.py")

    def run(start: str) -> str:
        process = programs.start(program, cwd=programs.directory / start)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out.strip()

    assert run("here") == "computed old"
    assert run("other") == "hit-local old"
    programs.write("here/config.txt", "newer")
    assert run("other") == "computed newer"
    assert run("here") == "hit-local newer"


TAKES = """
    import sys
    from thrifty import Cache, task, workflow

    @task(cache=Cache(expires="1h"))
    def inner(x: int) -> int:
        return x

    @task
    def outer(x: int) -> int:
        return inner(x) + 1

    @task
    def outermost(x: int) -> int:
        return outer(x) + 1

    @task
    def deferred(x: int) -> int:
        return inner.defer(x)

    @task
    def apart(x: int) -> int:
        return x

    @task(cache=False)
    def passing(x: int) -> int:
        return inner(x)

    @task
    def through(x: int) -> int:
        return passing(x)

    @workflow
    def flow(x: int) -> int:
        return outermost(x)

    @workflow
    def whole(x: int) -> int:
        return flow(x)

    if __name__ == "__main__":
        name, executor = sys.argv[1:]
        run = globals()[name].with_options(executor=executor).run(7)
        assert run.value in (7, 8, 9), run.value
        print(run.nodes[0]["outcome"], run.nodes[0]["key"])
    """


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_result_expires_with_what_its_body_took(programs, executor):
    """Computed by it or a hit, called or deferred, by a body that is not cached, or in a worker."""
    programs.write("takes.py", TAKES)

    def expiry(name: str) -> datetime | None:
        outcome, key = programs.run("takes.py", name, executor).split()
        assert outcome == "computed", name
        [entry] = json.loads(programs.run("-m", "thrifty", "show", key, "--json"))
        at = entry["expires_at"]
        return at and datetime.fromisoformat(at)

    assert expiry("apart") is None
    first = expiry("outermost")
    hour = datetime.now(timezone.utc) + timedelta(hours=1)
    assert first is not None
    assert timedelta() < hour - first < timedelta(minutes=2)
    for name in ("deferred", "through", "whole"):
        again = expiry(name)
        assert again is not None, name
        assert abs(again - first) < timedelta(minutes=2), name


BESIDE = """
    import os, sys
    from thrifty import Dir, task

    LABELS = os.path.abspath("data/labels.csv")

    @task
    def of_an_argument(d: Dir) -> str:
        return (d.path / ".." / "labels.csv").read_text()

    @task
    def names_of_an_argument(d: Dir) -> list:
        return sorted(os.listdir(d.path / ".." / "names"))

    @task
    def of_its_own(d: Dir) -> str:
        os.makedirs("data/made", exist_ok=True)
        return open("data/made/../labels.csv").read()

    @task
    def of_an_installation(d: Dir) -> str:
        return open(os.path.join(sys.prefix, os.path.relpath(LABELS, sys.prefix))).read()

    @task
    def of_packages(d: Dir) -> str:
        return open("data/site-packages/../labels.csv").read()

    @task
    def within(d: Dir) -> str:
        return (d.path / "a.csv").read_text()

    if __name__ == "__main__":
        told = {}
        for it in (of_an_argument, names_of_an_argument, of_its_own, of_an_installation,
                   of_packages, within):
            run = it.run(Dir("data/in"))
            told[it.__name__] = run.nodes[-1]["outcome"], run.value
        import json
        print(json.dumps(told))
    """


def test_what_lies_beside_a_directory_is_no_part_of_it(programs):
    """A path that begins with a directory whose content is known may lead out of it again."""
    programs.write("beside.py", BESIDE)
    programs.write("data/in/a.csv", "a")
    programs.write("data/site-packages/b.csv", "b")
    programs.write("data/names/one", "")
    programs.write("data/labels.csv", "old")

    def told() -> dict:
        return json.loads(programs.run("beside.py"))

    assert {outcome for outcome, _ in told().values()} == {"computed"}
    again = told()
    assert {outcome for outcome, _ in again.values()} == {"hit-local"}
    programs.write("data/labels.csv", "newer")
    programs.write("data/names/two", "")
    after = told()
    assert after.pop("within") == ["hit-local", "a"]
    assert after.pop("names_of_an_argument") == ["computed", ["one", "two"]]
    assert set(map(tuple, after.values())) == {("computed", "newer")}
