"""What libraries read: it counts if the project handed them the path or the name."""

from __future__ import annotations

import json
import os

import pytest

LIBRARY = """
import os
import subprocess
import threading

with open("library.ini") as file:
    SETTINGS = file.read()


def read(path, **options):
    with open(path) as file:
        return file.read()


def read_all(paths):
    return [read(path) for path in (paths.values() if isinstance(paths, dict) else paths)]


def read_inside(directory):
    return read(os.path.join(directory, "weights", "w.txt"))


def read_with_suffix(path):
    return read(path + ".txt")


def read_pattern(pattern):
    directory = os.path.dirname(pattern)
    return sorted(read(os.path.join(directory, name)) for name in os.listdir(directory))


def read_resolved(path):
    return read(os.path.realpath(path))


def read_config(config):
    return read(config["files"]["train"])


def read_attribute(config):
    return read(config.path)


def read_in_thread(path):
    found = []
    thread = threading.Thread(target=lambda: found.append(read(path)))
    thread.start()
    thread.join()
    return found[0]


def call(function, *args):
    return function(*args)


class Reader:
    def __init__(self, path):
        self.path = path

    def rows(self):
        yield read(self.path)


def own():
    subprocess.run(["true"], check=True)
    return read("library.ini") + os.environ.get("LIBRARY_MODE", "") + str(len(os.getcwd()) > 0)


def variable(name):
    return os.environ[name]
"""

STEPS = """
    import json, os, pathlib, sys
    from thrifty import task
    import library

    class Config:
        def __init__(self, path):
            self.path = path

    def _read(path):
        with open(path) as file:
            return file.read()

{tasks}
    if __name__ == "__main__":
        told = {{}}
        for name in {names}:
            run = globals()[name].run()
            told[name] = run.nodes[-1]["outcome"], run.value
        print(json.dumps(told))
"""

HANDED = {
    "directly": "library.read('d/a.txt')",
    "by_name": "library.read(path='d/a.txt', mode=1)",
    "as_path": "library.read(pathlib.Path('d') / 'a.txt')",
    "as_bytes": "library.read(b'd/a.txt')",
    "absolute": "library.read(str(pathlib.Path(__file__).parent / 'd/a.txt'))",
    "dotted": "library.read('./d/../d/a.txt')",
    "listed": "library.read_all(['d/b.txt', 'd/a.txt'])",
    "among_many": "library.read_all(['d/b.txt'] * 5000 + ['d/a.txt'])[-1]",
    "in_dict": "library.read_all({'a': 'd/a.txt'})",
    "in_config": "library.read_config({'files': {'train': 'd/a.txt'}})",
    "in_attribute": "library.read_attribute(Config('d/a.txt'))",
    "lazily": "library.read_all(map(str, ['d/a.txt']))",
    "generated": "library.read_all(path for path in ['d/a.txt'])",
    "in_directory": "library.read_inside('d')",
    "with_suffix": "library.read_with_suffix('d/a')",
    "by_pattern": "library.read_pattern('d/p/*.txt')",
    "resolved": "library.read_resolved('d/a.txt')",
    "through_link": "library.read_resolved('link/a.txt')",
    "in_object": "list(library.Reader('d/a.txt').rows())",
    "in_thread": "library.read_in_thread('d/a.txt')",
    "called_back": "library.call(_read, 'd/a.txt')",
    "called": "library.call(open, 'd/a.txt').read()",
    "variable": "library.variable('MODE')",
}


@pytest.fixture
def library(programs):
    site = programs.directory / "site-packages"
    programs.write("site-packages/library.py", LIBRARY)
    os.symlink("d", programs.directory / "link")

    def write(names: dict[str, str]) -> None:
        tasks = "".join(
            f"    @task\n    def {name}():\n        return {expression}\n\n"
            for name, expression in names.items()
        )
        programs.write("steps.py", STEPS.format(tasks=tasks, names=list(names)))

    def run(cwd=None, **environment: str) -> dict[str, list]:
        env = {**os.environ, "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}"}
        script = str(programs.directory / "steps.py")
        where = cwd or programs.directory
        process = programs.start(script, env={**env, **environment}, cwd=where)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        assert err == ""
        return json.loads(out)

    def put(number: int) -> None:
        for name in ("a.txt", "weights/w.txt", "p/x.txt"):
            programs.write(f"d/{name}", str(number))

    programs.write("d/b.txt", "b")
    programs.write("library.ini", "1")
    put(1)
    return programs, write, run, put


def test_what_is_handed_to_a_library_counts(library):
    _, write, run, put = library
    write(HANDED)
    first = run(MODE="1")
    assert {outcome for outcome, _ in first.values()} == {"computed"}
    assert {outcome[:3] for outcome, _ in run(MODE="1").values()} == {"hit"}
    put(2)
    second = run(MODE="2")
    assert {name for name, (_, value) in second.items() if value == first[name][1]} == set()
    assert {outcome[:3] for outcome, _ in run(MODE="2").values()} == {"hit"}


def test_a_relative_path_hangs_on_the_working_directory_whatever_a_library_makes_of_it(library):
    programs, write, run, _ = library
    relative = ("directly", "resolved", "listed", "in_directory", "by_pattern", "in_thread")
    write({name: HANDED[name] for name in relative})
    first = run()
    for name in ("a.txt", "b.txt", "weights/w.txt", "p/x.txt"):
        programs.write(f"other/d/{name}", "elsewhere")
    programs.write("other/library.ini", "1")
    second = run(cwd=programs.directory / "other")
    for name, (outcome, value) in second.items():
        assert (outcome, "elsewhere" in str(value)) == ("computed", True), (name, first[name])


def test_what_a_library_reads_for_itself_does_not_count(library):
    programs, write, run, _ = library
    write(
        {
            "own": "library.own()",
            "late": "__import__('importlib').reload(library) and 1",
            "given_other": "library.call(library.own)",
        }
    )
    first = run()
    programs.write("library.ini", "2")
    second = run(LIBRARY_MODE="2")
    assert {outcome[:3] for outcome, _ in second.values()} == {"hit"}
    assert {name: it[1] for name, it in second.items()} == {
        name: it[1] for name, it in first.items()
    }
