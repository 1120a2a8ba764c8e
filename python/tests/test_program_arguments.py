"""The arguments of the program: they count where what a body reaches reads them, and nowhere else."""

from __future__ import annotations

import json
import textwrap

import pytest

HEAD = """
    import argparse, fileinput, getopt, json, sys
    from sys import argv as given
    from thrifty import task

    PARSER = argparse.ArgumentParser()
    PARSER.add_argument("--lr", type=float, default=0.0)

    def parsed():
        return PARSER.parse_args().lr

    class Settings:
        def __init__(self):
            self.lr = PARSER.parse_known_args()[0].lr

    @task
    def step():
        {body}

    if __name__ == "__main__":
        run = step.run()
        print(json.dumps([run.nodes[-1]["outcome"], run.value]))
"""

READ = {
    "an item": ("return sys.argv[2]", "1", "2"),
    "a slice": ("return sys.argv[1:]", ["--lr", "1"], ["--lr", "2"]),
    "each": ("return [it for it in sys.argv][-1]", "1", "2"),
    "a name of its own": ("return given[-1]", "1", "2"),
    "an import": ("import sys as s; return s.argv[-1]", "1", "2"),
    "an import of it": ("from sys import argv; return argv[-1]", "1", "2"),
    "getopt": ("return getopt.getopt(sys.argv[1:], '', ['lr='])[0][0][1]", "1", "2"),
    "argparse": ("return PARSER.parse_args().lr", 1.0, 2.0),
    "by default": ("return PARSER.parse_args(None).lr", 1.0, 2.0),
    "a namespace": ("return PARSER.parse_args(namespace=argparse.Namespace()).lr", 1.0, 2.0),
    "a helper": ("return parsed()", 1.0, 2.0),
    "an object": ("return Settings().lr", 1.0, 2.0),
    "a parser made there": (
        "p = argparse.ArgumentParser(); p.add_argument('--lr'); return p.parse_args().lr",
        "1",
        "2",
    ),
}


def call(programs, body: str, *arguments: str) -> list:
    programs.write("main.py", textwrap.dedent(HEAD).replace("{body}", body))
    return told(programs.run("-W", "ignore", "main.py", *arguments))


def told(printed: str) -> list:
    """The first word of the outcome, and the value."""
    outcome, value = json.loads(printed)
    return [outcome.split("-")[0], value]


@pytest.mark.parametrize("way", READ)
def test_arguments_that_a_body_reads_decide(programs, way):
    body, first, second = READ[way]
    assert call(programs, body, "--lr", "1") == ["computed", first]
    assert call(programs, body, "--lr", "2") == ["computed", second]
    assert call(programs, body, "--lr", "1") == ["hit", first]
    assert call(programs, body, "--lr", "2") == ["hit", second]


UNREAD = {
    "others are parsed": ("return PARSER.parse_args(['--lr', '3']).lr", 3.0),
    "others by name": ("return PARSER.parse_known_args(args=['--lr', '3'])[0].lr", 3.0),
    "something else of sys": ("return sys.byteorder != ''", True),
    "nothing": ("return 1", 1),
}


@pytest.mark.parametrize("way", UNREAD)
def test_arguments_that_nothing_reads_do_not_count(programs, way):
    body, value = UNREAD[way]
    assert call(programs, body, "--lr", "1") == ["computed", value]
    assert call(programs, body, "--lr", "2") == ["hit", value]


def test_how_the_program_was_named_is_nothing_to_a_parser(programs):
    body = "return PARSER.parse_args().lr"
    assert call(programs, body, "--lr", "1") == ["computed", 1.0]
    main = str(programs.directory / "main.py")
    assert told(programs.run("-W", "ignore", main, "--lr", "1")) == ["hit", 1.0]


def test_arguments_that_change_while_the_program_runs(programs):
    programs.write(
        "main.py",
        """
        import sys
        from thrifty import task

        @task
        def step():
            return sys.argv[1:]

        sys.argv = ["main.py", "a"]
        print(step())
        sys.argv.append("b")
        print(step())
        sys.argv = ["main.py", "a"]
        print(step(), step.run().nodes[-1]["outcome"])
        """,
    )
    assert programs.run("main.py").splitlines() == ["['a']", "['a', 'b']", "['a'] hit-memory"]
