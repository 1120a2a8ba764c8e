"""The project of docs/guide/migrating-from-expops.md does what the page says."""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs/guide/migrating-from-expops.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_project_of_the_page(programs):
    programs.write("training.py", block("python"))
    programs.write("project.yaml", block("yaml"))
    programs.write("data/delays.csv", "delay\n1\n2\n3\n")
    other = '{"model": {"rate": 0.5, "size": 2}, "plot": {"colour": "blue"}}'

    def outcomes(*arguments: str) -> list[str]:
        process = programs.start("-m", "thrifty", "run", "project.yaml", *arguments)
        out, told = process.communicate(timeout=120)
        assert process.returncode == 0, out + told
        return re.findall(r"^ +(computed|hit)\S* +(?:training\.)?(\w+)", told, re.MULTILINE)

    assert [name for _, name in outcomes()] == ["train", "report"]
    assert outcomes() == []
    assert outcomes("-p", f"config={other}") == [("computed", "train")]
    assert [name for _, name in outcomes("--seed", "43")][0] == "train"
    program = """
        from thrifty import File, testing
        import training
        config = {"model": {"rate": 0.5, "size": 2}, "plot": {"colour": "red"}}
        train = training.train.with_options(seed=42)
        train(File("data/delays.csv"), config)
        with testing.recorded() as calls:
            config["plot"]["colour"] = "green"
            train(File("data/delays.csv"), config)
        print(len(calls.computed), len(calls.hits))
    """
    programs.write("program.py", program)
    assert programs.run("program.py").split()[-2:] == ["0", "1"]
