"""A body in a worker process finds the variables, directory and arguments of the program as they are."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("home")

BODIES = """
import os
import sys
from thrifty import Cache, task

@task(cache=False)
def variable(name: str) -> str | None:
    return os.environ.get(name)

@task(cache=False)
def sets(name: str, value: str) -> None:
    os.environ[name] = value
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    sys.argv.append("--more")

@task(cache=False)
def place(n: int) -> tuple[str, list[str], list[str]]:
    return os.getcwd(), list(sys.path), list(sys.argv)

@task
def mode(n: int) -> str:
    return f"{n}:{os.environ.get('MODEL_MODE')}"

@task
def relative(n: int) -> str:
    return open("rel.txt").read()

@task(cache=Cache(env=("MODEL_MODE",), observe=False))
def named(n: int) -> str:
    return f"{n}:{os.environ.get('MODEL_MODE')}"

@task(cache=False)
def arguments(n: int) -> list[str]:
    return sys.argv[1:]

def in_worker(task, *args):
    return task.with_options(executor="processes", workers=1).map(*[[it] for it in args])[0]
"""


@pytest.fixture
def bodies(programs):
    programs.write("bodies.py", BODIES)
    return programs


def test_variables_are_those_of_the_program(bodies):
    bodies.write(
        "main.py",
        """
        import os
        from bodies import in_worker, mode, named, variable

        if __name__ == "__main__":
            os.environ["MODEL_MODE"] = "one"
            os.environ["GOES"] = "there"
            print(in_worker(mode, 1), in_worker(named, 1), in_worker(variable, "GOES"))
            os.environ["MODEL_MODE"] = "two"
            del os.environ["GOES"]
            print(in_worker(mode, 1), in_worker(named, 1), in_worker(variable, "GOES"))
            os.environ["MODEL_MODE"] = "one"
            print(in_worker(mode, 1), in_worker(named, 1))
        """,
    )
    assert bodies.run("main.py") == "1:one 1:one there\n1:two 1:two None\n1:one 1:one\n"


def test_a_relative_path_leads_where_it_does_in_the_program(bodies):
    for name in ("one", "two"):
        bodies.write(f"{name}/rel.txt", name)
    bodies.write(
        "main.py",
        """
        import os, sys
        sys.path.insert(0, os.getcwd())
        from bodies import in_worker, relative

        if __name__ == "__main__":
            os.chdir("one")
            print(in_worker(relative, 1))
            os.chdir("../two")
            print(in_worker(relative, 1), relative.map([1]))
        """,
    )
    assert bodies.run("main.py") == "one\ntwo ['two']\n"


def test_the_search_path_and_the_arguments_are_those_of_the_program(bodies):
    bodies.write("aside/beside.py", "from thrifty import task\n@task\ndef late(n): return n + 1\n")
    bodies.write(
        "main.py",
        """
        import os, sys
        from bodies import arguments, in_worker

        if __name__ == "__main__":
            print(in_worker(arguments, 1))
            sys.argv = ["main.py", "changed"]
            sys.path.append(os.path.abspath("aside"))
            from beside import late
            print(in_worker(arguments, 1), in_worker(late, 1))
        """,
    )
    assert bodies.run("main.py", "given") == "['given']\n['changed'] 2\n"


def test_what_a_body_changed_is_gone_for_the_next(bodies):
    bodies.write(
        "main.py",
        """
        import os, sys
        from bodies import in_worker, place, sets, variable

        if __name__ == "__main__":
            in_worker(sets, "LEFT", "behind")
            assert in_worker(variable, "LEFT") is None
            assert in_worker(place, 1) == (os.getcwd(), sys.path, sys.argv)
            assert "LEFT" not in os.environ
        """,
    )
    bodies.run("main.py")


def test_what_must_not_matter_makes_no_worker_compute_again(bodies):
    bodies.write(
        "main.py",
        """
        import os
        from bodies import in_worker, mode, named

        if __name__ == "__main__":
            os.environ["MODEL_MODE"] = "one"
            keys = mode.key(1), named.key(1)
            in_worker(mode, 1), in_worker(named, 1)
            os.environ["SOMETHING_ELSE"] = "new"
            os.mkdir("elsewhere")
            os.chdir("elsewhere")
            assert keys == (mode.key(1), named.key(1))
            for task in (mode, named):
                print(*(node["outcome"] for node in task.run(1).nodes))
        """,
    )
    assert bodies.run("main.py").split() == ["hit-memory", "hit-memory"]


def test_a_worker_opens_the_cache_that_the_program_opened(bodies):
    bodies.write("first/thrifty.toml", 'home = "cache"\nproject = "first"\n')
    bodies.write("second/thrifty.toml", 'home = "cache"\nproject = "second"\n')
    bodies.write(
        "main.py",
        """
        import os, pathlib, sys
        sys.path.insert(0, os.getcwd())
        os.environ.pop("THRIFTY_HOME", None)
        import numpy as np
        from bodies import in_worker, mode
        from thrifty import task

        @task
        def rows(n: int):
            return np.arange(n)

        if __name__ == "__main__":
            os.chdir("first")
            mode(0)
            os.chdir("../second")
            assert in_worker(rows, 100_000).sum() == 4999950000
            print(*(path.parent.name for path in pathlib.Path("..").glob("*/cache")))
        """,
    )
    assert bodies.run("main.py") == "first\n"
