"""The code of a class counts in what takes an instance of it, also when the instance comes from a
hit whose own code never names the class."""

from __future__ import annotations

import pytest

MODEL = """
    class Model:
        def __init__(self, slope):
            self.slope = slope
        def predict(self, x):
            return self.slope * x
"""

PROGRAM = """
    from typing import NamedTuple
    from thrifty import Cache, task, workflow

    @task(cache=Cache(version="1"))
    def train(slope):
        import importlib
        made = importlib.import_module("model").Model(slope)
        return {returned}

    @task
    def use(taken):
        return {taken}.predict(10)

    @task
    def count(taken):
        return 1

    @workflow
    def experiment(slope=2):
        return use({handle}), train(3)

    run = experiment.run()
    for name, outcome in sorted((node["name"].rsplit(".", 1)[-1], node["outcome"]) for node in run.nodes):
        print(name, "ran" if outcome == "computed" else "hit")
    print(run.value[0])
"""

SHAPES = [
    pytest.param("made", "taken", "train(slope)", id="itself"),
    pytest.param("[1, made]", "taken[1]", "train(slope)", id="in a list"),
    pytest.param("[1, made]", "taken", "train(slope)[1]", id="a part of a list"),
    pytest.param("(made, made)", "taken", "train(slope)[1]", id="a part of a pickle"),
    pytest.param("{'model': made, 'n': [made]}", "taken['model']", "train(slope)", id="in a dict"),
]


@pytest.mark.parametrize(("returned", "taken", "handle"), SHAPES)
def test_a_method_is_edited(programs, returned, taken, handle):
    text = PROGRAM.format(returned=returned, taken=taken, handle=handle)
    programs.write("main.py", text)
    programs.write("model.py", MODEL)
    first = programs.run("main.py")
    assert first.splitlines() == ["train ran", "train ran", "use ran", "20"]
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use hit", "20"]
    programs.write("model.py", MODEL.replace("self.slope * x", "self.slope * x  # the line"))
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use hit", "20"]
    programs.write("model.py", MODEL.replace("self.slope * x", "self.slope + x"))
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use ran", "12"]
    programs.write("model.py", MODEL)
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use hit", "20"]


def test_what_the_class_reaches_counts_too(programs):
    model = "from rates import RATE\n\nclass Model:\n    def __init__(self, slope): self.slope = slope\n"
    model += "    def predict(self, x): return RATE * x\n"
    programs.write("model.py", model)
    programs.write("rates.py", "RATE = 5\n")
    programs.write("main.py", PROGRAM.format(returned="made", taken="taken", handle="train(slope)"))
    assert programs.run("main.py").splitlines()[-1] == "50"
    programs.write("rates.py", "RATE = 6\n")
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use ran", "60"]


def test_a_class_of_the_program_itself(programs):
    text = """
        from thrifty import Cache, task, workflow

        class Model:
            def predict(self, x):
                return 2 * x

        @task(cache=Cache(version="1"))
        def train():
            return globals()["Model"]()

        @task
        def use(model):
            return model.predict(10)

        @workflow
        def experiment():
            return use(train())

        run = experiment.run()
        print([node["outcome"] for node in run.nodes], run.value)
    """
    programs.write("main.py", text)
    assert programs.run("main.py").endswith("20\n")
    assert "computed" not in programs.run("main.py")
    programs.write("main.py", text.replace("2 * x", "3 * x"))
    assert programs.run("main.py").endswith("30\n")


def test_a_class_is_the_same_loaded_or_not(programs):
    """Whether the program imported the module of the class before is no part of a key."""
    text = PROGRAM.format(returned="made", taken="taken", handle="train(slope)")
    programs.write("model.py", MODEL)
    programs.write("main.py", text)
    programs.run("main.py")
    programs.write("main.py", "    import model" + text)
    assert programs.run("main.py").splitlines() == ["train hit", "train hit", "use hit", "20"]


def test_a_class_that_is_gone(programs):
    """What cannot be told is not cached; loading the object fails as it would without a cache."""
    programs.write("model.py", MODEL)
    programs.write("main.py", PROGRAM.format(returned="made", taken="taken", handle="train(slope)"))
    programs.run("main.py")
    programs.write("model.py", "Model = None\n")
    assert "Traceback" in programs.run("main.py", code=1)


def test_types_that_cython_makes_up_are_no_classes_of_the_project(programs):
    pytest.importorskip("sklearn")
    text = """
        from thrifty import task, workflow

        @task
        def train(n):
            from sklearn.ensemble import HistGradientBoostingClassifier
            return HistGradientBoostingClassifier(max_iter=1).fit([[0], [1]] * 20, [0, 1] * 20)

        @task
        def use(model):
            return model.n_iter_

        @workflow
        def experiment(n=1):
            return use(train(n))

        print(*(node["outcome"] for node in experiment.run().nodes))
        """
    programs.write("main.py", text)
    assert programs.run("main.py") == "computed computed\n"
    # In this process nobody has imported what Cython compiled.
    assert programs.run("main.py") == "hit-local hit-local\n"


def test_a_class_that_no_name_leads_to_does_not_stop_caching(programs):
    """As the function type that Cython makes, in a module that is nowhere to be found."""
    programs.write(
        "main.py",
        """
        import sys, types
        from thrifty import Cache, task, workflow

        hidden = sys.modules["hidden"] = types.ModuleType("hidden")
        class Value:
            def __reduce__(self):
                return (make, ())
        Value.__module__ = "hidden"
        def make():
            return Value()

        @task(cache=Cache(version="1"))
        def produce():
            return make()

        @task(cache=Cache(version="1"))
        def take(value):
            return 1

        @workflow
        def experiment():
            return take(produce())

        print([node["outcome"] for node in experiment.run().nodes])
        """,
    )
    assert programs.run("main.py") == "['computed', 'computed']\n"
    assert programs.run("main.py") == "['hit-local', 'hit-local']\n"
