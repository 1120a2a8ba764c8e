"""Operations that are functions of Python: ``task: module:function`` beside commands."""

from __future__ import annotations

import pytest

MODULE = """
    import os
    from dataclasses import dataclass

    import numpy as np
    from thrifty import Cache, Dir, File, task, workflow

    def say(name):
        os.write(1, f"ran {name}\\n".encode())

    @task
    def numbers(many: int, table: File) -> dict:
        say("numbers")
        scale = len(table.read_text().split())
        return {"array": np.arange(many) * scale, "many": many}

    @task
    def total(array: np.ndarray, extra: float = 0.0) -> float:
        say("total")
        return float(array.sum()) + extra

    def report(value: float, out: str = "report.txt") -> File:
        say("report")
        with open(out, "w") as stream:
            stream.write(f"the total is {value}\\n")
        return File(out)

    @dataclass
    class Split:
        train: list[int]
        test: list[int]

    def split(rows: list) -> Split:
        say("split")
        return Split(rows[:2], rows[2:])

    def tree(where: Dir) -> list:
        say("tree")
        return sorted(path.name for path in where.path.iterdir())

    def failing(value: int) -> int:
        raise ValueError(f"no {value}")

    def drawn(seed: int) -> int:
        say("drawn")
        return seed

    def undrawn() -> int:
        say("undrawn")
        return 1

    @workflow
    def whole(many: int) -> float:
        return total(np.arange(many))

    number = 3
"""

PIPELINE = """
    params: {many: 4}
    operations:
      words:
        run: printf 'a b c' > {{ outputs.table }}
        outputs: {table: words.txt}
      numbers:
        task: steps:numbers
        params: {many: "{{ params.many }}"}
        inputs: {table: {from: words.table}}
        outputs: [array, many]
      total:
        task: steps:total
        params: {array: {from: numbers.array}}
      report:
        task: steps:report
        params: {value: {from: total.result}}
      shown:
        run: cat {{ inputs.report }} > {{ outputs.text }}; echo {{ params.many }} >> {{ outputs.text }}
        params: {many: {from: numbers.many}}
        inputs: {report: {from: report.result}}
        outputs: {text: text.txt}
    outputs:
      total: total.result
      report: {from: report.result, to: out/report.txt}
      text: {from: shown.text, to: out/text.txt}
      array: numbers.array
"""


@pytest.fixture
def project(programs):
    programs.write("steps.py", MODULE)
    programs.write("p.yaml", PIPELINE)
    return programs


def run(project, *arguments: str, code: int = 0) -> str:
    return project.run("-m", "thrifty", "run", "p.yaml", *arguments, code=code)


def ran(out: str) -> list[str]:
    return sorted(line[4:] for line in out.splitlines() if line.startswith("ran "))


def test_values_flow_between_commands_and_functions(project):
    out = run(project)
    assert ran(out) == ["numbers", "report", "total"]
    assert "total = 18.0" in out
    assert (project.directory / "out/text.txt").read_text() == "the total is 18.0\n4\n"
    # A value that is nothing outside of Python stays in the cache, and is no error.
    assert "array: a command cannot take it, as it is a ndarray" in out
    assert ran(run(project)) == []
    project.write("steps.py", MODULE.replace("def report", "# a comment\n    def report"))
    assert ran(run(project)) == []
    project.write("steps.py", MODULE.replace("the total", "a total"))
    assert ran(run(project)) == ["report"]
    assert (project.directory / "out/text.txt").read_text() == "a total is 18.0\n4\n"
    # The same without a cache: everything goes from hand to hand.
    assert ran(run(project, "--no-cache", "report")) == ["numbers", "report", "total"]
    plan = run(project, "-p", "many=5", "--dry-run")
    assert "numbers" in plan
    assert ran(plan) == []
    assert ran(run(project, "--refresh", "total")) == ["total"]


def test_a_call_from_python_is_a_hit_in_the_file_and_the_other_way_round(project):
    project.write(
        "program.py",
        """
        import sys
        import steps
        from thrifty import File
        print(steps.total(steps.numbers(int(sys.argv[1]), File("words.txt"))["array"]))
        """,
    )
    project.write("words.txt", "a b c")
    assert ran(project.run("program.py", "4")) == ["numbers", "total"]
    assert ran(run(project)) == ["report"]
    assert ran(run(project, "-p", "many=5")) == ["numbers", "report", "total"]
    assert ran(project.run("program.py", "5")) == []


def test_entries_of_data_classes_and_workflows_and_directories(project):
    project.write(
        "p.yaml",
        """
        params: {n: 3}
        operations:
          make: {run: "mkdir d; touch d/x d/y", outputs: {d: d/}}
          tree: {task: "steps:tree", inputs: {where: {from: make.d}}}
          split: {task: "steps:split", params: {rows: [1, 2, 3]}, outputs: [train, test]}
          shown: {run: "echo {{ params.it }} > it", params: {it: {from: split.train}}, outputs: {it: it}}
          again: {task: "steps:split", params: {rows: {from: split.test}}}
          whole: {task: "steps:whole", params: {many: "{{ params.n }}"}}
        outputs: {tree: tree.result, test: split.test, it: {from: shown.it, to: it}, whole: whole.result}
        """,
    )
    for expected in (["split", "split", "total", "tree"], []):
        out = run(project)
        assert ran(out) == expected
        for line in ('tree = ["x","y"]', "test = [3]", "whole = 3.0"):
            assert line in out
        assert (project.directory / "it").read_text() == "1 2\n"
    assert ran(run(project, "-p", "n=4")) == ["total"]


def test_what_an_operation_says_of_the_cache_stands_above_its_definition(project):
    text = """
        operations:
          undrawn: {task: "steps:undrawn", cache: CACHE}
    """
    for cache, again in [("{}", []), ("{disable: true}", ["undrawn"]), ("{ttl: 0s}", ["undrawn"])]:
        project.write("p.yaml", text.replace("CACHE", cache))
        run(project)
        assert ran(run(project)) == again
    project.write("p.yaml", text.replace("CACHE", "{version: v1, salt: x}"))
    assert ran(run(project)) == ["undrawn"]
    project.write("steps.py", MODULE.replace("return 1", "return 2"))
    assert ran(run(project)) == []


def test_the_seed_in_force_reaches_functions(project):
    text = """
        seed: 7
        operations:
          drawn: {task: "steps:drawn"}
          undrawn: {task: "steps:undrawn", seed: false}
    """
    project.write("p.yaml", text)
    first = run(project)
    assert ran(first) == ["drawn", "undrawn"]
    other = run(project, "--seed", "8")
    assert ran(other) == ["drawn"]
    assert "drawn.result = " in first
    assert first.splitlines()[-2:] != other.splitlines()[-2:]
    project.write(
        "program.py",
        "import steps; from thrifty import task; task(steps.drawn).with_options(seed=7)()",
    )
    assert ran(project.run("program.py")) == []


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ("{task: 'stepz:total'}", "p.yaml:3:13: there is no module `stepz` beside the operation"),
        ("{task: 'steps:totl'}", "`steps` has no `totl`; did you mean `total`?"),
        ("{task: 'steps:number'}", "`steps:number` is neither a task nor a function, but int"),
        ("{task: steps}", "p.yaml:3:13: `task: steps` must be module:function"),
        ("{task: 'steps:total'}", "`steps:total` needs the argument `array`"),
        (
            "{task: 'steps:total', params: {arry: 1}}",
            "takes no argument `arry`; did you mean `array`?",
        ),
        ("{task: 'steps:total', run: x}", "has `run` and `task`: it may have one of them"),
        ("{task: 'steps:undrawn', env: {A: b}}", "`env` is for commands"),
        ("{task: 'steps:undrawn', timeout: 1s}", "`timeout` is for commands"),
        ("{task: 'steps:undrawn', outputs: {a: x}}", "write `outputs: [a]`"),
        ("{run: x, outputs: [a]}", "output `a` has no path: a list of names is for `task`"),
        ("{task: 'steps:undrawn', outputs: [a, a]}", "output `a` stands twice"),
        ("{task: 'broken:f'}", "SyntaxError"),
    ],
)
def test_what_cannot_be_called_is_told_before_anything_runs(project, operation, told):
    project.write("broken.py", "def f(:\n")
    text = "operations:\n  a: {run: 'true'}\n  b: "
    (project.directory / "p.yaml").write_text(text + operation + "\n")
    error = run(project, code=2)
    assert told in error, error
    assert "computed" not in error


def test_what_fails_is_told_with_its_traceback(project):
    project.write("p.yaml", "operations:\n  a: {task: 'steps:failing', params: {value: 3}}\n")
    error = run(project, code=1)
    assert 'steps.py", line' in error
    assert "ValueError: no 3" in error


def test_a_command_cannot_take_what_is_nothing_outside_of_python(project):
    project.write(
        "p.yaml",
        """
        operations:
          numbers: {task: "steps:numbers", params: {many: 2}, inputs: {table: p.yaml}, outputs: [array]}
          shown: {run: "echo {{ params.array }}", params: {array: {from: numbers.array}}}
        """,
    )
    error = run(project, code=1)
    assert "`array`: a command cannot take it, as it is a ndarray" in error
    assert "return a thrifty.File of it, or values of JSON" in error
