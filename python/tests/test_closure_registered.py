"""What the project registers with a library that finds it by a name, and subclasses that code asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


REGISTERED = {
    "frame": "@pandas.api.extensions.register_dataframe_accessor('geo')",
    "series": "@pandas.api.extensions.register_series_accessor('geo')",
    "index": "@pandas.api.extensions.register_index_accessor('geo')",
    "polars frame": "@polars.api.register_dataframe_namespace('geo')",
    "polars lazy frame": "@polars.api.register_lazyframe_namespace('geo')",
    "polars series": "@polars.api.register_series_namespace('geo')",
    "polars expression": "@polars.api.register_expr_namespace('geo')",
}

ACCESSOR = """
    import pandas, polars
    SCALE = 1

    {decorator}
    class Geo:
        def __init__(self, held):
            self.held = held

        def area(self):
            return SCALE
    """

STEP = """
    import pandas, polars
    import accessor

    def run(frame):
        return frame.geo.area()

    def named(frame):
        return getattr(frame.first(), "geo").area()

    def other(frame):
        return frame.area()
    """


@pytest.mark.parametrize("kind", REGISTERED)
def test_an_accessor_of_the_project_counts_where_its_name_is_read(project: Project, kind: str):
    project.write(step=STEP, accessor=ACCESSOR.replace("{decorator}", REGISTERED[kind]))
    before = {name: project.units(f"step:{name}") for name in ("run", "named", "other")}
    assert {"accessor:Geo", "accessor:SCALE"} <= set(before["run"]) & set(before["named"])
    assert set(before["other"]) == {"step:other"}
    project.edit("accessor", "SCALE = 1", "SCALE = 2")
    project.edit("accessor", "held = held", "held = [held]")
    after = {name: project.units(f"step:{name}") for name in before}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"run", "named"}


def test_an_accessor_in_a_module_that_the_body_imports(project: Project):
    step = STEP.replace("import accessor\n", "").replace(
        "def run(frame):", "def run(frame):\n        import accessor"
    )
    project.write(step=step, accessor=ACCESSOR.replace("{decorator}", REGISTERED["frame"]))
    units = project.units()
    assert "accessor:Geo" in units
    assert project.units(before="import accessor") == units, "loaded before"


AGAIN = """
    import pandas
    class Geo:
        def area(self): return 2
    pandas.api.extensions.register_dataframe_accessor("{name}")(Geo)
    """


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["geo", "late"])
def test_an_accessor_that_is_registered_later(project: Project, name: str):
    decorator = REGISTERED["frame"]
    step = STEP.replace("frame.geo.area()", "frame.geo.area(), frame.late.area()")
    project.write(step=step, accessor=ACCESSOR.replace("{decorator}", decorator))
    assert project.current("pass")
    assert not project.current(AGAIN.replace("{name}", name))


def test_accessors_of_libraries_are_no_code_of_the_project(project: Project):
    project.write(
        step="""
        import pandas, polars
        def run(frame):
            return frame.a.str.upper(), frame.b.dt.year, frame.style, frame.list
        """
    )
    assert set(project.units()) == {"step:run"}


SUBCLASSES = """
    import base
    import plugins

    class Unasked:
        pass

    class OfUnasked(Unasked):
        pass

    def run():
        {body}

    def other():
        return base.Step, Unasked
    """

BASE = """
    class Step:
        def go(self):
            return 0

        @classmethod
        def all(cls):
            return [kind().go() for kind in cls.__subclasses__()]

    class Plain:
        def go(self):
            return 0
    """

PLUGINS = """
    import base
    NUMBER = 1

    class First(base.Step):
        def go(self):
            return NUMBER

    class Second(First):
        def go(self):
            return 2

    class OfPlain(base.Plain):
        def go(self):
            return NUMBER
    """

ASKED = {
    "return [kind().go() for kind in base.Plain.__subclasses__()]": {"plugins:OfPlain"},
    "from base import Plain\n        return Plain.__subclasses__()": {"plugins:OfPlain"},
    "return base.Step.__subclasses__()": {"plugins:First", "plugins:Second"},
    "return base.Step.all()": {"plugins:First", "plugins:Second"},
    "return getattr(base.Plain, '__subclasses__')()": {"plugins:OfPlain"},
}


@pytest.mark.parametrize("body", ASKED)
def test_subclasses_that_are_asked_for_count(project: Project, body: str):
    project.write(step=SUBCLASSES.replace("{body}", body), base=BASE, plugins=PLUGINS)
    before = project.units()
    assert ASKED[body] <= set(before)
    assert "step:OfUnasked" not in before
    project.edit("plugins", "NUMBER = 1", "NUMBER = 3")
    assert project.units() != before


def test_subclasses_that_nothing_asks_for_do_not_count(project: Project):
    plain = BASE.replace("cls.__subclasses__()", "[cls]")
    project.write(step=SUBCLASSES.replace("{body}", "return 1"), base=plain, plugins=PLUGINS)
    assert not [name for name in project.units("step:other") if "First" in name or "Of" in name]


def test_subclasses_in_a_module_that_the_body_imports(project: Project):
    body = "import plugins\n        return base.Plain.__subclasses__()"
    step = SUBCLASSES.replace("import plugins\n", "", 1).replace("{body}", body)
    project.write(step=step, base=BASE, plugins=PLUGINS)
    units = project.units()
    assert "plugins:OfPlain" in units
    assert project.units(before="import plugins") == units, "loaded before"


def test_a_subclass_that_comes_later(project: Project):
    body = "return base.Plain.__subclasses__()"
    project.write(step=SUBCLASSES.replace("{body}", body), base=BASE, plugins=PLUGINS)
    assert project.current("pass")
    assert not project.current("import base\nclass Late(base.Plain): pass")


def test_subclasses_of_what_the_text_does_not_tell_are_noted(project: Project):
    project.write(
        step="""
        def run(kind):
            return [one for one in kind.__subclasses__()]
        """
    )
    notes = project.run("import step\nshow(step.run)")[-1]["notes"]
    assert notes == ["step:run: what `__subclasses__` reaches is not followed"]


YAML = """
    import yaml
    SCALE = 1

    def scaled(loader, node):
        return SCALE * int(loader.construct_scalar(node))

    class Point(yaml.YAMLObject):
        yaml_tag = "!point"
        yaml_loader = yaml.SafeLoader

    yaml.{call}

    def run(text):
        return yaml.safe_load(text)

    def other(text):
        return text
    """

CALLS = {
    "add_constructor('!scaled', scaled)": "yaml:FullLoader(!scaled)",
    "SafeLoader.add_constructor('!scaled', scaled)": "yaml:SafeLoader(!scaled)",
    "add_multi_constructor('!scaled', lambda *a: scaled(*a[::2]))": "yaml:FullLoader(!scaled)",
    "SafeLoader.add_constructor(None, scaled)": "yaml:SafeLoader(None)",
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_registered_with_yaml_counts_for_who_uses_it(project: Project, call: str):
    pytest.importorskip("yaml")
    project.write(step=YAML.replace("{call}", call))
    before, other = project.units(), project.units("step:other")
    assert {CALLS[call], "step:SCALE", "step:Point"} <= set(before)
    assert set(other) == {"step:other"}
    project.edit("step", "SCALE = 1", "SCALE = 2")
    assert project.units() != before
    assert project.units("step:other") == other
    late = "import yaml\nimport step\nyaml.SafeLoader.add_constructor('!late', step.scaled)"
    assert not project.current(late)
