"""A file that a key was made of and that changes while the body runs: nothing is stored under it.

Each program changes an input from within the body, where nobody observes it: as another program
would that happens to write just then.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import subprocess
import textwrap

import pytest

HEAD = """
import json, os, pathlib, shutil, sys
from thrifty import Cache, Dir, File, compute, task, workflow

ONCE = pathlib.Path("once")

def meddle(change):
    # A child process: no audit event of this one says what it writes.
    if ONCE.exists():
        ONCE.unlink()
        os.system(change)
"""

# By name: what is done in a shell, what the result then says of the input, and why it is not
# stored; `None` if it is, for the content is the same.
CHANGES = {
    "written": ("echo two > data.txt", "was changed"),
    "same length": ("echo TWO > data.txt", "was changed"),
    "appended": ("echo more >> data.txt", "was changed"),
    "replaced": ("echo two > other && mv other data.txt", "was changed"),
    "removed": ("rm data.txt", "was removed"),
    "made a directory": ("rm data.txt && mkdir data.txt", "became unreadable"),
    "touched": ("touch data.txt", None),
    "touched back": ("touch -d 2001-01-01 data.txt", None),
    "replaced by its like": ("cp data.txt other && mv other data.txt", None),
    "mode": ("chmod o-r data.txt", None),
}

# By name: how the input is declared, and the line of the call.
WAYS = {
    "argument": ("def step(f: File):", "File('data.txt')"),
    "nested": ("def step(f):", "{'a': [1, File('data.txt')]}"),
    "files": ("def step(f):", "1"),
    "sources": ("def step(f):", "2"),
}
CACHES = {"files": "Cache(files=['data.txt'])", "sources": "Cache(sources=['data.txt'])"}


def program(way: str, change: str, call: str) -> str:
    signature, argument = WAYS[way]
    cache = f"cache={CACHES[way]}" if way in CACHES else ""
    return f"""{HEAD}
@task({cache})
{signature}
    meddle({change!r})
    return 1

@workflow
def steps():
    return step({argument})

if __name__ == "__main__":
    ARGUMENT = {argument}
    {textwrap.indent(textwrap.dedent(call), "    ").strip()}
"""


ALONE = """
run = step.run(ARGUMENT)
node = run.nodes[-1]
print(json.dumps([run.value, node["outcome"], node["detail"], node.get("reason")]))
"""
GRAPH = """
run = steps.with_options(**json.loads(os.environ.get("OPTIONS", "{}"))).run()
node = run.nodes[-1]
print(json.dumps([run.value, node["outcome"], node["detail"], node.get("reason")]))
"""


@pytest.fixture
def attempt(programs):
    """Runs the program as it stands; with a change within the body, or without."""

    def attempt(change: bool, **options: object) -> list[object]:
        data = programs.directory / "data.txt"
        if data.is_dir():
            data.rmdir()
        data.write_text("one\n")
        # Settled: a later change shows in what the filesystem says of it.
        os.utime(data, (1_600_000_000, 1_600_000_000))
        if change:
            (programs.directory / "once").touch()
        env = {**os.environ, "OPTIONS": json.dumps(options)}
        process = programs.start("-W", "ignore", "main.py", env=env)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        return json.loads(out)

    return attempt


@pytest.mark.parametrize("call", [ALONE, GRAPH], ids=["alone", "in a graph"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_meanwhile(programs, attempt, change, way, call):
    shell, became = CHANGES[change]
    programs.write("main.py", program(way, shell, call))
    value, outcome, detail, _ = attempt(change=True)
    assert value == 1
    if became is None:
        assert outcome == "computed"
        assert attempt(change=False)[1] == "hit-local"
        return
    path = "data.txt" if way in CACHES else str(programs.directory / "data.txt")
    assert outcome == "computed-not-stored"
    assert detail.startswith(f"the input {path} {became}")
    assert detail.endswith("while the task ran")
    # The content of the key is back: nothing was stored under it.
    assert attempt(change=False)[1] == "computed"
    assert attempt(change=False)[1] == "hit-local"


DIRECTORY = {
    "member written": ("echo two > tree/below/b", True),
    "member added": ("echo two > tree/c", True),
    "member removed": ("rm tree/a", True),
    "member renamed": ("mv tree/a tree/z", True),
    "empty directory added": ("mkdir tree/empty", True),
    "removed": ("rm -r tree", True),
    "executable": ("chmod +x tree/a", True),
    "touched": ("touch tree/a tree/below tree", False),
    "replaced by its like": ("cp -r tree tree2 && rm -r tree && mv tree2 tree", False),
}


@pytest.mark.parametrize("change", DIRECTORY)
def test_a_directory_that_changes_meanwhile(programs, change):
    shell, is_other = DIRECTORY[change]
    programs.write(
        "main.py",
        f"""{HEAD}
def tree():
    shutil.rmtree("tree", ignore_errors=True)
    os.makedirs("tree/below")
    pathlib.Path("tree/a").write_text("a")
    pathlib.Path("tree/below/b").write_text("b")
    return Dir("tree")

@task
def step(d: Dir):
    meddle({shell!r})
    return 1

print(json.dumps([(run := step.run(tree())).nodes[-1]["outcome"], run.nodes[-1]["detail"]]))
""",
    )
    (programs.directory / "once").touch()
    outcome, detail = json.loads(programs.run("main.py"))
    assert outcome == ("computed-not-stored" if is_other else "computed")
    assert (str(programs.directory / "tree") in detail) is is_other
    assert json.loads(programs.run("main.py"))[0] == ("computed" if is_other else "hit-local")


@pytest.mark.parametrize("way", ["argument", "nested", "files"])
def test_in_worker_processes(programs, attempt, way):
    programs.write("main.py", program(way, CHANGES["written"][0], GRAPH))
    value, outcome, detail, _ = attempt(change=True, executor="processes")
    assert (value, outcome) == (1, "computed-not-stored")
    assert "data.txt was changed while the task ran" in detail
    assert attempt(change=False, executor="processes")[1] == "computed"
    assert attempt(change=False, executor="processes")[1] == "hit-local"


def test_what_mode_the_cache_is_in(programs, attempt):
    programs.write("main.py", program("argument", CHANGES["written"][0], GRAPH))
    # A reader stores nothing, whatever happens.
    assert attempt(change=True, cache="read-only")[:2] == [1, "uncached"]
    assert attempt(change=False)[1] == "computed"
    # What was stored before stays: it is the result of the content that its key names.
    refreshed = attempt(change=True, cache="refresh")
    assert refreshed[1] == "computed-not-stored"
    assert attempt(change=False)[1] == "hit-local"


def test_observation_switched_off(programs, attempt):
    text = program("argument", CHANGES["written"][0], GRAPH)
    programs.write("main.py", text.replace("@task()", "@task(cache=Cache(observe=False))"))
    assert attempt(change=True)[1] == "computed-not-stored"
    assert attempt(change=False)[1] == "computed"


UNIT = f"""{HEAD}
@task
def first(n: int) -> int:
    return n

@task
def step(f: File) -> str:
    return f.read_text()

@workflow
def inner(f: File, n: int):
    {{}}
    return step(f), first(n)

@workflow
def outer(n: int = 1):
    return inner(File("data.txt"), n)

run = outer.run()
nodes = {{{{node["name"]: node for node in run.nodes}}}}
print(json.dumps([run.value, [[name.split(".")[-1], it["outcome"], it["detail"]] for name, it in nodes.items()]]))
"""


def test_a_workflow_as_a_unit(programs):
    """It is built while the file changes: its operations have keys of other content."""
    data = programs.directory / "data.txt"
    programs.write("main.py", UNIT.format("meddle('echo two > data.txt')"))
    data.write_text("one\n")
    (programs.directory / "once").touch()
    value, nodes = json.loads(programs.run("main.py"))
    outcomes = {name: outcome for name, outcome, _ in nodes}
    assert outcomes["inner"] == "computed-not-stored"
    [detail] = [detail for name, _, detail in nodes if name == "inner"]
    assert detail == f"the input {data} was changed while the task ran"
    # What ran was given the content that its own key names.
    assert value == ["two\n", 1]
    data.write_text("one\n")
    value, nodes = json.loads(programs.run("main.py"))
    assert value == ["one\n", 1]
    assert {name: outcome for name, outcome, _ in nodes}["inner"] == "computed"


def test_a_change_between_building_and_running_does_not_end_the_run(programs):
    """The workflow passed the file; then it changed, before the task came to run."""
    programs.write(
        "main.py",
        f"""{HEAD}
@task
def early() -> int:
    meddle("echo two > data.txt")
    return 1

@task
def step(f: File, n: int) -> str:
    return f.read_text()

@workflow
def steps():
    return step(File("data.txt"), early())

run = steps.run()
node = run.nodes[-1]
print(json.dumps([run.value, node["outcome"], node["detail"]]))
""",
    )
    data = programs.directory / "data.txt"
    data.write_text("one\n")
    (programs.directory / "once").touch()
    value, outcome, detail = json.loads(programs.run("main.py"))
    assert (value, outcome) == ("two\n", "computed-not-stored")
    assert detail == f"the input {data} was changed while the task ran"
    data.write_text("one\n")
    assert json.loads(programs.run("main.py"))[:2] == ["one\n", "computed"]


INSIDE = {
    "read": "return File(path).read_text()",
    "bytes": "return File(path).read_bytes().decode()",
    "opened": "return File(path).open().read()",
    "copied": "return File(path).copy_to(os.environ['SPARE']).read_text()",
    "digest": "return File(path).digest",
    "equal": "return File(path) == File('one.txt')",
    "hash": "return {File('one.txt'): 'same'}.get(File(path), 'other')",
    "listed": "return [it.name for it in Dir(tree).files()]",
    "tree": "return Dir(tree).digest",
    "called": "return _content(File(path))",
    "called with a tree": "return _names(Dir(tree))",
    "computed": "return compute(_content(File(path)))",
    "built": "return _both.run(path).value",
}


@pytest.mark.parametrize("inside", INSIDE)
def test_a_file_made_within_a_body_is_read_by_it(programs, tmp_path, inside):
    """By a method, or by a call that it is an argument of: the body depends on its content."""
    programs.write(
        "main.py",
        f"""{HEAD}
@task
def _content(f: File) -> str:
    return f.read_text()

@task
def _names(d: Dir) -> list:
    return sorted(it.name for it in d.files())

@workflow
def _both(path):
    return _content(File(path))

@task
def step(path: str, tree: str):
    {INSIDE[inside]}

@workflow
def nested(path, tree):
    return step(path, tree)

run = step.run("data.txt", "tree")
print(json.dumps([run.value, run.nodes[-1]["outcome"]]))
""",
    )
    env = {**os.environ, "SPARE": str(tmp_path)}

    def attempt():
        process = programs.start("-W", "ignore", "main.py", env=env)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        return json.loads(out)

    (programs.directory / "tree").mkdir()
    for name in ("one.txt", "data.txt", "tree/a"):
        (programs.directory / name).write_text("one")
    first, outcome = attempt()
    assert outcome == "computed"
    assert attempt() == [first, "hit-local"]
    (programs.directory / "data.txt").write_text("two")
    (programs.directory / "tree" / "b").write_text("two")
    second, outcome = attempt()
    assert outcome == "computed"
    assert second != first


def test_a_workflow_that_names_a_file_depends_on_its_content(programs):
    programs.write(
        "main.py",
        f"""{HEAD}
@task
def content(f: File) -> str:
    return f.read_text()

@workflow
def unit(n: int):
    return content(File("data.txt"))

@workflow
def whole(n: int = 1):
    return unit(n)

run = whole.run()
print(json.dumps([run.value, [node["outcome"] for node in run.nodes]]))
""",
    )
    data = programs.directory / "data.txt"
    data.write_text("one")
    assert json.loads(programs.run("main.py"))[0] == "one"
    assert json.loads(programs.run("main.py")) == ["one", ["hit-local"]]
    data.write_text("two")
    assert json.loads(programs.run("main.py"))[0] == "two"


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("reading", ["f.read_text()", "open(f).read()", "f.path.read_text()"])
def test_a_file_that_was_passed_may_lie_elsewhere_the_next_time(programs, executor, reading):
    """Its content is in the key: where it lay is no input."""
    programs.write(
        "main.py",
        f"""{HEAD}
@task
def content(f: File) -> str:
    return {reading}

@task
def names(d: Dir) -> list:
    return [os.listdir(d), open(d / "a").read()]

@workflow
def steps(where):
    return content(File(where + "/a")), names(Dir(where))

if __name__ == "__main__":
    run = steps.with_options(executor={executor!r}).run(sys.argv[1])
    print(json.dumps([run.value, [node["outcome"] for node in run.nodes]]))
""",
    )
    here, there = programs.directory / "here", programs.directory / "there"
    here.mkdir()
    (here / "a").write_text("text")
    value = ["text", [["a"], "text"]]
    assert json.loads(programs.run("main.py", "here")) == [value, ["computed"] * 2]
    here.rename(there)
    assert json.loads(programs.run("main.py", "there")) == [value, ["hit-local"] * 2]


HOLDS = """
    import pathlib, sys
    from thrifty import Dir, File, task

    @task
    def file() -> File:
        pathlib.Path("a.txt").write_text("a")
        return File("a.txt")

    @task
    def tree() -> Dir:
        pathlib.Path("tree").mkdir(exist_ok=True)
        pathlib.Path("tree/b.txt").write_text("b")
        return Dir("tree")

    for made in file(), tree():
        print(made.path, flush=True)
    sys.stdin.readline()
    """


def test_what_a_process_loaded_is_held_until_it_ends(programs, home):
    """As `docs/formats/entry.md` says, so that nobody collects it meanwhile."""
    programs.write("holds.py", HOLDS)
    programs.run("holds.py")
    process = programs.start("holds.py", stdin=subprocess.PIPE)
    assert process.stdout is not None
    placed = [pathlib.Path(process.stdout.readline().strip()).relative_to(home) for _ in "ab"]
    # files/file/<digest>/<name> and files/dir/<digest>/<number>/<name>
    places = [int(path.parts[2][:4], 16) for path in placed]

    def is_held(place: int) -> bool:
        with open(home / "files/held", "r+b") as held:
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                return True
        return False

    assert [is_held(place) for place in places] == [True, True]
    assert not is_held(0x10000)
    process.communicate("\n", timeout=60)
    assert [is_held(place) for place in places] == [False, False]
