"""What is read from the handle of a directory, permissions, and files that are mapped."""

from __future__ import annotations

import json
import os

import pytest

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


def test_what_is_removed_by_handles_is_not_what_is_read_here(programs, steps):
    write, run = steps
    write({"cleared": "_cleared()"})
    put(programs.directory, ["a.txt"], "1", 0o644)
    assert run()["cleared"] == ["com", "1"]
    put(programs.directory, ["a.txt"], "2", 0o644)
    assert run()["cleared"] == ["com", "2"]


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
