"""The order of keys in dicts that the source wrote: code can tell it, so it counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


STEP = """
    import json, pathlib
    import constants
    TABLE = {table}

    def run():
        return TABLE

    def away():
        from constants import AWAY
        return AWAY
    """

#: What is assigned, and the same with its keys in another order.
SWAPPED = {
    '{"a": "sum", "b": "mean"}': '{"b": "mean", "a": "sum"}',
    '[1, ({"x": {"a": 1, "b": 2}},)]': '[1, ({"x": {"b": 2, "a": 1}},)]',
    "dict(a=1, b=2)": "dict(b=2, a=1)",
    "{name: 1 for name in 'ab'}": "{name: 1 for name in 'ba'}",
    """json.loads('{"a": 1, "b": 2}')""": """json.loads('{"b": 2, "a": 1}')""",
    "{'a': len, 'b': {'x': 1, 'y': 2}}": "{'a': len, 'b': {'y': 2, 'x': 1}}",
    "(lambda held: (lambda: held))({'a': 1, 'b': 2})": "(lambda held: (lambda: held))({'b': 2, 'a': 1})",
}


@pytest.mark.parametrize("table", SWAPPED)
def test_the_order_of_keys_in_a_constant_counts(project: Project, table: str):
    project.write(step=STEP.replace("{table}", table), constants="AWAY = 1\n")
    before = project.units()
    project.edit("step", f"TABLE = {table}", f"TABLE = {SWAPPED[table]}")
    assert project.units() != before


#: What is assigned, and what is the same in the same order.
SAME = {
    '{"a": "sum", "b": "mean"}': '{ "a" : "su" + "m",\n        "b": "mean", }  # a comment',
    '{"a": 1}': "dict(a=1)",
    '{"a": 1, "b": 2}': "dict([('a', 1), ('b', 2)])",
    '{"c", "d"}': '{"d", "c"}',
    '[{"a": 1, "b": 2}, {"x": 1, "y": 2}]': "[{'a': 1, 'b': 2}, dict(x=1, y=2)]",
}


@pytest.mark.parametrize("table", SAME)
def test_what_is_in_the_same_order_is_the_same(project: Project, table: str):
    project.write(step=STEP.replace("{table}", table), constants="AWAY = 1\n")
    before = project.units()
    project.edit("step", f"TABLE = {table}", f"TABLE = {SAME[table]}")
    after = project.units()
    assert {name: it[1] for name, it in after.items()} == {
        name: it[1] for name, it in before.items()
    }


def test_a_constant_is_the_same_loaded_or_not(project: Project):
    constants = "AWAY = {'b': 1, 'a': [{'y': 1, 'x': 2}, {'z': 0}]}\n"
    project.write(
        step=STEP.replace("{table}", "1").replace("import constants", ""), constants=constants
    )
    units = project.units("step:away")
    assert project.units("step:away", before="import constants") == units
    changed = "import constants\nconstants.AWAY['b'] = constants.AWAY.pop('b')"
    assert project.units("step:away", before=changed) != units, "in another order since"


def test_a_constant_whose_order_changes_is_not_current(project: Project):
    project.write(step=STEP.replace("{table}", "{'a': 1, 'b': [2]}"), constants="AWAY = 1\n")
    assert project.current("step.TABLE['a'] = 1")
    assert not project.current("step.TABLE['a'] = step.TABLE.pop('a')")


def test_dicts_within_each_other(project: Project):
    """A web of dicts is looked through once."""
    tangled = """
        import step
        for _ in range(4):
            step.TABLE = {"a": step.TABLE, "b": step.TABLE, "c": [step.TABLE] * 3}
        """
    project.write(step=STEP.replace("{table}", "{'a': 1, 'b': 2}"), constants="AWAY = 1\n")
    assert "step:TABLE" in project.units(before=tangled)
