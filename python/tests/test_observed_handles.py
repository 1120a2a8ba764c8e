"""What is read from the handle of a directory, permissions, and files that are mapped."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import venv

import pytest
import thrifty

STEPS = """
    import json, os, pathlib, shutil, sys
    from thrifty import task

    def _by_handle(path, act):
        handle = os.open(path, os.O_RDONLY)
        try:
            return act(handle)
        finally:
            os.close(handle)

    def _text(handle, name):
        file = os.open(name, os.O_RDONLY, dir_fd=handle)
        try:
            return os.read(file, 99).decode()
        finally:
            os.close(file)

    def _sizes(handle):
        with os.scandir(handle) as entries:
            return sorted(entry.stat().st_size for entry in entries)

    def _within(path, name, act):
        def at(handle):
            inner = os.open(name, os.O_RDONLY, dir_fd=handle)
            try:
                return act(inner)
            finally:
                os.close(inner)
        return _by_handle(path, at)

    def _in_both(one, two):
        return _by_handle(one, lambda a: _by_handle(two, lambda b: [os.listdir(a), os.listdir(b)]))

    def _files(handle):
        with os.scandir(handle) as entries:
            return [it.name for it in entries if it.name.startswith("to_") and it.is_file()]

    def _elsewhere(path, act):
        # Read where nothing counts.
        here = os.readlink("/proc/self/cwd")
        os.chdir(path)
        try:
            return act()
        finally:
            os.chdir(here)

    def _began(path):
        try:
            with open(path, "x") as file:
                file.write("begun")
        except FileExistsError:
            pass
        with open(path) as file:
            return file.read()

    def _is_new(path):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _cleared():
        os.makedirs("made", exist_ok=True)
        for name in ("a.txt", "b.txt"):
            with open(os.path.join("made", name), "w") as file:
                file.write("own")
        shutil.rmtree("made")
        with open("a.txt") as file:
            return file.read()

{tasks}
    if __name__ == "__main__":
        tasks = [it for name, it in list(globals().items()) if name in {names}]
        told = [[[run.nodes[-1]["outcome"], run.value] for run in [it.run(), it.run()]] for it in tasks]
        print(json.dumps(dict(zip({names}, told))))
"""

# By name: the expression, and whether it shows how long the files in `data` are, or which they are.
WAYS = {
    "walked": ("sorted(n for _, _, names, _ in os.fwalk('data') for n in names)", False),
    "walked_link": (
        "sorted(n for _, _, names, _ in os.fwalk('link', follow_symlinks=True) for n in names)",
        False,
    ),
    "not_walked": ("sorted(n for _, _, names, _ in os.fwalk('alias') for n in names)", "link"),
    "walked_sizes": (
        "sum(os.stat(n, dir_fd=h).st_size for _, _, names, h in os.fwalk('data') for n in names)",
        True,
    ),
    "listed": ("_by_handle('data', lambda h: sorted(os.listdir(h)))", False),
    "listed_absolute": (
        "_by_handle(os.path.abspath('data'), lambda h: sorted(os.listdir(h)))",
        False,
    ),
    "listed_link": ("_by_handle('link', lambda h: sorted(os.listdir(h)))", False),
    "scanned": ("_by_handle('data', lambda h: sorted(it.name for it in os.scandir(h)))", False),
    "scanned_sizes": ("_by_handle('data', _sizes)", True),
    "opened": ("_by_handle('data', lambda h: _text(h, 'a.txt'))", True),
    "opened_within": ("_by_handle('data', lambda h: _text(h, 'in/a.txt'))", True),
    "asked": ("_by_handle('data', lambda h: os.access('a.txt', os.X_OK, dir_fd=h))", None),
    "executable": ("os.access('data/a.txt', os.X_OK)", None),
    "program": ("str(shutil.which('a.txt', path='data'))", None),
    "cleared": ("_cleared()", True),
}


@pytest.fixture
def steps(programs):
    def write(expressions: dict[str, str]) -> None:
        tasks = "".join(
            f"    @task\n    def {name}():\n        return {expression}\n\n"
            for name, expression in expressions.items()
        )
        programs.write("steps.py", STEPS.format(tasks=tasks, names=list(expressions)))

    def run(cwd=None, **environment: str) -> dict[str, list]:
        """How each task ended, and what it gave; asked again in the same process it is a hit."""
        options = {"env": {**os.environ, **environment}, "cwd": cwd or programs.directory}
        process = programs.start(str(programs.directory / "steps.py"), **options)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out + err
        told = json.loads(out)
        assert {name: again[0][:3] for name, (_, again) in told.items()} == dict.fromkeys(
            told, "hit"
        )
        return {name: [first[0][:3], first[1]] for name, (first, _) in told.items()}

    return write, run


def put(directory, names: list[str], content: str, mode: int) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)


def test_what_is_read_by_a_handle_and_what_is_permitted_decides(programs, steps):
    write, run = steps
    write({name: expression for name, (expression, _) in WAYS.items()})
    for name in ("link", "alias"):
        os.symlink("data", programs.directory / name)
    files = ["a.txt", "data/a.txt", "data/in/a.txt"]
    put(programs.directory, files, "1", 0o644)
    before = run()
    assert {it[0] for it in before.values()} == {"com"}
    assert run() == {name: ["hit", value] for name, (_, value) in before.items()}

    def follow(kind: bool | str | None) -> None:
        nonlocal before
        after = run()
        affected = {name for name, (_, shows) in WAYS.items() if shows is kind}
        assert {name for name in WAYS if after[name][1] != before[name][1]} >= affected
        assert {name for name in affected if after[name][0] != "com"} == set()
        before = run()
        assert before == {name: ["hit", value] for name, (_, value) in after.items()}

    put(programs.directory, files, "two", 0o644)
    follow(True)
    put(programs.directory, files, "two", 0o755)
    follow(None)
    put(programs.directory, ["data/b.txt", "data/in/b.txt"], "two", 0o755)
    follow(False)
    # A link that leads elsewhere.
    put(programs.directory, ["other/c.txt"], "two", 0o755)
    (programs.directory / "link").unlink()
    os.symlink("other", programs.directory / "link")
    after = run()
    links = ("walked_link", "listed_link")
    assert [after[name] for name in links] == [["com", ["c.txt"]], ["com", ["c.txt"]]]
    assert {name for name in WAYS if after[name][0] == "com"} == set(links)
    before = run()
    # A directory in the place of a link, which is not followed.
    (programs.directory / "alias").unlink()
    put(programs.directory, ["alias/d.txt"], "two", 0o755)
    follow("link")


def test_a_relative_path_of_a_handle_hangs_on_the_working_directory(programs, steps):
    write, run = steps
    relative = ("walked", "listed", "opened", "executable", "program")
    write({name: WAYS[name][0] for name in relative})
    put(programs.directory, ["data/a.txt"], "1", 0o644)
    put(programs.directory, ["other/data/a.txt", "other/data/b.txt"], "elsewhere", 0o755)
    first = run()
    second = run(cwd=programs.directory / "other")
    assert {name: it[0] for name, it in second.items()} == dict.fromkeys(relative, "com")
    assert [name for name in relative if second[name][1] == first[name][1]] == []


def test_a_program_that_is_looked_for_hangs_on_where(programs, steps):
    write, run = steps
    write({"found": "str(shutil.which('tool'))"})
    path = [str(programs.directory / name) for name in ("one", "two")]
    put(programs.directory, ["two/tool"], "1", 0o755)
    both = {"PATH": os.pathsep.join(path)}
    assert run(**both)["found"] == ["com", path[1] + "/tool"]
    assert run(**both)["found"][0] == "hit"
    assert run(PATH=path[0])["found"] == ["com", "None"]
    put(programs.directory, ["one/tool"], "1", 0o644)
    assert run(**both)["found"][1] == path[1] + "/tool"
    (programs.directory / "one/tool").chmod(0o755)
    assert run(**both)["found"] == ["com", path[0] + "/tool"]


def test_a_program_is_looked_for_in_the_environment_of_python_too(programs):
    environment = programs.directory / "environment"
    venv.create(environment, with_pip=False)
    programs.write(
        "main.py",
        """
        import shutil
        from thrifty import task

        @task
        def found():
            return shutil.which("tool") is not None

        run = found.run()
        print(run.nodes[-1]["outcome"][:3], run.value)
        """,
    )
    path = {
        "PATH": str(environment / "bin"),
        "PYTHONPATH": str(pathlib.Path(thrifty.__file__).parents[1]),
    }

    def run() -> str:
        command = [str(environment / "bin/python"), str(programs.directory / "main.py")]
        options = {"env": {**os.environ, **path}, "cwd": programs.directory}
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout

    assert [run(), run()] == ["com False\n", "hit False\n"]
    put(environment, ["bin/tool"], "1", 0o755)
    assert [run(), run()] == ["com True\n", "hit True\n"]


def test_what_is_removed_by_handles_is_not_what_is_read_here(programs, steps):
    write, run = steps
    write({"cleared": "_cleared()"})
    put(programs.directory, ["a.txt"], "1", 0o644)
    assert run()["cleared"] == ["com", "1"]
    put(programs.directory, ["a.txt"], "2", 0o644)
    assert run()["cleared"] == ["com", "2"]


def test_a_directory_is_read_by_every_name_that_its_handle_has(programs, steps):
    write, run = steps
    expressions = {
        "opened": "_within('.', 'current', lambda h: _text(h, 'who.txt'))",
        "listed": "_within('.', 'current', lambda h: sorted(os.listdir(h)))",
        "asked": "_within('.', 'current', lambda h: os.stat('who.txt', dir_fd=h).st_size)",
        "both": "_in_both('current', 'v1') == _in_both('v1', 'v1')",
        "walked": (
            "sorted(n for _, _, ns, _ in os.fwalk('tree', follow_symlinks=True) for n in ns)"
        ),
        "files": "_by_handle('.', _files)",
        "files_of_path": "_files('.')",
    }
    write(expressions)
    put(programs.directory, ["v1/who.txt", "file"], "1", 0o644)
    put(programs.directory, ["v2/who.txt", "v2/more.txt"], "two", 0o644)
    (programs.directory / "tree").mkdir()
    links = {"current": ("v1", "v2"), "tree/link": ("../v1", "../v2"), "to_file": ("file", "v1")}
    for name, (to, _) in links.items():
        os.symlink(to, programs.directory / name)
    before = run()
    assert before == {
        "opened": ["com", "1"],
        "listed": ["com", ["who.txt"]],
        "asked": ["com", 1],
        "both": ["com", True],
        "walked": ["com", ["who.txt"]],
        "files": ["com", ["to_file"]],
        "files_of_path": ["com", ["to_file"]],
    }
    assert run() == {name: ["hit", value] for name, (_, value) in before.items()}
    for name, (_, to) in links.items():
        (programs.directory / name).unlink()
        os.symlink(to, programs.directory / name)
    assert run() == {
        "opened": ["com", "two"],
        "listed": ["com", ["more.txt", "who.txt"]],
        "asked": ["com", 3],
        "both": ["com", False],
        "walked": ["com", ["more.txt", "who.txt"]],
        "files": ["com", []],
        "files_of_path": ["com", []],
    }


def test_who_leaves_the_working_directory_hangs_on_it(programs, steps):
    write, run = steps
    write(
        {
            "handle": "_by_handle('data', lambda h: _elsewhere('/', lambda: os.listdir(h)))",
            "relative": "_elsewhere('data', lambda: os.listdir('.'))",
            "absolute": f"_elsewhere({str(programs.directory)!r}, lambda: os.listdir('data'))",
        }
    )
    put(programs.directory, ["data/a.txt", "other/data/b.txt"], "1", 0o644)
    assert run() == dict.fromkeys(("handle", "relative", "absolute"), ["com", ["a.txt"]])
    assert run(cwd=programs.directory / "other") == {
        "handle": ["com", ["b.txt"]],
        "relative": ["com", ["b.txt"]],
        "absolute": ["hit", ["a.txt"]],
    }


def test_a_file_that_was_there_is_not_begun(programs, steps):
    write, run = steps
    write({"began": "_began('data.txt')", "is_new": "_is_new('lock.txt')"})
    put(programs.directory, ["data.txt", "lock.txt"], "1", 0o644)
    assert run() == {"began": ["com", "1"], "is_new": ["com", False]}
    put(programs.directory, ["data.txt"], "two", 0o644)
    assert run() == {"began": ["com", "two"], "is_new": ["hit", False]}
    (programs.directory / "lock.txt").unlink()
    assert run() == {"began": ["hit", "two"], "is_new": ["com", True]}


def test_a_path_counts_that_is_given_by_its_name(programs, steps):
    write, run = steps
    write(
        {
            "access": "os.access(path='data.txt', mode=os.X_OK)",
            "stat": "os.stat(path='data.txt').st_size",
            "lstat": "os.lstat(path='data.txt').st_size",
            "readlink": "os.readlink(path='link')",
            "access_of_link": "os.access('dangling', os.R_OK, follow_symlinks=False)",
        }
    )
    put(programs.directory, ["data.txt"], "1", 0o644)
    os.symlink("one", programs.directory / "link")
    before = run()
    assert run() == {name: ["hit", value] for name, (_, value) in before.items()}
    put(programs.directory, ["data.txt"], "two", 0o755)
    (programs.directory / "link").unlink()
    os.symlink("two", programs.directory / "link")
    os.symlink("nowhere", programs.directory / "dangling")
    assert [it[1] for it in before.values()] == [False, 1, 1, "one", False]
    assert list(run().values()) == [["com", it] for it in (True, 3, 3, "two", True)]


def test_an_entry_remembers_what_it_was_asked(programs):
    """As that of Python does, which asks the system once: later the handle leads elsewhere."""
    programs.write(
        "main.py",
        """
        import json, os
        from thrifty import task

        def _sorted(path):
            handle = os.open(path, os.O_RDONLY)
            try:
                return sorted(os.scandir(handle), key=lambda it: it.stat().st_size)
            finally:
                os.close(handle)

        def _sizes(entries):
            return [[it.name, it.stat().st_size, it.is_file()] for it in entries]

        @task
        def closed():
            return _sizes(_sorted("one"))

        @task
        def reused():
            entries = _sorted("one")
            handle = os.open("two", os.O_RDONLY)
            try:
                return _sizes(entries)
            finally:
                os.close(handle)

        @task
        def removed():
            with open("made.txt", "w") as file:
                file.write("made")
            entries = [it for it in os.scandir(".") if it.name == "made.txt" and it.stat()]
            os.remove("made.txt")
            return _sizes(entries)

        if __name__ == "__main__":
            print(json.dumps([it() for it in (closed, reused, removed)]))
        """,
    )
    put(programs.directory, ["one/a.txt"], "1", 0o644)
    put(programs.directory, ["two/a.txt"], "two", 0o644)
    out, err = programs.start(str(programs.directory / "main.py")).communicate(timeout=60)
    assert json.loads(out) == [[["a.txt", 1, True]]] * 2 + [[["made.txt", 4, True]]], err
    assert "handle" not in err


@pytest.mark.parametrize(
    "stub",
    [
        "mock.MagicMock()",
        "types.ModuleType('pyarrow')",
        "types.SimpleNamespace(memory_map=None)",
    ],
)
def test_what_is_no_pyarrow_is_left_alone(programs, stub):
    programs.write(
        "main.py",
        f"""
        import sys, types
        from unittest import mock
        from thrifty import task

        @task
        def doubles(x):
            import colorsys
            return 2 * x

        sys.modules["pyarrow"] = {stub}
        sys.modules["pyarrow"].memory_map = None
        print(doubles(1), doubles(2))
        """,
    )
    assert programs.run("main.py") == "2 4\n"


MAPS = """
    import json, sys
    from thrifty import task
    {above}

    @task
    def maps():
        {within}
        with pa.memory_map("data.txt") as file:
            return file.read().decode()

    @task
    def tables():
        {within}
        with pa.memory_map("data.txt", mode="r") as file:
            return pa.BufferReader(file.read_buffer()).read().decode()

    if __name__ == "__main__":
        told = [[run.nodes[-1]["outcome"][:3], run.value] for it in (maps, tables, maps) for run in [it.run()]]
        import pyarrow as pa
        with pa.memory_map("data.txt", "w") as file:
            assert isinstance(file, pa.MemoryMappedFile)
        assert __import__("pickle").loads(__import__("pickle").dumps(pa.memory_map)) is pa.memory_map
        print(json.dumps(told))
"""


@pytest.mark.parametrize(
    ("above", "within"),
    [("import pyarrow as pa", "pass"), ("", "import pyarrow as pa")],
    ids=["loaded before", "loaded by the body"],
)
def test_a_file_that_pyarrow_maps_counts(programs, above, within):
    pytest.importorskip("pyarrow")
    programs.write("main.py", MAPS.format(above=above, within=within))
    for content in ("1", "2"):
        programs.write("data.txt", content)
        told = json.loads(programs.run("main.py"))
        assert told == [["com", content], ["com", content], ["hit", content]]
        told = json.loads(programs.run("main.py"))
        assert told == [["hit", content]] * 3


def test_a_handle_from_elsewhere_is_noted(programs):
    """It is a number, which leads to another directory tomorrow."""
    programs.write(
        "main.py",
        """
        import json, os, warnings
        from thrifty import task
        HANDLE = os.open("below", os.O_RDONLY)

        @task
        def lists(handle: int) -> list:
            return os.listdir(handle)

        @task
        def opens(handle: int) -> str:
            file = os.open("in.txt", os.O_RDONLY, dir_fd=handle)
            return os.read(file, 9).decode()

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            values = [lists(HANDLE), opens(HANDLE)]
        print(json.dumps([values, *(str(it.message) for it in said)]))
        """,
    )
    programs.write("below/in.txt", "1")
    values, *said = json.loads(programs.run("main.py"))
    assert values == [["in.txt"], "1"]
    assert [text.split()[0] for text in said] == ["main.lists", "main.opens"]
    assert all("the handle of a directory" in text for text in said)


TAKEN = {
    "attribute": "os.open is None",
    "imported": "opens is None",
    "held": "TABLE['open'] is None",
    "listed": "scans is None",
    "partial": "STARTED is None",
    "default": "opener is None",
    "argument": "given is None",
}


def test_the_functions_of_os_look_as_they_did(programs):
    programs.write(
        "main.py",
        """
        import inspect, os, pickle
        from thrifty import task

        NAMES = ("getcwd", "stat", "lstat", "access", "readlink", "open", "scandir")

        @task
        def begins():
            return 1

        def signatures():
            return [str(inspect.signature(getattr(os, it))) for it in NAMES]

        before, taken = signatures(), [getattr(os, it) for it in NAMES]
        begins()
        assert signatures() == before, signatures()
        now = [getattr(os, it) for it in NAMES]
        assert not any(new is old for new, old in zip(now, taken))
        assert pickle.loads(pickle.dumps([taken, now])) == [taken, now]
        """,
    )
    programs.run("main.py")


def test_what_was_taken_of_os_is_the_same_before_and_after_a_body(programs):
    """Another function stands in its place once the first body ran."""
    tasks = "".join(
        f"""
        @task
        def {name}(given=None, opener=os.open):
            return {expression}
        """
        for name, expression in TAKEN.items()
    )
    programs.write(
        "main.py",
        f"""
        import functools, json, os, sys, time
        from os import open as opens, scandir as scans
        from os.path import expanduser
        from thrifty import task

        TABLE = {{"open": os.open, "scan": os.scandir, "expand": expanduser}}
        STARTED = functools.partial(os.access, "main.py")
        {tasks}
        @task
        def expands(given):
            return expanduser is None

        @task
        def begins(at):
            return at

        if __name__ == "__main__":
            if sys.argv[1] == "late":
                begins(time.time())
            if sys.argv[1] == "taken late":
                begins(time.time())
                import os
                from os import open as opens, scandir as scans
                from os.path import expanduser
                TABLE.update(open=os.open, scan=os.scandir, expand=expanduser)
                STARTED = functools.partial(os.access, "main.py")
            given = [opens, scans, expanduser, os.stat]
            tasks = [{", ".join(TAKEN)}, expands]
            print(json.dumps([it.run(given).nodes[-1]["outcome"][:3] for it in tasks]))
        """,
    )
    count = len(TAKEN) + 1
    assert json.loads(programs.run("main.py", "early")) == ["com"] * count
    for when in ("late", "taken late", "early"):
        assert json.loads(programs.run("main.py", when)) == ["hit"] * count, when
