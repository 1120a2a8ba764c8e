"""Functions of operation files that are done many times: seeds, partitions and searches."""

from __future__ import annotations

MODULE = """
    import os

    import numpy as np
    from thrifty import File, task

    def say(*words):
        os.write(1, (" ".join(["ran", *map(str, words)]) + "\\n").encode())

    @task
    def rows(many: int) -> list:
        say("rows")
        return [np.arange(many), np.arange(many) * 2]

    @task
    def train(part: np.ndarray, rate: int = 1, seed: int = 0) -> dict:
        say("train", rate)
        return {"loss": float(part.sum()) * rate, "drawn": seed}

    @task
    def best(losses: dict) -> float:
        say("best")
        return min(losses.values())

    @task
    def wrote(region: str) -> File:
        say("wrote", region)
        os.makedirs(region)
        with open(f"{region}/region.txt", "w") as stream:
            stream.write(region)
        return File(f"{region}/region.txt")

    @task
    def read(files: dict) -> list:
        say("read")
        return [files[name].read_text() for name in sorted(files)]
"""


def run(project, *arguments: str) -> tuple[list[str], str]:
    out = project.run("-m", "thrifty", "run", "p.yaml", *arguments)
    return sorted(line[4:] for line in out.splitlines() if line.startswith("ran ")), out


def test_functions_are_spread_over_parts_and_seeds(programs):
    programs.write("steps.py", MODULE)
    programs.write(
        "p.yaml",
        """
        operations:
          rows: {task: "steps:rows", params: {many: 3}}
          train:
            task: steps:train
            partitions: {from: rows.result}
            seeds: [4, 5]
            params: {part: "{{ params.partition }}"}
            outputs: [loss, drawn]
          best: {task: "steps:best", aggregate: partitions, params: {losses: {from: train.loss}}}
        outputs: {best: best.result, drawn: train.drawn}
        """,
    )
    ran, out = run(programs)
    # The seed of a copy is in force for all functions that follow, as in a workflow.
    assert ran == ["best"] * 2 + ["rows"] + ["train 1"] * 4
    assert 'best = {"4":3.0,"5":3.0}' in out
    assert run(programs)[0] == []
    # Without a cache, values go from hand to hand.
    assert 'best = {"4":3.0,"5":3.0}' in run(programs, "--no-cache")[1]
    # A copy is the call that it is in Python.
    programs.write(
        "program.py",
        """
        import steps
        steps.train.with_options(seed=5)(steps.rows(3)[1])
        """,
    )
    assert "ran" not in programs.run("program.py")


def test_files_of_copies_come_by_name(programs):
    programs.write("steps.py", MODULE)
    programs.write(
        "p.yaml",
        """
        operations:
          wrote: {task: "steps:wrote", partitions: [eu, us], params: {region: "{{ params.partition }}"}}
          read: {task: "steps:read", aggregate: partitions, params: {files: {from: wrote.result}}}
          shown:
            aggregate: partitions
            run: cat {{ inputs.files }}/*/region.txt > text
            inputs: {files: {from: wrote.result}}
            outputs: {text: text}
        outputs: {read: read.result, text: {from: shown.text, to: text.txt}}
        """,
    )
    ran, out = run(programs)
    assert ran == ["read", "wrote eu", "wrote us"]
    assert 'read = ["eu","us"]' in out
    assert (programs.directory / "text.txt").read_text() == "euus"
    assert run(programs)[0] == []


def test_a_search_of_a_function_tries_calls(programs):
    programs.write("steps.py", MODULE)
    text = """
        operations:
          rows: {task: "steps:rows", params: {many: 3}}
          train:
            task: steps:train
            params: {part: {from: one.result}}
            outputs: [loss, drawn]
            matrix:
              kind: grid
              params: {rate: [2, 3]}
              metric: {name: loss, goal: minimize}
              concurrency: 1
          one: {task: "steps:first", params: {rows: {from: rows.result}}}
        outputs: {loss: train.loss, best: train.best.params}
        """
    programs.write("steps.py", MODULE + "\n    def first(rows: list):\n        return rows[0]\n")
    programs.write("p.yaml", text)
    ran, out = run(programs)
    assert ran == ["rows", "train 2", "train 3"]
    assert "loss = [6.0,9.0]" in out
    assert 'best = {"rate":2}' in out
    programs.write("p.yaml", text.replace("[2, 3]", "[3, 4]"))
    assert run(programs)[0] == ["train 4"]
    programs.write(
        "program.py",
        "import steps; print(steps.train(steps.rows(3)[0], rate=4)['loss'])",
    )
    assert programs.run("program.py").split() == ["12.0"]
