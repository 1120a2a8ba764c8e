"""What a body reads behind its arguments' back: it runs again when that changes, and only then.

Every step is a program in a process of its own that runs all tasks of a module and prints, for
each, whether its body ran and what it gave.
"""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import pickle
import shutil
import textwrap

import numpy as np
import pandas as pd
import pytest

HEAD = """
    import csv, glob, gzip, json, os, pathlib, sys, threading
    from thrifty import Cache, task, workflow
    HERE = pathlib.Path(__file__).parent
"""

MAIN = """
    import json
    from thrifty import Task
    import steps

    if __name__ == "__main__":
        told = {}
        for name, step in list(vars(steps).items()):
            if isinstance(step, Task) and not name.startswith("_"):
                run = step.run()
                try:
                    value = run.value
                except Exception as error:
                    value = type(error).__name__
                told[name] = run.nodes[-1]["outcome"], value
        print(json.dumps(told))
"""


class Steps:
    """A module of tasks, run again and again."""

    def __init__(self, programs) -> None:
        self.programs = programs
        self.directory = programs.directory
        programs.write("main.py", MAIN)

    def write(self, text: str) -> None:
        self.programs.write("steps.py", textwrap.dedent(HEAD) + textwrap.dedent(text))

    def file(self, name: str, content: str | bytes = "1") -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, **environment: str) -> dict[str, list]:
        env = {**os.environ, **environment}
        process = self.programs.start("-W", "ignore", "main.py", env=env)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        return json.loads(out)

    def values(self, **environment: str) -> dict[str, object]:
        """What every task gave; the body of each must have run."""
        told = self.run(**environment)
        assert {name for name, it in told.items() if it[0] not in ("computed", "failed")} == set()
        return {name: value for name, (_, value) in told.items()}

    def hits(self, **environment: str) -> dict[str, object]:
        """What every task gave; each must have been a hit."""
        told = self.run(**environment)
        assert {name: it for name, it in told.items() if not it[0].startswith("hit")} == {}
        return {name: value for name, (_, value) in told.items()}


@pytest.fixture
def steps(programs):
    return Steps(programs)


def npy(number: int) -> bytes:
    import io

    out = io.BytesIO()
    np.save(out, np.array([number]))
    return out.getvalue()


def parquet(number: int) -> bytes:
    return pd.DataFrame({"a": [number]}).to_parquet()


# By name: the expression that reads `data/<name>`, and the file for a number.
WAYS = {
    "plain": ("open('data/plain').read()", str),
    "of_os": ("os.read(os.open('data/of_os', os.O_RDONLY), 9).decode()", str),
    "bytes_path": ("open(b'data/bytes_path', 'rb').read().decode()", str),
    "path": ("pathlib.Path('data/path').read_text()", str),
    "path_open": ("pathlib.Path('data', 'path_open').open().read()", str),
    "absolute": ("open(os.path.abspath('data/absolute')).read()", str),
    "own_file": ("(HERE / 'data/own_file').read_text()", str),
    "json_load": ("json.load(open('data/json_load'))", str),
    "lines": ("list(csv.reader(open('data/lines')))", lambda n: f"a,{n}\n"),
    "packed": (
        "gzip.open('data/packed').read().decode()",
        lambda n: gzip.compress(b"%d" % n, mtime=0),
    ),
    "pickled": ("__import__('pickle').load(open('data/pickled', 'rb'))", pickle.dumps),
    "ini": ("_ini('data/ini')", lambda n: f"[a]\nb = {n}\n"),
    "toml": ("__import__('tomllib').load(open('data/toml', 'rb'))", lambda n: f"a = {n}\n"),
    "numpy_load": ("int(_np().load('data/numpy_load')[0])", npy),
    "numpy_text": ("float(_np().loadtxt('data/numpy_text'))", str),
    "numpy_raw": ("_np().fromfile('data/numpy_raw', 'u1').tolist()", str),
    "memory": ("int(_np().load('data/memory', mmap_mode='r')[0])", npy),
    "frame": ("_pd().read_csv('data/frame').a.tolist()", lambda n: f"a\n{n}\n"),
    "frame_list": (
        "_pd().concat(map(_pd().read_csv, ['data/frame_list'])).a.tolist()",
        lambda n: f"a\n{n}\n",
    ),
    "buffer": ("_pd().read_csv(open('data/buffer')).a.tolist()", lambda n: f"a\n{n}\n"),
    "parquet": ("_pd().read_parquet('data/parquet').a.tolist()", parquet),
    "native": ("_native('data/native')", parquet),
    "pooled": ("_pooled('data/pooled')", str),
    "threaded": ("_threaded('data/threaded')", str),
    "inner": ("_inner('data/inner')", str),
    "listed": ("os.listdir('data/listed')", None),
    "scanned": ("sorted(entry.name for entry in os.scandir('data/scanned'))", None),
    "measured": ("os.lstat('data/measured').st_size", lambda n: "x" * n),
    "measured_path": ("pathlib.Path('data/measured_path').lstat().st_size", lambda n: "x" * n),
    "measured_itself": (
        "os.stat('data/measured_itself', follow_symlinks=False).st_size",
        lambda n: "x" * n,
    ),
    "entry": (
        "[it.stat().st_size for it in os.scandir('data') if it.name == 'entry']",
        lambda n: "x" * n,
    ),
    "entry_itself": (
        "[it.stat(follow_symlinks=False).st_size for it in _entries('data') if it.name == 'entry_itself']",
        lambda n: "x" * n,
    ),
    "globbed": ("glob.glob('data/globbed/*.txt')", None),
    "iterated": ("sorted(path.name for path in pathlib.Path('data/iterated').iterdir())", None),
    "resource": ("_resource()", str),
}

READERS = """
    import importlib.resources
    from concurrent.futures import ThreadPoolExecutor

    def _np():
        import numpy
        return numpy

    def _pd():
        import pandas
        return pandas

    def _native(path):
        from pyarrow import parquet
        return parquet.read_table(path).to_pydict()

    def _ini(path):
        import configparser
        parser = configparser.ConfigParser()
        parser.read([path])
        return dict(parser["a"])

    def _resource():
        return importlib.resources.files("data").joinpath("resource").read_text()

    def _entries(path):
        with os.scandir(path) as entries:
            return [entry for entry in entries if isinstance(entry, os.DirEntry)]

    def _text(path):
        with open(path) as file:
            return file.read()

    def _pooled(path):
        with ThreadPoolExecutor(1) as pool:
            return list(pool.map(_pd().read_csv, [path]))[0].columns.tolist()

    def _threaded(path):
        found = []
        thread = threading.Thread(target=lambda: found.append(_text(path)))
        thread.start()
        thread.join()
        return found

    @task
    def _reads(path: str) -> str:
        return _text(path)

    def _inner(path):
        return _reads(path)
"""


def write_way(steps: Steps, name: str, number: int) -> None:
    content = WAYS[name][1]
    if content is None:
        for n in range(number):
            steps.file(f"data/{name}/{n}.txt")
    else:
        steps.file(f"data/{name}", content(number))


@pytest.fixture
def ways(steps):
    bodies = [
        f"    @task\n    def {name}():\n        return {expression}\n"
        for name, (expression, _) in WAYS.items()
    ]
    steps.write(READERS + "\n".join(bodies))
    for name in WAYS:
        write_way(steps, name, 1)
    return steps


def test_what_was_read_decides_however_it_was_read(ways):
    first = ways.values()
    assert "Error" not in json.dumps(first)
    assert ways.hits() == first
    for name in WAYS:
        # The same content, written again.
        if WAYS[name][1] is not None:
            write_way(ways, name, 1)
    assert ways.hits() == first
    for name in WAYS:
        write_way(ways, name, 2)
    second = ways.values()
    assert [name for name in WAYS if second[name] == first[name]] == []
    assert ways.hits() == second
    shutil.rmtree(ways.directory / "data")
    gone = ways.values()
    assert {name for name in WAYS if "Error" not in str(gone[name])} == {"globbed", "threaded"}


def test_what_was_not_there_decides_when_it_appears(steps):
    steps.write(
        """
    def _else(read):
        try:
            return read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @task
    def file():
        return _else(lambda: open("late.txt").read())

    @task
    def listing():
        return _else(lambda: os.listdir("late"))

    @task
    def asked():
        return os.path.exists("late.txt") or None

    @task
    def asked_of_path():
        return pathlib.Path("late").is_dir() or None

    @task
    def measured():
        return _else(lambda: os.stat("late.txt").st_size)

    @task
    def below():
        return _else(lambda: pathlib.Path("late/a/b.txt").read_text())
        """
    )
    names = ["file", "listing", "asked", "asked_of_path", "measured", "below"]
    absent = dict.fromkeys(names)
    assert steps.values() == absent
    assert steps.hits() == absent
    steps.file("late.txt")
    steps.file("late/a/b.txt")
    there = dict(zip(names, ["1", ["a"], True, True, 1, "1"], strict=True))
    assert steps.values() == there
    assert steps.hits() == there
    steps.file("late.txt", "22")
    told = steps.run()
    assert [name for name, it in told.items() if it[0] == "computed"] == ["file", "measured"]
    shutil.rmtree(steps.directory / "late")
    (steps.directory / "late.txt").unlink()
    assert {value for _, value in steps.run().values()} == {None}


LINKS = {
    "access": "os.access('link', os.F_OK)",
    "lexists": "os.path.lexists('link')",
    "islink": "os.path.islink('link')",
    "is_symlink": "pathlib.Path('link').is_symlink()",
    "lstat": "_else(lambda: os.lstat('link').st_size)",
    "lstat_path": "_else(lambda: pathlib.Path('link').lstat().st_mode)",
    "readlink": "_else(lambda: os.readlink('link'))",
    "readlink_path": "_else(lambda: str(pathlib.Path('link').readlink()))",
    "entry_leads": "[it.is_dir() for it in os.scandir('.') if it.name == 'link']",
    "entry_is_file": "[it.is_file() for it in os.scandir('.') if it.name == 'link']",
    "entry_size": "[_else(it.stat) and 1 for it in os.scandir('.') if it.name == 'link']",
}


def test_what_is_asked_of_a_link_decides_wherever_it_leads(steps):
    head = """
    def _else(read):
        try:
            return read()
        except FileNotFoundError:
            return None
"""
    bodies = [f"    @task\n    def {name}():\n        return {it}\n" for name, it in LINKS.items()]
    steps.write(head + "\n" + "\n".join(bodies))
    steps.file("there.txt", "1")
    steps.file("directory/a", "1")
    link = steps.directory / "link"
    # What is expected is what the same code gives without a cache, in each state.
    told = []
    for target in (None, "nowhere", "no", "there.txt", "directory"):
        link.unlink(missing_ok=True)
        if target is not None:
            link.symlink_to(target)
        expected = {name: it[1] for name, it in steps.run(THRIFTY_CACHE="off").items()}
        assert {name: it[1] for name, it in steps.run().items()} == expected
        assert steps.hits() == expected
        told.append(expected)
    for name in LINKS:
        assert any(
            before[name] != after[name] for before, after in zip(told, told[1:], strict=False)
        )


def test_what_is_passed_on_the_way_does_not_count(steps):
    steps.write(
        """
    @task
    def walked():
        return [sorted(names) for _, _, names in os.walk("data")]

    @task
    def resolved():
        return os.path.basename(os.path.realpath("data/a"))

    @task
    def named():
        return sorted(entry.name for entry in os.scandir("data") if entry.is_file())
        """
    )
    steps.file("data/a", "1")
    first = steps.values()
    steps.file("data/a", "22")
    assert steps.hits() == first


VARIABLES = """
    def _threaded():
        found = []
        thread = threading.Thread(target=lambda: found.append(os.environ.get("MODE")))
        thread.start()
        thread.join()
        return found[0]

    @task
    def item():
        try:
            return os.environ["MODE"]
        except KeyError:
            return None

    @task
    def get():
        return os.environ.get("MODE")

    @task
    def getenv():
        return os.getenv("MODE")

    @task
    def raw():
        found = os.environb.get(b"MODE")
        return found and found.decode()

    @task
    def contains():
        return "MODE" in os.environ or None

    @task
    def threaded():
        return _threaded()

    @task
    def expanded():
        found = os.path.expandvars("$MODE")
        return None if found == "$MODE" else found
"""


def test_variables_that_were_read_decide(steps, monkeypatch):
    monkeypatch.delenv("MODE", raising=False)
    steps.write(VARIABLES)
    unset = steps.values()
    assert set(unset.values()) == {None}
    assert steps.hits(OTHER="1") == unset
    fast = steps.values(MODE="fast")
    assert fast == {name: True if name == "contains" else "fast" for name in fast}
    assert steps.hits(MODE="fast") == fast
    slow = steps.values(MODE="slow")
    assert slow["item"] == "slow"
    assert steps.hits(MODE="slow", OTHER="2") == slow
    assert {name: value for name, (_, value) in steps.run().items()} == unset


HOMES = {
    "expanded": "os.path.expanduser('~/x')",
    "made": "str(pathlib.Path.home() / 'x')",
    "of_a_path": "str(pathlib.Path('~/x').expanduser())",
    "user": "__import__('getpass').getuser()",
    "library": "_pd().read_csv('~/table.csv').a.tolist()",
}


def test_the_variables_behind_a_home_and_a_user_decide(steps):
    def tasks() -> str:
        lines = (f"@task\ndef {name}():\n    return {way}\n" for name, way in HOMES.items())
        return "def _pd():\n    import pandas\n    return pandas\n" + "\n".join(lines)

    steps.write(textwrap.indent(tasks(), "    "))
    given = {}
    for name in ("a", "b"):
        steps.file(f"{name}/table.csv", f"a\n{len(given)}\n")
        given[name] = {"HOME": str(steps.directory / name), "LOGNAME": name}
    first = steps.values(**given["a"])
    assert first == {
        "expanded": str(steps.directory / "a/x"),
        "made": str(steps.directory / "a/x"),
        "of_a_path": str(steps.directory / "a/x"),
        "user": "a",
        "library": [0],
    }
    assert steps.hits(**given["a"], USER="other") == first
    second = steps.values(**given["b"])
    assert (second["made"], second["user"], second["library"]) == (
        str(steps.directory / "b/x"),
        "b",
        [1],
    )
    assert steps.hits(**given["a"]) == first


DEFAULTS = """
    @task
    def text():
        return os.environ.setdefault("MODE", "fast")

    @task
    def raw():
        return os.environb.setdefault(b"MODES", b"fast").decode()

    @task
    def read_afterwards():
        os.environ.setdefault("MODE_2", "fast")
        return os.environ["MODE_2"] + os.environ.get("MODE_2", "") + os.getenv("MODE_2")

    @task
    def _inner():
        return os.environ["MODE_3"]

    @task
    def around():
        os.environ.setdefault("MODE_3", "fast")
        return _inner()

    @task
    def of_its_own():
        os.environ["MODE_4"] = "own"
        return os.environ.setdefault("MODE_4", "fast")
"""


def test_a_variable_that_a_body_sets_where_it_is_not_there(steps, monkeypatch):
    names = ("MODE", "MODES", "MODE_2", "MODE_3", "MODE_4")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    steps.write(DEFAULTS)
    first = steps.values()
    assert first["text"] == first["raw"] == first["around"] == "fast"
    assert steps.hits() == first, "what it set itself is no change"
    assert steps.hits(**dict.fromkeys(names, "fast")) == first, "the same"
    told = steps.run(**dict.fromkeys(names, "slow"))
    assert told.pop("of_its_own") == ["hit-local", "own"]
    assert {name: it[0] for name, it in told.items()} == dict.fromkeys(told, "computed")
    assert told["read_afterwards"][1] == "slow" * 3
    assert steps.hits() == first


def test_lines_that_are_remembered_count_as_read(steps):
    steps.write(
        """
    import linecache

    @task
    def whole():
        return linecache.getlines("data.txt")

    @task
    def again():
        return linecache.getlines("data.txt")

    @task
    def one():
        return linecache.getline("data.txt", 1)

    @task
    def complains():
        try:
            whole.nothing
        except AttributeError as error:
            import traceback
            return "".join(traceback.format_tb(error.__traceback__)).count("steps.py")
        """
    )
    steps.file("data.txt", "1\n")
    first = steps.values()
    assert first == {"whole": ["1\n"], "again": ["1\n"], "one": "1\n", "complains": 1}
    assert steps.hits() == first
    steps.file("data.txt", "2\n")
    told = steps.run()
    assert told.pop("complains") == ["hit-local", 1]
    assert told == {
        "whole": ["computed", ["2\n"]],
        "again": ["computed", ["2\n"]],
        "one": ["computed", "2\n"],
    }


def test_what_does_not_matter(steps):
    steps.file("library/steady.py", "")
    steps.write(
        """
    import tempfile, warnings, traceback

    @task
    def temporary():
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "a")
            path.write_text("x")
            with tempfile.NamedTemporaryFile("w+") as file:
                file.write("y")
                file.seek(0)
                return path.read_text() + file.read() + str(len(os.listdir(directory)))

    @task
    def output():
        with open("output.txt", "w") as file:
            file.write("z")
        return open("output.txt").read()

    @task
    def asks_for_output():
        for name in ("asked.txt", "asked"):
            if os.path.isfile(name):
                os.remove(name)
        os.makedirs("asked", exist_ok=True)
        if not pathlib.Path("asked.txt").exists():
            pathlib.Path("asked.txt").write_text("1")
        return pathlib.Path("asked.txt").read_text()

    @task
    def directory():
        shutil = __import__("shutil")
        shutil.rmtree("made", ignore_errors=True)
        os.makedirs("made/deep")
        pathlib.Path("made/deep/a").write_text("1")
        return sorted(os.listdir("made/deep"))

    @task
    def replaced():
        pathlib.Path("new.tmp").write_text("new")
        os.replace("new.tmp", "new.txt")
        return pathlib.Path("new.txt").read_text()

    @task
    def variable():
        os.environ["THRIFTY_TEST_OWN"] = "1"
        return os.environ["THRIFTY_TEST_OWN"]

    @task
    def imports():
        import colorsys, late_module
        return late_module.VALUE

    @task
    def library():
        import numpy, pandas
        return str(pandas.DataFrame({"a": numpy.arange(2)}).describe().shape)

    @task
    def complains():
        try:
            1 / 0
        except ZeroDivisionError:
            return len(traceback.format_exc()) > 0

    @task
    def no_home():
        return os.path.expanduser("data/~") + str(pathlib.Path("a").expanduser())
        """
    )
    steps.file("late_module.py", "VALUE = 1\n")
    first = steps.values(HOME="/a")
    steps.file("output.txt", "other")
    steps.file("new.txt", "other")
    shutil.rmtree(steps.directory / "made")
    for cache in steps.directory.rglob("__pycache__"):
        shutil.rmtree(cache)
    steps.file("late_module.py", "VALUE = 1  # the same\n")
    assert steps.hits(HOME="/b", THRIFTY_TEST_OWN="2") == first


def test_a_place_is_where_it_hung(programs, tmp_path):
    """Two checkouts, and two working directories in one of them."""
    text = """
    from pathlib import Path
    from thrifty import task

    @task
    def relative() -> str:
        return open("data.txt").read()

    @task
    def own() -> str:
        return (Path(__file__).parent / "data.txt").read_text()

    @task
    def absolute() -> str:
        return Path("{outside}").read_text()

    @task
    def here() -> str:
        return Path("data.txt").resolve().read_text()

    if __name__ == "__main__":
        for task in (relative, own, absolute, here):
            run = task.run()
            print(run.nodes[-1]["outcome"].split()[0][:3], run.value, end="; ")
    """
    outside = tmp_path / "outside.txt"
    outside.write_text("o")
    for checkout in "ab":
        programs.write(f"{checkout}/thrifty.toml", 'project = "one"\n')
        programs.write(f"{checkout}/step.py", text.replace("{outside}", str(outside)))
        programs.write(f"{checkout}/data.txt", checkout)
        programs.write(f"{checkout}/below/data.txt", checkout + "below")

    def run(checkout: str, below: str = "") -> str:
        root = programs.directory / checkout
        process = programs.start(str(root / "step.py"), cwd=root / below)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out.strip("; ")

    assert run("a") == "com a; com a; com o; com a"
    assert run("a") == "hit a; hit a; hit o; hit a"
    # Another checkout: only what is not below it is the same, and content that is.
    assert run("b") == "com b; com b; hit o; com b"
    assert run("b", "below") == "com bbelow; hit b; hit o; com bbelow"
    programs.write("a/data.txt", "b")
    shutil.copy(programs.directory / "b/data.txt", programs.directory / "a/data.txt")
    assert run("b")[3:].startswith(" b; hit b; hit o")
    assert run("a").startswith("hit b; hit b; hit o")


def test_where_a_link_leads_decides(steps):
    steps.write(
        """
    @task
    def opened():
        return open("latest/a.txt").read()

    @task
    def resolved():
        return pathlib.Path("latest/a.txt").resolve().read_text()

    @task
    def named():
        return os.path.basename(os.path.realpath("latest"))
        """
    )
    steps.file("v1/a.txt", "1")
    steps.file("v2/a.txt", "2")
    link = steps.directory / "latest"
    link.symlink_to("v1")
    assert steps.values() == {"opened": "1", "resolved": "1", "named": "v1"}
    steps.hits()
    link.unlink()
    link.symlink_to("v2")
    assert steps.values() == {"opened": "2", "resolved": "2", "named": "v2"}


def test_a_file_that_changes_meanwhile_is_not_stored(steps):
    steps.write(
        """
    @task
    def changes():
        before = open("moving.txt").read()
        with open("moving.txt", "a") as file:
            file.write("+")
        return before

    @workflow
    def _flow():
        return changes()
        """
    )
    steps.file("moving.txt", "1")
    assert steps.run() == {"changes": ["computed-not-stored", "1"]}
    assert steps.run() == {"changes": ["computed-not-stored", "1+"]}


def test_operations_within_pass_on_what_they_read(steps):
    steps.write(
        """
    @task
    def _reads() -> str:
        return open("deep.txt").read()

    @task
    def eager():
        return _reads() + "!"

    @task
    def again():
        return _reads() + "?"

    @workflow
    def _inner():
        listed = sorted(os.listdir("built"))
        return _join(_reads(), len(listed))

    @task
    def _join(text: str, count: int) -> str:
        return text + str(count)

    @workflow
    def unit():
        return _inner()

    @task
    def forces():
        return _inner() + "#"

    @task
    def dynamic():
        name = open("which.txt").read()
        return _join.defer(name, 1)

    @workflow
    def expands():
        return dynamic()

    @task
    def catches():
        try:
            _fails()
        except ValueError as error:
            return str(error)

    @task
    def _fails():
        raise ValueError(open("deep.txt").read())
        """
    )
    steps.file("deep.txt", "1")
    steps.file("which.txt", "a")
    steps.file("built/a", "")
    first = steps.run()
    values = {name: value for name, (_, value) in first.items()}
    assert values == {
        "eager": "1!",
        "again": "1?",
        "unit": "11",
        "forces": "11#",
        "dynamic": "a1",
        "expands": "a1",
        "catches": "1",
    }
    steps.hits()
    steps.file("deep.txt", "2")
    steps.file("which.txt", "b")
    second = steps.run()
    assert {name: value for name, (_, value) in second.items()} == {
        "eager": "2!",
        "again": "2?",
        "unit": "21",
        "forces": "21#",
        "dynamic": "b1",
        "expands": "b1",
        "catches": "2",
    }
    steps.hits()
    steps.file("built/b", "")
    third = steps.run()
    assert (third["unit"][1], third["forces"][1]) == ("22", "22#")
    assert third["eager"][0].startswith("hit")


SWITCHED = """
    @task{cache}
    def reads():
        return open("data.txt").read()
"""


@pytest.mark.parametrize(
    ("cache", "environment"),
    [
        ("(cache=Cache(observe=False))", {}),
        ("(cache=Cache(key=lambda: 1))", {}),
        ("", {"THRIFTY_OBSERVE": "0"}),
    ],
)
def test_switched_off_nothing_is_observed(steps, cache, environment):
    steps.write(SWITCHED.replace("{cache}", cache))
    steps.file("data.txt", "1")
    assert steps.run(**environment)["reads"] == ["computed", "1"]
    steps.file("data.txt", "2")
    told = steps.run(**environment)["reads"]
    assert (told[0][:3], told[1]) == ("hit", "1")


def test_the_most_specific_choice_holds(steps):
    steps.file("thrifty.toml", "observe = false\n")
    steps.write(SWITCHED.replace("{cache}", "(cache=Cache(observe=True))"))
    steps.file("data.txt", "1")
    assert steps.run() == {"reads": ["computed", "1"]}
    steps.file("data.txt", "2")
    assert steps.run() == {"reads": ["computed", "2"]}


def test_an_entry_made_without_observing_does_not_answer_an_observing_call(steps):
    steps.write(SWITCHED.replace("{cache}", ""))
    steps.file("data.txt", "1")
    steps.run(THRIFTY_OBSERVE="false")
    assert steps.run() == {"reads": ["computed", "1"]}


def test_parallel_bodies_have_each_their_own(steps):
    steps.write(
        """
    @task
    def _reads(name: str) -> str:
        return open(name).read()

    @task
    def _joined(parts: list[str]) -> str:
        return "".join(parts)

    @workflow
    def all():
        return _joined([_reads(f"part{n}.txt") for n in range(8)])
        """
    )
    for n in range(8):
        steps.file(f"part{n}.txt", str(n))
    assert steps.run()["all"][1] == "01234567"
    steps.file("part3.txt", "x")
    steps.programs.write(
        "count.py",
        """
        import steps
        run = steps.all.run()
        print(run.value, sum(node["outcome"] == "computed" for node in run.nodes))
        """,
    )
    assert steps.programs.run("count.py") == "012x4567 2\n"


def test_worker_processes_tell_what_they_read(steps):
    steps.file("thrifty.toml", 'executor = "processes"\nworkers = 1\n')
    steps.write(
        """
    @task
    def reads():
        return open("data.txt").read() + os.environ.get("MODE", "-")

    @task
    def changes():
        before = open("moving.txt").read()
        with open("moving.txt", "a") as file:
            file.write("+")
        return [before] * 3
        """
    )
    steps.file("data.txt", "1")
    steps.file("moving.txt", "1")
    assert steps.run() == {
        "reads": ["computed", "1-"],
        "changes": ["computed-not-stored", ["1"] * 3],
    }
    told = steps.run()
    assert (told["reads"][0][:3], told["changes"][1]) == ("hit", ["1+"] * 3)
    steps.file("data.txt", "2")
    assert steps.run()["reads"] == ["computed", "2-"]
    assert steps.run(MODE="m")["reads"] == ["computed", "2m"]


NOTED = {
    "process": ("__import__('subprocess').run(['true']).returncode", "another program"),
    "system": ("os.system('true')", "another program"),
    "database": ("__import__('sqlite3').connect('x.db').close()", "database"),
    "network": ("_connects()", "network"),
    "everything": ("len(dict(os.environ)) > 0", "all environment variables"),
    "copied": ("len(os.environ.copy()) > 0", "all environment variables"),
    "draws": ("__import__('random').random() < 2", "random numbers"),
    "draws_numpy": ("bool(__import__('numpy').random.rand() < 2)", "random numbers"),
}


def test_what_cannot_be_followed_is_said_once(steps):
    bodies = [
        f"    @task\n    def {name}():\n        return {expression}\n"
        for name, (expression, _) in NOTED.items()
    ]
    connects = """
    import random, numpy.random

    def _connects():
        import socket
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=0.1)
        except OSError:
            return 1

    @task
    def quiet():
        return random.Random(1).random() + numpy.random.default_rng(1).random()

    @task
    def memory():
        __import__("sqlite3").connect(":memory:").close()
    """
    steps.write(connects.rstrip() + "\n\n" + "\n".join(bodies))
    steps.programs.write(
        "twice.py",
        """
        import warnings
        import steps
        from thrifty import Task
        for name, step in list(vars(steps).items()):
            if isinstance(step, Task):
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    step()
                    step.with_options(refresh="*")()
                    print(name, *(str(it.message) for it in said), sep="|")
        """,
    )
    lines = steps.programs.run("twice.py").splitlines()
    said = {line.split("|")[0]: line.split("|")[1:] for line in lines}
    assert (said.pop("quiet"), said.pop("memory")) == ([], [])
    assert set(said) == set(NOTED)
    for name, (_, words) in NOTED.items():
        assert len(said[name]) == 1, (name, said[name])
        assert said[name][0].startswith(f"steps.{name} ")
        assert words in said[name][0]
        assert "Cache(observe=False)" in said[name][0]
    # Copying all variables is no reason to run again for any of them.
    assert steps.hits(ANY="1")["everything"] is True


def test_warnings_that_are_errors_do_not_reach_the_body(steps):
    steps.write("""
    @task
    def system():
        return os.system("true")
    """)
    process = steps.programs.start("-W", "error", "main.py")
    assert process.communicate(timeout=60)[0] == '{"system": ["computed", 0]}\n'


def test_the_two_edits_that_no_peer_sees(steps):
    """A variable and a file behind a path, read by a helper of a helper in another module."""
    steps.file(
        "deep.py",
        "import os\n\ndef scale():\n    return os.environ.get('SCALE', '1')\n\n"
        "def rows(path):\n    with open(path) as file:\n        return file.read().split()\n",
    )
    steps.write(
        """
    import deep

    @task
    def _step(path: str) -> list[str]:
        return [deep.scale(), *deep.rows(path)]

    @task
    def variable():
        return _step("rows.txt")
        """
    )
    steps.file("rows.txt", "a b")
    assert steps.values() == {"variable": ["1", "a", "b"]}
    assert steps.hits() == {"variable": ["1", "a", "b"]}
    assert steps.values(SCALE="2") == {"variable": ["2", "a", "b"]}
    steps.file("rows.txt", "a c")
    assert steps.values(SCALE="2") == {"variable": ["2", "a", "c"]}
