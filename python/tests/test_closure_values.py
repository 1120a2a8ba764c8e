"""Values that decide what code does and stand where no name of a module leads: beside code in tables,
and as keys of tables.
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


KEYED = """
import collections, dataclasses, datetime, decimal, enum, fractions, pathlib, uuid
from thrifty import task
def f(): return 1
def g(): return 2
class Color(enum.Enum):
    RED = 1
    BLUE = 2
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2
class Word(str, enum.Enum):
    YES = 'yes'
    NO = 'no'
    def __repr__(self): raise ValueError('code of the user ran')
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
Pair = collections.namedtuple('Pair', 'x y')
class One: pass
class Two: pass
@task
def first() -> int: return 1
@task
def second() -> int: return 2
TABLE = {LEFT: f, RIGHT: g}
def run(key): return TABLE[key]()
"""

# Each: two keys of a table, as a program writes them.
KEYS = {
    "texts": ("'a'", "'b'"),
    "integers": ("1", "2"),
    "long integers": ("10 ** 5000", "10 ** 5000 + 1"),
    "signs": ("1", "-1"),
    "floats": ("0.5", "float('nan')"),
    "complex": ("1j", "2j"),
    "truth values": ("True", "False"),
    "nothing": ("None", "..."),
    "bytes": ("b'a'", "b'b'"),
    "a text and bytes": ("'a'", "b'a'"),
    "a number and a text": ("1", "'1'"),
    "tuples": ("(1, 'a')", "(1, 'b')"),
    "frozen sets": ("frozenset({'a', 'b'})", "frozenset({'a', 'c'})"),
    "ranges": ("range(2)", "range(3)"),
    "members": ("Color.RED", "Color.BLUE"),
    "members that are numbers": ("Level.LOW", "Level.HIGH"),
    "members that are texts": ("Word.YES", "Word.NO"),
    "objects": ("Point(1)", "Point(2)"),
    "named tuples": ("Pair(1, 2)", "Pair(2, 1)"),
    "dates": ("datetime.date(2026, 1, 1)", "datetime.date(2026, 1, 2)"),
    "decimals": ("decimal.Decimal('1.5')", "fractions.Fraction(5, 3)"),
    "paths": ("pathlib.PurePosixPath('a')", "pathlib.PurePosixPath('b')"),
    "identifiers": ("uuid.UUID(int=1)", "uuid.UUID(int=2)"),
    "classes": ("One", "Two"),
    "functions": ("f", "g"),
    "tasks": ("first", "second"),
    "types of Python": ("int", "str"),
    "tuples of classes": ("(One, 1)", "(One, 2)"),
    "tuples of two classes": ("(One, Two)", "(Two, One)"),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_keys_of_tables_with_code_count(project: Project, keys: tuple[str, str]) -> None:
    def table(*names: str) -> dict:
        text = KEYED
        for place, name in zip(("LEFT", "RIGHT"), names, strict=True):
            text = text.replace(place, name)
        project.write(step=text)
        return project.units()

    one, other = keys
    found = [table(one, other), table(other, one), table(one, "'another'")]
    assert not any(a == b for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize(
    "table",
    [
        "{One: 1}",
        "{one: [1]}",
        "{first: 1}",
        "{(1, (One, 2)): one.__name__}",
        "{(first, 1): f}",
        "{Held(): f}",
    ],
)
def test_code_in_keys_is_followed(project: Project, table: str) -> None:
    keys = """
        from thrifty import task
        class One:
            def m(self): return 111
        def one(): return 111
        @task
        def first() -> int: return 111
        class Held:
            def m(self): return 111
        """
    project.write(
        keys=keys,
        step=f"from keys import *\ndef f(): pass\nTABLE = {table}\ndef run(): return TABLE\n",
    )
    before = project.units()
    project.edit("keys", "111", "222")
    assert project.units() != before


def test_keys_of_tables_are_the_same_in_every_process(project: Project) -> None:
    keys = "frozenset({'a', 'b', 'c'}), ('a', One), 'x', Color.RED, Point(1), first, 10 ** 5000"
    project.write(step=KEYED.replace("{LEFT: f, RIGHT: g}", f"dict.fromkeys([{keys}], f)"))
    code = "import step\nshow(step.run)"
    assert project.run(code, seed="1") == project.run(code, seed="2")


def test_a_key_that_changed_in_place_is_seen(project: Project) -> None:
    project.write(step=KEYED.replace("LEFT", "Point(1)").replace("RIGHT", "2"))
    change = "object.__setattr__(next(iter(step.TABLE)), 'x', 5)"
    assert not project.current(change)
    assert project.units() != project.units(before=change)


KEY = "import json\nfrom step import *\nprint(json.dumps(apply.key({})))"
APPLY = (
    "from thrifty import Cache, task\n@task(cache=Cache(version='1'))\ndef apply(f): return f(1)\n"
)


@pytest.mark.parametrize("value", ["cached", "[cached]", "Holder(cached)", "fast"])
def test_a_function_that_remembers_counts_by_its_code(project: Project, value: str) -> None:
    step = (
        "import functools\n@functools.lru_cache\ndef cached(x): return x + 111\n"
        "class Holder:\n    def __init__(self, f): self.f = f\n"
        "def slow(x): return x + 111\nfast = functools.cache(slow)\n"
    )
    project.write(step=APPLY + step)
    before = project.run(KEY.format(value))
    assert project.run(KEY.format(value)) == before
    project.write(step=APPLY + step.replace("111", "222"))
    assert project.run(KEY.format(value)) != before


@pytest.mark.parametrize(
    "value",
    [
        "scipy.stats.loguniform(1e-3, 1e3)",
        "{'C': scipy.stats.norm(0, 1)}",
        "np.random.mtrand._rand",
        "np.random.RandomState(7)",
    ],
)
def test_the_generator_that_numpy_draws_from_goes_by_name(project: Project, value: str) -> None:
    project.write(step=f"import numpy as np\nimport scipy.stats\n{APPLY}VALUE = {value}\n")
    assert project.run(KEY.format("VALUE")) == project.run(KEY.format("VALUE"))
    drawn = "np.random.seed(5)\nif hasattr(VALUE, 'rand'): VALUE.rand()\n"
    project.write(step=f"import numpy as np\nimport scipy.stats\n{APPLY}VALUE = {value}\n{drawn}")
    is_own = "RandomState" in value
    project.write(other=f"import numpy as np\nimport scipy.stats\nVALUE = {value}\n")
    key = project.run(KEY.format("VALUE"))
    plain = project.run(KEY.format("__import__('other').VALUE"))
    assert (key != plain) is is_own


def test_what_numpy_made_of_a_function_has_one_key(project: Project) -> None:
    step = "import numpy as np\ndef f(x): return x + 1\nV = np.vectorize(f{})\nTABLE = [V, 1]\n"
    reading = "def run(): return TABLE, V\n"
    project.write(step=APPLY + step.format("") + reading)
    called = "import step\nstep.V([1, 2])\n"
    before = project.run(KEY.format("V"))
    assert project.run(called + KEY.format("V")) == before
    assert project.units() == project.units(before="step.V([1, 2])")
    project.write(step=APPLY + step.format(", otypes=[int]") + reading)
    assert project.run(KEY.format("V")) != before
