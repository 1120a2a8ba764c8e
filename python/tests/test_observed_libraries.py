"""What libraries read: it counts if the project handed them the path or the name."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil

import pandas as pd
import pytest

LIBRARY = """
import getpass
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
    is_there = len(os.getcwd()) > 0 and os.path.expanduser("~/x") != getpass.getuser()
    return read("library.ini") + os.environ.get("LIBRARY_MODE", "") + str(is_there)


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
    second = run(LIBRARY_MODE="2", HOME="/elsewhere", LOGNAME="other")
    assert {outcome[:3] for outcome, _ in second.values()} == {"hit"}
    assert {name: it[1] for name, it in second.items()} == {
        name: it[1] for name, it in first.items()
    }


PANDAS = "__import__('pandas')"
PARQUET = "__import__('pyarrow.parquet').parquet"
DATASET = "__import__('pyarrow.dataset').dataset.dataset"
POLARS = "__import__('polars')"
# What native code is handed: a directory, with directories in it or not, or a pattern.
PARTS = {
    "pandas": f"{PANDAS}.read_parquet('parts').x.tolist()",
    "pandas_path": f"{PANDAS}.read_parquet(pathlib.Path('parts')).x.tolist()",
    "pandas_absolute": f"{PANDAS}.read_parquet(os.path.abspath('parts')).x.tolist()",
    "pandas_nested": f"{PANDAS}.read_parquet('nested').x.tolist()",
    "pandas_linked": f"{PANDAS}.read_parquet('linked').x.tolist()",
    "pandas_home": f"{PANDAS}.read_parquet('~/parts').x.tolist()",
    "pandas_locator": f"{PANDAS}.read_parquet('file://' + os.path.abspath('parts')).x.tolist()",
    "table": f"{PARQUET}.read_table('parts')['x'].to_pylist()",
    "table_home": f"{PARQUET}.read_table('~/parts')['x'].to_pylist()",
    "table_nested": f"{PARQUET}.read_table('nested')['x'].to_pylist()",
    "dataset": f"{DATASET}('parts').to_table()['x'].to_pylist()",
    "dataset_nested": f"{DATASET}('nested', partitioning='hive').count_rows()",
    "dataset_texts": f"{DATASET}('texts', format='csv').to_table()['x'].to_pylist()",
}
PARTS_OF_POLARS = {
    "polars": f"{POLARS}.read_parquet('parts/')['x'].to_list()",
    "polars_listed": f"{POLARS}.read_parquet(['parts/'])['x'].to_list()",
    "polars_later": f"{POLARS}.scan_parquet('parts').collect()['x'].to_list()",
    "polars_nested": f"{POLARS}.read_parquet('nested')['x'].to_list()",
    "polars_texts": f"{POLARS}.read_csv('texts')['x'].to_list()",
}
PATTERNS_OF_POLARS = {
    "pattern": f"{POLARS}.read_parquet('parts/*.parquet')['x'].to_list()",
    "pattern_path": f"{POLARS}.read_parquet(pathlib.Path('parts/?.p*t'))['x'].to_list()",
    "pattern_range": f"{POLARS}.read_parquet('parts/[a-z].parquet')['x'].to_list()",
    "pattern_listed": f"{POLARS}.scan_parquet(['parts/*.parquet']).collect()['x'].to_list()",
    "pattern_nested": f"{POLARS}.read_parquet('nested/k=*/*.parquet')['x'].to_list()",
    "pattern_deep": f"{POLARS}.read_parquet('nested/**/*.parquet')['x'].to_list()",
    "pattern_texts": f"{POLARS}.read_csv('texts/*.csv')['x'].to_list()",
    "pattern_later": f"{POLARS}.scan_csv('texts/*.csv').collect()['x'].to_list()",
}
if not importlib.util.find_spec("polars"):
    PARTS_OF_POLARS = PATTERNS_OF_POLARS = {}


def put_part(programs, name: str, number: int) -> None:
    frame = pd.DataFrame({"x": [number]})
    for path in (f"parts/{name}", f"nested/k={name}/part", f"beside/{name}"):
        whole = programs.directory / f"{path}.parquet"
        whole.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(whole)
    programs.write(f"texts/{name}.csv", f"x\n{number}\n")


def remove_part(programs, name: str) -> None:
    for path in (f"parts/{name}.parquet", f"beside/{name}.parquet", f"texts/{name}.csv"):
        (programs.directory / path).unlink()
    shutil.rmtree(programs.directory / f"nested/k={name}")


def outcomes(told: dict[str, list]) -> dict[str, str]:
    return {name: outcome[:3] for name, (outcome, _) in told.items()}


def test_the_parts_of_what_native_code_is_handed_count(library):
    programs, write, run, _ = library
    ways = PARTS | PARTS_OF_POLARS | PATTERNS_OF_POLARS
    write(ways)
    (programs.directory / "linked").mkdir()
    os.symlink("../beside", programs.directory / "linked" / "inside")
    home = str(programs.directory)
    put_part(programs, "a", 1)
    put_part(programs, "b", 2)
    before = run(HOME=home)
    assert outcomes(before) == dict.fromkeys(ways, "com")
    put_part(programs, "a", 1)
    assert outcomes(run(HOME=home)) == dict.fromkeys(ways, "hit")
    changes = (
        lambda: put_part(programs, "a", 3),
        lambda: put_part(programs, "c", 4),
        lambda: remove_part(programs, "b"),
    )
    for change in changes:
        change()
        after = run(HOME=home)
        assert {name for name in ways if after[name][1] == before[name][1]} <= {"dataset_nested"}
        assert outcomes(after) == dict.fromkeys(ways, "com")
        assert outcomes(run(HOME=home)) == dict.fromkeys(ways, "hit")
        before = after


@pytest.mark.skipif(not PATTERNS_OF_POLARS, reason="polars is not installed")
def test_what_does_not_fit_a_pattern_does_not_count(library):
    programs, write, run, _ = library
    ways = {name: it for name, it in PATTERNS_OF_POLARS.items() if "deep" not in name}
    write({**ways, "here": f"{POLARS}.read_csv('*.csv')['x'].to_list()"})
    put_part(programs, "a", 1)
    programs.write("here.csv", "x\n1\n")
    others = ("parts/notes.md", "nested/notes.md", "nested/k=a/notes.md", "texts/notes.md")
    for name in (*others, "elsewhere/notes.md", "notes.md"):
        programs.write(name, "1")
    run()
    for name in (*others, "elsewhere/notes.md", "elsewhere/more.csv", "notes.md"):
        programs.write(name, "2")
    assert set(outcomes(run()).values()) == {"hit"}
    programs.write("here.csv", "x\n2\n")
    assert run()["here"] == ["computed", [2]]


def test_parts_that_the_body_writes_are_its_own(library):
    programs, write, run, _ = library
    frame = f"{PANDAS}.DataFrame({{'x': [1], 'k': [1]}})"
    write(
        {
            # Into a directory with parts of others, seen and unseen, and read again.
            "opened": f"({frame}.to_parquet('opened/own.parquet'), "
            f"{PANDAS}.read_parquet('opened').x.tolist())[1]",
            "unseen": f"({PARQUET}.write_table({PARQUET}.read_table('one.parquet'), "
            f"'unseen/own.parquet'), {PANDAS}.read_parquet('unseen').x.tolist())[1]",
            # Nothing is read where it only writes.
            "spread": f"{frame}.to_parquet('spread', partition_cols=['k'])",
        }
    )
    given = pd.DataFrame({"x": [5]})
    given.to_parquet(programs.directory / "one.parquet")
    for name in ("opened", "unseen", "spread"):
        (programs.directory / name).mkdir()
        given.to_parquet(programs.directory / name / "given.parquet")
    assert set(outcomes(run()).values()) == {"com"}
    assert set(outcomes(run()).values()) == {"hit"}
    for name in ("opened", "unseen", "spread"):
        pd.DataFrame({"x": [6]}).to_parquet(programs.directory / name / "given.parquet")
    after = run()
    assert outcomes(after) == {"opened": "com", "unseen": "com", "spread": "hit"}
    assert (after["opened"][1], after["unseen"][1]) == ([6, 1], [6, 5])
