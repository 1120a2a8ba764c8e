"""Seeds: who decides, what enters the key, what a body draws, and whom it leaves alone."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

import numpy as np
import pytest
from thrifty import Cache, Secret, task, testing, workflow


@pytest.fixture(autouse=True)
def project(home, monkeypatch):
    """The project has a name of its own: that of its directory changes with its `thrifty.toml`."""
    monkeypatch.setenv("THRIFTY_PROJECT", "tests")


def drawn() -> tuple[float, float]:
    """One number of each generator that the process has once."""
    return random.random(), np.random.random()


def draw(n: int) -> tuple[float, float]:
    return drawn()


def of(task_):
    """What a task draws, computed now."""
    return task_.with_options(cache="refresh")(1)


# Who decides.

LEVELS = ("call", "definition", "workflow", "project")
# Most specific first; a seed, or that there is none.
CHOICES = {"call": (1, None), "definition": (2, None), "workflow": (3, None), "project": (4,)}


def seed_in_force(chosen, reopen, tmp_path) -> Any:
    """Which seed a call in a workflow has, when these are chosen."""
    if "project" in chosen:
        (tmp_path / "thrifty.toml").write_text(f"seed = {chosen['project']}\n")
    reopen()

    def told(n: int, seed: int | None = None) -> int | None:
        return seed

    def options(level: str):
        return {"seed": chosen[level]} if level in chosen else {}

    called = task(name="told", **options("definition"))(told)
    if "call" in chosen:
        called = called.with_options(seed=chosen["call"])
    outer = workflow(name="outer", **options("workflow"))(lambda: called(1))
    number = outer.with_options(cache=False)()
    known = {task(name="told", seed=seed)(told)(1): seed for seed in (1, 2, 3, 4, None)}
    return known[number]


@pytest.mark.parametrize("levels", list(itertools.product((False, True), repeat=4)), ids=str)
def test_the_most_local_level_decides(levels, reopen, tmp_path):
    named = [level for level, is_there in zip(LEVELS, levels, strict=True) if is_there]
    for seeds in itertools.product(*(CHOICES[level] for level in named)):
        chosen = dict(zip(named, seeds, strict=True))
        expected = next(iter(chosen.values()), None)
        assert seed_in_force(chosen, reopen, tmp_path) == expected, chosen


def test_a_variable_goes_before_the_file(reopen, tmp_path, monkeypatch):
    assert seed_in_force({"project": 4}, reopen, tmp_path) == 4
    monkeypatch.setenv("THRIFTY_SEED", "3")
    assert seed_in_force({"project": 4}, reopen, tmp_path) == 3
    assert seed_in_force({"definition": None}, reopen, tmp_path) is None


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (True, TypeError, "whole number or None, not True"),
        (1.0, TypeError, "not 1.0"),
        ("7", TypeError, "not '7'"),
        ([7], TypeError, "whole number"),
        (np.float64(7), TypeError, "whole number"),
        (-1, ValueError, "from 0 to 9223372036854775807, not -1"),
        (2**63, ValueError, "from 0 to"),
        (10**40, ValueError, "from 0 to"),
    ],
)
def test_what_is_no_seed_is_refused_at_once(seed, error, text):
    for use in (lambda: task(seed=seed), lambda: workflow(seed=seed)):
        with pytest.raises(error, match=text):
            use()(draw)
    with pytest.raises(error, match=text):
        task(draw).with_options(seed=seed)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1, np.int64(7)])
def test_what_is_a_seed(seed):
    seeded = task(seed=seed)(draw)
    assert of(seeded) == of(seeded) == of(task(seed=int(seed))(draw))


# The key.

PLAIN = task(draw)
SEEDED = task(seed=7)(draw)


def test_the_seed_is_in_the_key_if_there_is_one(reopen, monkeypatch):
    keys = {task(seed=seed)(draw).key(1) for seed in (0, 7, 8)} | {PLAIN.key(1)}
    assert len(keys) == 4
    assert task(seed=None)(draw).key(1) == PLAIN.key(1)
    assert PLAIN.with_options(seed=7).key(1) == SEEDED.key(1)
    assert SEEDED.with_options(seed=None).key(1) == PLAIN.key(1)
    monkeypatch.setenv("THRIFTY_SEED", "7")
    reopen()
    assert PLAIN.key(1) == SEEDED.key(1)


@pytest.mark.parametrize(
    "cache",
    [
        Cache(version="1"),
        Cache(code="none"),
        Cache(code="function"),
        Cache(ignore="n"),
        Cache(inputs=()),
        Cache(key=lambda n: "same"),
    ],
    ids=repr,
)
def test_nothing_takes_the_seed_out_of_the_key(cache):
    keys = {task(seed=seed, cache=cache)(draw).key(1) for seed in (None, 7, 8)}
    assert len(keys) == 3


def test_another_seed_is_another_computation_and_why_says_so():
    run = SEEDED.run(1)
    assert SEEDED.run(1).nodes[0]["outcome"].startswith("hit")
    changed = SEEDED.with_options(seed=8).run(1)
    assert changed.nodes[0]["outcome"] == "computed"
    assert changed.value != run.value
    assert "seed: 7 → 8" in changed.why()


def test_the_seed_that_a_called_task_states_is_part_of_the_code_of_its_caller():
    def key(**seed):
        inner = task(name="inner", **seed)(draw)
        return workflow(name="outer")(lambda: inner(1)).key()

    assert len({key(), key(seed=None), key(seed=7), key(seed=8)}) == 4
    assert key(seed=7) == key(seed=7)


# What is drawn.


def test_every_way_to_compute_a_call_gives_the_same():
    expected = SEEDED(1)
    assert SEEDED(1) == expected
    assert SEEDED.with_options(cache="refresh")(1) == expected
    assert SEEDED.with_options(cache=False)(1) == expected
    assert SEEDED.with_options(cache="refresh").map([1]) == [expected]
    assert SEEDED.with_options(cache="refresh").run(1).value == expected
    assert workflow(lambda: SEEDED(1)).with_options(cache=False)() == expected
    assert task(lambda: SEEDED(1)).with_options(cache=False)() == expected
    with testing.memory_cache():
        assert SEEDED(1) == expected


def test_calls_draw_other_numbers_by_seed_name_and_arguments():
    renamed = task(seed=7, name="renamed")(draw)
    drawn = [SEEDED(1), SEEDED(2), renamed(1), SEEDED.with_options(seed=8)(1)]
    assert len({number for pair in drawn for number in pair}) == 2 * len(drawn)


def test_the_generators_of_one_body_do_not_draw_alike():
    # Seeded with the same words, both would be the same Mersenne twister.
    one, other = SEEDED(1)
    assert one != other


def test_an_element_in_front_moves_no_other():
    before = SEEDED.map([2, 3])
    with testing.recorded() as calls:
        after = SEEDED.map([1, 2, 3])
    assert after[1:] == before
    assert (len(calls.computed), len(calls.hits)) == (1, 2)


def test_an_edit_of_the_code_leaves_the_numbers(programs):
    text = """
    import random
    from thrifty import task

    @task(seed=7)
    def draw(n: int) -> list:
        return [{}, random.random()]

    print(draw(1)[1])
    """
    programs.write("program.py", text.format(1))
    first = programs.run("program.py")
    programs.write("program.py", text.format(2))
    assert programs.run("program.py") == first


def test_what_comes_from_upstream_counts_by_its_value():
    @task(seed=7)
    def first(n: int) -> int:
        return n // 10

    @workflow(seed=7)
    def chain(n: int):
        return SEEDED(first(n))

    assert chain(10) == chain(11) == SEEDED(1)
    assert chain(20) == SEEDED(2)


class Point:
    """A class of the project."""

    def __init__(self, x: int) -> None:
        self.x = x


@task(seed=7)
def near(point: Point) -> float:
    return random.random()


def test_an_object_counts_alike_from_wherever_it_comes():
    @task
    def make(x: int) -> Point:
        return Point(x)

    @workflow
    def chain(x: int) -> float:
        return near(make(x))

    expected = near(Point(1))
    for cache in (False, "on", "refresh", "on"):
        assert chain.with_options(cache=cache)(1) == expected
    assert chain(2) != expected


def test_an_ignored_argument_and_a_secret_do_not_count():
    @task(seed=7, cache=Cache(ignore="verbose"))
    def quiet(n: int, verbose: bool = False):
        return drawn()

    @task(seed=7)
    def login(token: Secret[str]):
        return drawn()

    assert of(quiet) == quiet.with_options(cache=False)(1, verbose=True)
    assert login("a") == login("b")
    assert login.key("a") != login.key("b")


def test_without_the_cache_what_has_no_digest_runs_and_repeats():
    uncached = SEEDED.with_options(cache=False)
    assert uncached(iter([1])) == uncached(iter([2]))


def test_without_a_seed_nothing_is_seeded():
    assert len({of(PLAIN) for _ in range(5)}) == 5
    random.seed(1)
    np.random.seed(1)
    expected = drawn()
    random.seed(1)
    np.random.seed(1)
    assert of(PLAIN) == expected


# Whom it leaves alone.


def states():
    numpy = np.random.get_state(legacy=False)
    inner = numpy["state"]
    rest = numpy["has_gauss"], numpy["gauss"], os.environ.get("PYTHONHASHSEED")
    return random.getstate(), inner["key"].tobytes(), inner["pos"], *rest


def fails(n: int):
    random.gauss(0, 1)
    np.random.normal()
    raise LookupError(n)


def test_the_program_finds_its_generators_as_it_left_them():
    np.random.normal()
    before = states()
    SEEDED(1)
    assert states() == before
    with pytest.raises(LookupError):
        task(seed=7)(fails)(1)
    assert states() == before
    workflow(seed=7)(lambda: [SEEDED(2), SEEDED(3)])()
    assert states() == before


def test_a_hash_seed_of_the_program_comes_back(monkeypatch):
    seeded = task(seed=7)(lambda n: os.environ["PYTHONHASHSEED"])
    of_body = of(seeded)
    assert "PYTHONHASHSEED" not in os.environ or os.environ["PYTHONHASHSEED"] != of_body
    monkeypatch.setenv("PYTHONHASHSEED", "123")
    assert of(seeded) == of_body
    assert os.environ["PYTHONHASHSEED"] == "123"
    assert 0 <= int(of_body) < 2**32


def test_child_processes_hash_alike():
    @task(seed=7)
    def hashed(n: int) -> bytes:
        command = [sys.executable, "-c", "print(hash('text'))"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    assert of(hashed) == of(hashed)
    assert of(hashed) != of(hashed.with_options(seed=8))


def test_another_algorithm_of_the_program_comes_back():
    expected = of(SEEDED)
    before = np.random.get_bit_generator()
    own = np.random.PCG64(1)
    np.random.set_bit_generator(own)
    try:
        assert of(SEEDED) == expected
        assert np.random.get_bit_generator() is own
        assert np.random.random() == np.random.RandomState(np.random.PCG64(1)).random()
    finally:
        np.random.set_bit_generator(before)


def twice(inner: str):
    """A body that draws, makes a call of this kind, and draws again."""

    def body(n: int):
        first = drawn()
        if inner == "hit or not":
            SEEDED(5)
        elif inner == "unseeded":
            SEEDED.with_options(seed=None, cache=False)(5)
        elif inner == "uncached":
            SEEDED.with_options(cache=False)(5)
        elif inner == "map":
            SEEDED.map([5, 6])
        elif inner == "other seed":
            SEEDED.with_options(seed=9, cache="refresh")(5)
        elif inner == "threads":
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(SEEDED, range(6)))
        elif inner == "workflow in threads":
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(SEEDED.map, [[5, 6], [7, 8]]))
        return first, drawn()

    return task(name="twice", seed=7)(body)


INNER = (
    "hit or not",
    "unseeded",
    "uncached",
    "map",
    "other seed",
    "threads",
    "workflow in threads",
)


@pytest.mark.parametrize("inner", INNER)
def test_a_call_in_a_body_moves_none_of_its_numbers(inner):
    expected = of(twice("nothing"))
    assert of(twice(inner)) == expected
    assert of(twice(inner)) == expected
    assert workflow(lambda: twice(inner)(1)).with_options(cache=False)() == expected


def test_an_unseeded_call_in_a_seeded_body_draws_from_the_program():
    unseeded = SEEDED.with_options(seed=None, cache=False)
    outer = task(seed=7)(lambda n: unseeded(1))
    random.seed(1)
    expected = random.random()
    random.seed(1)
    assert of(outer)[0] == expected


# What is inside has the seed of what is around, and sees no other.


def test_what_a_body_calls_has_its_seed():
    outer = task(lambda n: PLAIN(n))
    assert of(outer.with_options(seed=7)) == of(SEEDED)
    assert of(outer.with_options(seed=8)) == of(PLAIN.with_options(seed=8))


def test_a_seed_of_the_project_does_not_reach_into_what_refuses_it(monkeypatch, reopen):
    inner = task(name="inner")(lambda n, seed=None: seed)
    refusing = task(seed=None)(lambda n: inner(n))
    nested = workflow(seed=None)(lambda n: inner(n))
    keys, values = set(), set()
    for seed in ("", "7", "8"):
        monkeypatch.setenv("THRIFTY_SEED", seed)
        reopen()
        keys |= {refusing.key(1)}
        run = workflow(lambda: nested(1)).run()
        values |= {of(refusing), run.value}
    # The key says nothing of the seed, so the result must not depend on it.
    assert (len(keys), values) == (1, {None})


def test_a_nested_workflow_is_one_operation_with_the_seed_in_its_key():
    nested = workflow(name="nested")(lambda n: [PLAIN(n), SEEDED(n)])
    outer = workflow(name="outer")(lambda: nested(1))
    values = {}
    for seed in (7, 8, None):
        seeded = outer.with_options(seed=seed)
        values[seed] = seeded()
        (node,) = seeded.run().nodes
        assert node["outcome"].startswith("hit"), seed
    assert values[7][0] == SEEDED(1)
    assert len({value[0] for value in values.values()}) == 3
    assert {value[1] for value in values.values()} == {SEEDED(1)}


def test_a_workflow_may_draw_what_it_calls():
    @task
    def same(a: float) -> float:
        return a

    @workflow(seed=7)
    def search(n: int):
        return [same(random.random()) for _ in range(n)]

    nested = workflow(seed=7)(lambda n: search(n))
    assert search(3) == search(3) == nested(3)
    assert search(3) != search.with_options(seed=8)(3)


# Parameters that are filled in.


def filled(annotation: Any, name: str = "rng", default: Any = ...):
    """A task with a parameter of this name and annotation."""
    parameter = f"{name}" + ("" if default is ... else f"={default!r}")
    scope: dict[str, Any] = {}
    exec(f"def filled(n, {parameter}): return {name}", scope)
    function = scope["filled"]
    if annotation is not ...:
        function.__annotations__[name] = annotation
    return task(seed=7, cache=Cache(version="1"))(function)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (..., np.random.Generator),
        (np.random.Generator, np.random.Generator),
        ("np.random.Generator", np.random.Generator),
        ("Generator | None", np.random.Generator),
        (Optional[np.random.Generator], np.random.Generator),  # noqa: UP045
        (np.random.Generator | None, np.random.Generator),
        (Any, np.random.Generator),
        (np.random.RandomState, np.random.RandomState),
        (random.Random, random.Random),
        ("random.Random", random.Random),
        ("r.Random | None", random.Random),
    ],
    ids=str,
)
def test_a_generator_is_what_the_annotation_says(annotation, kind):
    for default in (..., None):
        made = filled(annotation, default=default)
        generators = [made.with_options(cache=False)(1) for _ in range(2)]
        assert all(type(generator) is kind for generator in generators)
        draws = {generator.random() for generator in generators}
        assert len(draws) == 1


@pytest.mark.parametrize("annotation", [int, str, "torch.Generator", "Tuner", list[int]], ids=str)
def test_a_parameter_of_another_kind_is_left_alone(annotation):
    assert filled(annotation, default=None).with_options(cache=False)(1) is None
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'rng'"):
        filled(annotation)(1)


@pytest.mark.parametrize("annotation", [..., int, "int", int | None], ids=str)
def test_a_parameter_called_seed_gets_a_number(annotation):
    for default in (..., None):
        made = filled(annotation, "seed", default)
        number = made(1)
        assert type(number) is int
        assert 0 <= number < 2**32
        assert number == made(1) != made(2)
    assert filled(str, "seed", None)(1) is None


def test_what_is_filled_in_is_not_among_the_inputs():
    given = filled(..., "seed", None)
    assert given.key(1) == given.key(1, None) == given.key(n=1, seed=None)
    assert given.key(1) == filled(..., "seed").key(1)
    assert given.key(1) != given.key(1, 5)


def test_what_the_caller_gives_is_an_argument():
    made = filled(..., "seed", None)
    assert made(1, 5) == made(1, seed=5) == 5
    assert filled(..., "seed", 3)(1) == 3
    assert made.with_options(seed=None)(1) is None
    own = random.Random(5)
    assert filled(...).with_options(cache=False)(1, own) is own


def test_without_a_seed_a_missing_argument_is_missing():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'rng'"):
        filled(...).with_options(seed=None)(1)
    with pytest.raises(TypeError, match="missing"):
        workflow(lambda: filled(...).with_options(seed=None)(1))()


def test_a_positional_parameter_in_front_is_filled_too():
    @task(seed=7)
    def front(seed, n, /, *, rng: random.Random):
        return seed, n, rng.random()

    @task(seed=7, cache=Cache(key=lambda seed, n: (seed, n)))
    def keyed(seed=None, n=2):
        return seed, n

    with pytest.raises(TypeError):
        front(1)
    seed, n, _ = front(None, 5)
    assert (type(seed), n) == (int, 5)
    assert keyed(n=3)[1] == 3


def test_a_task_with_a_generator_leaves_those_of_the_process_alone():
    @task(seed=7)
    def own(n: int, rng: random.Random):
        return rng.random(), random.random()

    random.seed(1)
    first = own.with_options(cache=False)(1)
    random.seed(1)
    assert first[1] == random.random()
    assert own.with_options(cache=False)(1)[0] == first[0]


def test_numpy_is_named_where_its_generator_is_wanted_and_missing(programs):
    programs.write("numpy.py", "raise ImportError('no numpy')\n")
    programs.write(
        "program.py",
        """
        from thrifty import task

        @task(seed=7)
        def own(rng):
            return 1

        own()
        """,
    )
    said = programs.run("program.py", code=1)
    assert "annotate it as `rng: random.Random`" in said


# In parallel.


@task(seed=7)
def many(n: int) -> list[float]:
    """Draws often, so that another thread would come between."""
    return [number for _ in range(50) for number in (random.random(), np.random.random())]


@task
def noise(n: int) -> float:
    return sum(random.random() + np.random.random() for _ in range(50))


@task(seed=7)
def with_generator(n: int, rng: np.random.Generator) -> list[float]:
    return [rng.random() for _ in range(50)]


@pytest.fixture
def switching():
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_draw_what_they_draw_one_by_one(switching):
    expected = [many(n) for n in range(8)], [with_generator(n) for n in range(8)]

    @workflow
    def all_of_them():
        unseeded = [noise(n) for n in range(8)]
        return [many(n) for n in range(8)], [with_generator(n) for n in range(8)], unseeded

    together = all_of_them.with_options(cache=False, workers=8)
    for _ in range(50):
        assert tuple(together()[:2]) == expected


def test_threads_of_the_program_take_turns(switching):
    expected = [many(n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            assert list(pool.map(many.with_options(cache=False), range(8))) == expected


def test_tasks_with_a_generator_run_side_by_side():
    both = threading.Barrier(2)

    @task(seed=7, cache=Cache(version="1"))
    def meets(n: int, rng: random.Random):
        return both.wait(timeout=30) >= 0

    assert meets.with_options(workers=2).map([1, 2]) == [True, True]


def test_a_body_that_fails_lets_the_next_one_in():
    failing = task(seed=7)(fails)
    for _ in range(3):
        with pytest.raises(LookupError):
            failing.map([1, 2, 3])
    assert SEEDED(1) == of(SEEDED)


def test_worker_processes_draw_the_same(programs):
    programs.write(
        "library.py",
        """
        import random
        from thrifty import task, workflow

        @task
        def draw(n: int):
            import numpy
            return random.random(), numpy.random.random()

        @task
        def filled(n: int, seed: int, rng: random.Random):
            return seed, rng.random()

        @task
        def outer(n: int):
            return draw(n)

        @workflow(seed=7)
        def all_of_them():
            return draw(1), draw(2), filled(1), outer(1), draw.with_options(seed=None)(1)
        """,
    )
    programs.write(
        "main.py",
        """
        import library

        if __name__ == "__main__":
            threads = library.all_of_them.with_options(cache=False)
            processes = threads.with_options(executor="processes", workers=2)
            expected = threads()
            for _ in range(2):
                assert processes()[:4] == expected[:4]
            assert expected[0] == expected[3]
            assert processes()[4] != processes()[4]
            print("done")
        """,
    )
    assert programs.run("main.py") == "done\n"


# Libraries that come late, and those that are not here.


def test_a_library_that_the_body_imports_is_seeded(programs):
    programs.write(
        "program.py",
        """
        import random
        import sys
        from thrifty import task

        if "before" in sys.argv:
            import numpy

        @task(seed=7)
        def draw():
            import numpy
            return numpy.random.random()

        def drawn():
            import numpy
            return [numpy.random.random(), hasattr(numpy.random.__spec__.loader, "get_data")]

        finders = list(sys.meta_path)
        of_body = draw.with_options(cache=False)()
        assert ("numpy" in sys.modules) and sys.meta_path == finders
        print(of_body, draw.with_options(cache=False)() == of_body)
        number, has_loader = drawn()
        assert number != of_body and has_loader
        """,
    )
    late, early = programs.run("program.py"), programs.run("program.py", "before")
    assert late == early
    assert late.endswith("True\n")


TORCH = '''
"""As far as it is seeded."""

class cuda:
    state = None
    is_initialized = classmethod(lambda cls: cls.state is not None)
    get_rng_state_all = classmethod(lambda cls: cls.state)

    @classmethod
    def set_rng_state_all(cls, state):
        cls.state = state

state = "fresh"

def get_rng_state():
    return state

def set_rng_state(given):
    global state
    state = given

def manual_seed(number):
    global state
    state = number
    if cuda.state is not None:
        cuda.state = [number]
'''

TENSORFLOW = """
class random:
    seed = None

    @classmethod
    def set_seed(cls, number):
        cls.seed = number
"""


def test_torch_and_tensorflow_are_seeded(programs):
    programs.write("torch.py", TORCH)
    programs.write("tensorflow.py", TENSORFLOW)
    programs.write(
        "program.py",
        """
        import sys
        from thrifty import task

        @task(seed=7)
        def late():
            import tensorflow
            import torch
            return torch.state, tensorflow.random.seed, torch.cuda.state

        late = late.with_options(cache=False)
        number, other, devices = late()
        assert 0 <= number < 2**63 and 0 <= other < 2**31 and devices is None
        import torch
        assert torch.state == "fresh"
        assert late() == (number, other, None)
        torch.cuda.state = ["device"]
        assert late() == (number, other, [number])
        assert (torch.state, torch.cuda.state) == ("fresh", ["device"])
        print("done")
        """,
    )
    assert programs.run("program.py") == "done\n"


def test_a_library_that_cannot_be_imported_is_none_of_ours(monkeypatch):
    expected = of(SEEDED)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert of(SEEDED) == expected


def test_a_generator_that_cannot_be_seeded_is_an_error_and_lets_others_go_on(programs):
    programs.write("torch.py", TORCH + "\ndef manual_seed(number):\n    raise OSError('broken')\n")
    programs.write(
        "program.py",
        """
        import random
        import sys
        import torch
        from thrifty import task

        @task(seed=7)
        def draw():
            return random.random()

        before = random.getstate()
        try:
            draw()
        except OSError as error:
            print(error)
        assert random.getstate() == before
        del sys.modules["torch"]
        draw()
        """,
    )
    assert programs.run("program.py") == "broken\n"


# Processes and the command line.


def test_a_forked_child_is_in_the_body_alone(programs):
    programs.write(
        "program.py",
        """
        import os
        import random
        from thrifty import task

        @task(seed=7)
        def inner(n):
            return random.random()

        @task(seed=7)
        def forks(n):
            child = os.fork()
            drawn = random.random(), inner(n)
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            return drawn

        once = forks.with_options(workers=3, cache=False).map(range(3))
        assert once == forks.with_options(workers=3, cache=False).map(range(3))
        child = os.fork()
        inner(5)
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("done")
        """,
    )
    assert programs.run("program.py").endswith("done\n")


def test_the_command_line_gives_the_run_a_seed(programs):
    programs.write(
        "pipeline.py",
        """
        import random
        from thrifty import task, workflow

        @task
        def draw():
            return random.random()

        @task(seed=3)
        def pinned(seed: int) -> int:
            return seed

        @workflow(seed=7)
        def both():
            return draw(), pinned()
        """,
    )

    def run(*flags):
        return programs.run("-m", "thrifty", "run", "pipeline:both", *flags)

    seven, again, eight = run(), run("--seed", "7"), run("--seed", "8")
    assert again == seven
    drawn = [eval(text) for text in (seven, eight)]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] == drawn[1][1]
    assert "seed: 7 → 8" in programs.run("-m", "thrifty", "why")
    assert "invalid value" in programs.run(
        "-m", "thrifty", "run", "pipeline:both", "--seed=-1", code=2
    )
    programs.write("thrifty.toml", "seed = 5\n")
    shown = programs.run("-m", "thrifty", "config")
    assert any(line.split()[:2] == ["seed", "5"] for line in shown.splitlines())
    task_alone = programs.run("-m", "thrifty", "run", "pipeline:pinned", "--seed", "8")
    assert task_alone != programs.run("-m", "thrifty", "run", "pipeline:pinned")


def test_a_check_draws_what_the_stored_result_was_drawn_from(programs):
    programs.write(
        "library.py",
        """
        import random
        from thrifty import task, workflow

        @task
        def draw(n: int) -> float:
            return random.random()

        @task
        def filled(n: int, seed: int, rng: random.Random):
            return seed, rng.random()

        @workflow
        def nested(n: int, rng: random.Random):
            return [draw(n), draw(rng.randrange(100))]

        @workflow(seed=7)
        def outer():
            return draw(1), filled(draw(1)), nested(3)
        """,
    )
    programs.write(
        "main.py",
        """
        from library import outer

        if __name__ == "__main__":
            for seeded in (outer, outer.with_options(seed=8)):
                seeded()
                report = seeded.check()
                print(*sorted({check.verdict for check in report.checks}), len(report.checks))
        """,
    )
    assert programs.run("main.py") == "same 3\nsame 3\n"
