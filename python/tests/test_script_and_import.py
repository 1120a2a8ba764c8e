"""What a script stores and what importing it stores: the same values, of the classes that are asked for."""

from __future__ import annotations

import textwrap

import pytest

MODELS = """
    import collections, dataclasses, enum, functools, typing
    from thrifty import task

    class Side(enum.Enum):
        BUY = 1
        SELL = 2

    class Way(enum.Flag):
        UP = 1
        DOWN = 2

    @dataclasses.dataclass
    class Point:
        x: int

    class Outer:
        class Inner:
            pass

    Pair = collections.namedtuple("Pair", "a b")

    class Fault(Exception):
        pass

    class Meta(type):
        pass

    class Made(metaclass=Meta):
        pass

    class Only:
        def __reduce__(self):
            return "ONLY"

    ONLY = Only()
    Name = typing.NewType("Name", int)
    T = typing.TypeVar("T")

    def double(x):
        return 2 * x

    @functools.lru_cache
    def remembered(x):
        return x

    def is_known(kind, value):
        point = Point(1)
        return {
            "enum": lambda: value is Side.BUY,
            "flag": lambda: value is Way.UP | Way.DOWN,
            "dataclass": lambda: value == [point, point] and value[0] is value[1],
            "nested": lambda: type(value) is Outer.Inner,
            "named tuple": lambda: type(value) is Pair and value == (1, point),
            "exception": lambda: type(value) is Fault and value.args == (1,),
            "class": lambda: value == [Side, Outer.Inner, Made],
            "function": lambda: value == [double, remembered],
            "method": lambda: value.__self__ is Side,
            "partial": lambda: value.func is double and value() == 6,
            "by name": lambda: value == [ONLY, Name, T],
            "frame": lambda: value.attrs["side"] is Side.SELL and value.x[0] is Side.BUY,
        }[kind]()

    @task
    def made(kind):
        print("ran", flush=True)
        import pandas as pd
        point = Point(1)
        frame = pd.DataFrame({"x": [Side.BUY]})
        frame.attrs["side"] = Side.SELL
        return {
            "enum": Side.BUY, "flag": Way.UP | Way.DOWN, "dataclass": [point, point], "nested": Outer.Inner(),
            "named tuple": Pair(1, point), "exception": Fault(1), "class": [Side, Outer.Inner, Made],
            "function": [double, remembered], "method": Side.mro, "partial": functools.partial(double, 3),
            "by name": [ONLY, Name, T], "frame": frame,
        }[kind]

    def main(kind):
        assert is_known(kind, made(kind))

    if __name__ == "__main__":
        import sys
        main(sys.argv[1])
"""
KINDS = [
    "enum",
    "flag",
    "dataclass",
    "nested",
    "named tuple",
    "exception",
    "class",
    "function",
    "method",
    "partial",
    "by name",
    "frame",
]
WAYS = {
    "script": ["pkg/models.py"],
    "module": ["-m", "pkg.models"],
    "import": ["-c", "import sys; from pkg import models; models.main(sys.argv[1])"],
    "beside": ["other.py"],
}
OTHER = """
    import dataclasses, enum, sys
    from pkg import models

    @dataclasses.dataclass
    class Point:
        y: int

    class Side(enum.Enum):
        BUY = 7

    models.main(sys.argv[1])
"""


@pytest.fixture
def models(programs):
    programs.write("pkg/__init__.py", "")
    programs.write("pkg/models.py", MODELS)
    programs.write("other.py", OTHER)
    return programs


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_script_stores_is_of_the_class_that_importers_know(models, kind):
    assert models.run(*WAYS["script"], kind) == "ran\n"
    for way in WAYS.values():
        assert models.run(*way, kind) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_knows_what_importers_stored(models, kind):
    assert models.run(*WAYS["import"], kind) == "ran\n"
    assert models.run(*WAYS["script"], kind) == ""


def test_a_member_that_a_hit_gives_is_the_member_that_a_body_compares_with(programs):
    text = """
    import enum
    from thrifty import task, workflow

    class Side(enum.Enum):
        BUY = 1
        SELL = 2

    @task
    def signal(x: int) -> Side:
        return Side.BUY

    @task
    def order(side):
        return "buy" if side is Side.BUY else "sell"

    @workflow
    def plan(x: int = 1):
        return order(signal(x))

    if __name__ == "__main__":
        print(plan())
    """
    programs.write("prices.py", text)
    assert programs.run("-c", "import prices; print(prices.plan())") == "buy\n"
    programs.write("prices.py", text.replace('"buy"', '"BUY"'))
    assert programs.run("prices.py") == "BUY\n"
    assert programs.run("-c", "import prices; print(prices.plan())") == "BUY\n"


CHILDREN = """
if __name__ == "__main__":
    import multiprocessing, sys
    child = multiprocessing.get_context(sys.argv[2]).Process(target=main, args=(sys.argv[1],))
    child.start()
    child.join()
    assert child.exitcode == 0
    main(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_children_of_a_script_share_its_values(models, method):
    models.write("starts.py", textwrap.dedent(MODELS).split("if __name__")[0] + CHILDREN)
    assert models.run("starts.py", "enum", method) == "ran\n"
    assert models.run("-c", "import starts; starts.main('enum')") == ""


def test_a_class_that_is_there_twice_is_not_stored(programs):
    programs.write(
        "twice.py",
        """
        from thrifty import task

        class Model:
            pass

        @task
        def made():
            print("ran", flush=True)
            import twice
            return twice.Model()

        def main():
            import twice
            assert type(made()) is twice.Model

        if __name__ == "__main__":
            main()
        """,
    )
    for _ in range(2):
        process = programs.start("twice.py")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "ran\n"), err
        assert "1 a value that cannot be stored" in err
    assert programs.run("-c", "import twice; twice.main()") == "ran\n"


def test_a_name_of_another_program_is_a_miss(programs):
    """Without a name of its own a program, as a notebook, names its classes as every program would."""
    text = """
    import dataclasses
    from thrifty import task

    @dataclasses.dataclass
    class Point:
        x: int
    """
    programs.write(
        "steps.py", "from thrifty import task\n@task\ndef same(value): print('ran'); return value\n"
    )
    programs.write(
        "one.py", text.replace("\n    ", "\n") + "import steps\nprint(steps.same(Point(1)))\n"
    )
    nameless = "exec(open('one.py').read())"
    assert programs.run("-c", nameless) == "ran\nPoint(x=1)\n"
    assert programs.run("-c", nameless) == "Point(x=1)\n"
    assert programs.run("one.py") == "ran\nPoint(x=1)\n"


def test_a_program_that_is_named_as_a_package_keeps_the_package(programs):
    programs.write("pkg/__init__.py", "class Model:\n    pass\n")
    programs.write(
        "bin/pkg.py",
        """
        import sys
        sys.path[0] = sys.argv[1]
        from thrifty import task
        import pkg

        @task
        def made():
            print("ran", flush=True)
            return pkg.Model()

        assert type(made()) is pkg.Model
        """,
    )
    assert programs.run("bin/pkg.py", str(programs.directory)) == "ran\n"
    assert programs.run("bin/pkg.py", str(programs.directory)) == ""
