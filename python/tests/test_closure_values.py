"""Values that decide what code does and stand where no name of a module leads: beside code in tables, as
keys of tables, and in defaults.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


BESIDE_CODE = """
import dataclasses
def f(x): return x
@dataclasses.dataclass
class Parameters:
    alpha: int
    def scaled(self): return self.alpha * 2
NAMED = {'linear': {'function': f, 'parameters': {'alpha': 1}}}
LISTED = [f, [1]]
PAIR = (f, {1: [2]})
HELD = {'function': f, 'parameters': Parameters(1)}
def run(name): return NAMED, LISTED, PAIR, HELD
"""


@pytest.mark.parametrize(
    "change",
    [
        "step.NAMED['linear']['parameters']['alpha'] = 5",
        "step.LISTED[1].append(5)",
        "step.PAIR[1][1][0] = 5",
        "step.HELD['parameters'].alpha = 5",
    ],
)
def test_what_stands_beside_code_is_seen_to_change_in_place(project: Project, change: str) -> None:
    project.write(step=BESIDE_CODE)
    assert not project.current(change)
    assert project.units() != project.units(before=change)


def test_a_table_with_code_is_the_same_while_nothing_in_it_changes(project: Project) -> None:
    project.write(step=BESIDE_CODE)
    assert project.current("step.run(1); step.LISTED[1].append(5); step.LISTED[1].pop()")
    assert project.units() == project.units()


def test_the_class_of_an_object_beside_code_counts(project: Project) -> None:
    project.write(
        lib=BESIDE_CODE,
        step="from lib import HELD\ndef run(): return HELD['parameters'].scaled()\n",
    )
    before = project.units()
    project.edit("lib", "alpha * 2", "alpha * 3")
    assert project.units() != before
