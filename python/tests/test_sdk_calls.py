"""Calls of tasks: what is a hit, what is not, and what comes back."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
import thrifty
from thrifty import Cache, HashMethod, Secret, task, testing, workflow

pytestmark = pytest.mark.usefixtures("home")


@task
def add(a: int, b: int = 2, *more: int, scale: int = 1, **named: int) -> int:
    """Adds."""
    return (a + b + sum(more) + sum(named.values())) * scale


def outcome(call, *args, **kwargs):
    """What became of one call."""
    with testing.recorded() as calls:
        call(*args, **kwargs)
    assert len(calls.computed) + len(calls.hits) == 1, calls
    return "hit" if calls.hits else "computed"


def test_second_call_is_a_hit():
    assert add(1) == 3
    assert outcome(add, 1) == "hit"
    assert add(1) == 3


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2), {}), ((), {"a": 1}), ((), {"b": 2, "a": 1}), ((1,), {"scale": 1})],
)
def test_the_same_arguments_however_written(args, kwargs):
    add(1)
    assert outcome(add, *args, **kwargs) == "hit"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((2,), {}),
        ((True,), {}),
        ((1.0,), {}),
        ((1, 2, 0), {}),
        ((1,), {"scale": 2}),
        ((1,), {"c": 0}),
        ((np.int64(1),), {}),
    ],
)
def test_other_arguments(args, kwargs):
    add(1)
    assert outcome(add, *args, **kwargs) == "computed"


@task
def columns(a=0, b=0, **rest):
    return list(rest)


def test_the_order_of_keywords_that_have_no_parameter_counts():
    assert columns(x=1, y=2) == ["x", "y"]
    assert outcome(columns, y=2, x=1) == "computed"
    assert columns(y=2, x=1) == ["y", "x"]
    assert outcome(columns, x=1, y=2) == "hit"


@pytest.mark.parametrize(
    ("first", "second"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({"a": 1, "x": 2}, {"x": 2, "a": 1})],
)
def test_the_order_of_keywords_that_have_one_does_not_count(first, second):
    columns(**first)
    assert outcome(columns, **second) == "hit"


def test_the_order_of_keywords_in_a_workflow():
    @workflow
    def both():
        return columns(x=columns(a=5), y=columns(b=6)), columns(y=columns(b=6), x=columns(a=5))

    assert both() == (["x", "y"], ["y", "x"])


def test_more_positional_and_named_arguments_arrive():
    assert add(1, 2, 3, 4, scale=10, x=5) == 150
    assert outcome(add, 1, 2, 3, 4, x=5, scale=10) == "hit"


def test_wrong_arguments_raise_what_python_raises():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        add()
    with pytest.raises(TypeError, match="multiple values for argument 'a'"):
        add(1, a=1)


def test_a_fresh_process_hits(programs):
    programs.write(
        "pipeline.py",
        """
        from thrifty import task

        @task
        def slow(n: int) -> list[int]:
            print("computing")
            return list(range(n))

        if __name__ == "__main__":
            print(slow(3))
        """,
    )
    assert programs.run("pipeline.py") == "computing\n[0, 1, 2]\n"
    assert programs.run("pipeline.py") == "[0, 1, 2]\n"
    # However the module is run, it is the same operation.
    assert programs.run("-m", "pipeline") == "[0, 1, 2]\n"
    assert programs.run("-c", "import pipeline; print(pipeline.slow(n=3))") == "[0, 1, 2]\n"


def test_none_is_a_result_like_others():
    @task
    def nothing() -> None:
        print("ran")

    assert nothing() is None
    assert outcome(nothing) == "hit"


@task(cache=Cache(ignore="verbose"))
def ignoring(a: int, verbose: bool = False) -> int:
    return a


@task(cache=Cache(inputs=("a",)))
def choosing(a: int, b: int = 0) -> int:
    return a + b


@task(cache=Cache(key=lambda text, times: text.lower()))
def keyed(text: str, times: int) -> str:
    return text * times


@pytest.mark.parametrize(
    ("call", "first", "same", "other"),
    [
        (ignoring, (1, False), (1, True), (2, False)),
        (choosing, (1, 0), (1, 5), (2, 0)),
        (keyed, ("A", 1), ("a", 3), ("b", 1)),
    ],
)
def test_which_parameters_enter_the_key(call, first, same, other):
    call(*first)
    assert outcome(call, *same) == "hit"
    assert outcome(call, *other) == "computed"


def test_ignored_parameters_may_have_no_digest(tmp_path):
    with open(tmp_path / "log", "w") as log:
        assert ignoring(1, log) == 1  # pyright: ignore
        assert outcome(ignoring, 1, print) == "hit"


@task
def plain(a: int) -> int:
    return a


VARIANTS = {
    "version": (Cache(version="1"), Cache(version="1"), Cache(version="2")),
    "version as number": (Cache(version=1), Cache(version="1"), Cache(version=2)),
    "salt": (Cache(salt="a"), Cache(salt="a"), Cache(salt="b")),
    "no salt": (Cache(), Cache(), Cache(salt="")),
    "code": (Cache(code="closure"), Cache(code="closure"), Cache(code="none")),
    "packages": (Cache(packages="numpy"), Cache(packages=("numpy",)), Cache()),
    "serialize": (Cache(serialize=True), Cache(serialize=False), Cache(version="1")),
    "expires": (Cache(expires="7d"), Cache(), Cache(expires="7d", salt="x")),
    "on_failure": (Cache(on_failure="share"), Cache(on_failure="next"), Cache(salt="x")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_field_changes(name):
    first, same, other = VARIANTS[name]
    assert plain.with_overrides(cache=first)(1) == 1
    assert outcome(plain.with_overrides(cache=same), 1) == "hit"
    assert outcome(plain.with_overrides(cache=other), 1) == "computed"


def test_environment_variables_by_value(monkeypatch):
    watching = plain.with_overrides(cache=Cache(env="REGION"))
    watching(1)
    assert outcome(watching, 1) == "hit"
    monkeypatch.setenv("REGION", "")
    assert outcome(watching, 1) == "computed"
    monkeypatch.setenv("REGION", "north")
    assert outcome(watching, 1) == "computed"
    monkeypatch.setenv("OTHER", "x")
    assert outcome(watching, 1) == "hit"
    monkeypatch.delenv("REGION")
    assert outcome(watching, 1) == "hit"


@pytest.mark.parametrize("field", ["files", "sources"])
def test_files_by_content(tmp_path, field):
    path = tmp_path / "settings.py"
    path.write_text("A = 1\n")
    watching = plain.with_overrides(cache=Cache(**{field: path}))
    watching(1)
    os.utime(path, (1, 1))
    assert outcome(watching, 1) == "hit"
    path.write_text("A = 2\n")
    assert outcome(watching, 1) == "computed"
    path.write_text("A = 1\n")
    assert outcome(watching, 1) == "hit"
    path.unlink()
    with pytest.raises(ValueError, match=rf"settings.py.*Cache\({field}="):
        watching(2)


def test_expired_and_too_old_entries():
    brief = plain.with_overrides(cache=Cache(expires=0))
    brief(1)
    assert outcome(brief, 1) == "computed"
    plain(2)
    # Ages are counted in milliseconds.
    written = time.time()
    while time.time() < written + 0.01:
        pass
    assert outcome(plain.with_overrides(cache=Cache(max_age=0)), 2) == "computed"
    assert outcome(plain.with_overrides(cache=Cache(max_age="1h")), 2) == "hit"


def test_a_version_stands_for_the_code():
    def define(constant):
        @task(cache=Cache(version="1"), name="constant")
        def f() -> int:
            return constant

        return f

    assert define(1)() == 1
    assert define(2)() == 1
    assert define(2).with_overrides(cache=Cache(version="2"))() == 2


def test_code_and_closures_count():
    def define(constant):
        @task(name="constant")
        def f() -> int:
            return constant

        return f

    assert define(1)() == 1
    assert define(2)() == 2
    assert outcome(define(1)) == "hit"


def test_declared_types_count():
    def define(declared):
        def f(a):
            return a

        f.__annotations__ = {"a": declared}
        return task(name="declared")(f)

    define(int)(1)
    assert outcome(define(int), 1) == "hit"
    assert outcome(define(float), 1) == "computed"


@task
def arrays(n: int) -> dict[str, Any]:
    return {"array": np.arange(n), "frame": pd.DataFrame({"x": range(n)})}


def test_changing_a_result_changes_nothing_else():
    first = arrays(100_000)
    first["array"][:] = 7
    first["frame"].loc[0, "x"] = 7
    first["more"] = 1
    for _ in range(2):
        again = arrays(100_000)
        assert set(again) == {"array", "frame"}
        assert again["array"][:3].tolist() == [0, 1, 2]
        assert again["frame"]["x"][:3].tolist() == [0, 1, 2]
        again["array"][:] = 9
        again["frame"]["x"] = 9


def test_changing_an_argument_in_the_body():
    @task
    def drop_last(items: list[int]) -> int:
        items.pop()
        return len(items)

    items = [1, 2, 3]
    assert drop_last(items) == 2
    assert items == [1, 2]
    assert drop_last([1, 2, 3]) == 2
    assert drop_last(items) == 1


class Fault(Exception):
    pass


@task
def failing(a: int) -> int:
    raise Fault(a)


def test_an_exception_is_the_users_own():
    with pytest.raises(Fault) as raised:
        failing(1)
    assert raised.value.args == (1,)
    assert raised.traceback[-1].name == "failing"
    assert raised.value.__cause__ is None
    with testing.recorded() as calls, pytest.raises(Fault):
        failing(1)
    assert calls.failed == ["failing"]


@pytest.mark.parametrize("way", ["generator", "file", "lock", "nested"])
def test_an_argument_without_a_digest(way, tmp_path):
    import threading

    values = {
        "generator": ((n for n in range(3)), "a: generator"),
        "file": (open(tmp_path / "x", "w"), "a: "),
        "lock": (threading.Lock(), "a: "),
        "nested": ({"model": [1, {"hook": (n for n in range(3))}]}, 'a["model"][1]["hook"]: gener'),
    }
    value, path = values[way]
    with pytest.raises(thrifty.UnhashableArgument) as raised:
        plain(value)
    message = str(raised.value)
    assert path in message
    assert "ignore" in message
    assert "HashMethod" in message
    for opened, _ in values.values():
        getattr(opened, "close", lambda: None)()


def test_a_hash_method_stands_for_the_value():
    @task
    def size(rows: Annotated[list[int], HashMethod(len)]) -> int:
        return len(rows)

    size([1, 2])
    assert outcome(size, [3, 4]) == "hit"
    assert outcome(size, [3, 4, 5]) == "computed"


def test_a_hash_method_must_give_text_bytes_or_a_number():
    @task
    def size(rows: Annotated[list[int], HashMethod(list)]) -> int:
        return len(rows)

    with pytest.raises(TypeError, match="rows must return str, bytes or int, and returned list"):
        size([1])


def test_a_secret_is_written_nowhere(home, reopen):
    @task
    def connect(url: str, token: Secret[str], also: Secret[list[str]]) -> int:
        return len(token)

    secrets = "hunter2-aaaa", ["hunter3-bbbb"]
    assert connect("db", *secrets) == 12
    assert connect.run("db", *secrets).nodes[0]["outcome"].startswith("hit")
    assert connect.run("db", "hunter4-cccc", []).nodes[0]["outcome"] == "computed"
    reopen()
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"connect" in kept
    assert b"hunter" not in kept


def test_a_task_as_an_argument_counts_by_its_code():
    def define(constant):
        @task(name="given")
        def f(a: int) -> int:
            return a + constant

        return f

    @task
    def apply(function, a: int) -> int:
        return function(a)

    assert apply(define(1), 1) == 2
    assert outcome(apply, define(1), 1) == "hit"
    assert apply(define(2), 1) == 3


def test_a_task_that_is_passed_by_a_changed_module(programs):
    text = """
    from thrifty import task

    @task
    def step(a):
        return a + 1

    @task
    def apply(function, a):
        return function(a)

    STEPS = {"step": step}

    @task
    def registered(name, a):
        return STEPS[name](a)

    STEPS["registered"] = registered
    """
    show = "import steps; print(steps.apply(steps.step, 1), steps.registered('step', 1))"
    programs.write("steps.py", text)
    assert programs.run("-c", show) == "2 2\n"
    programs.write("steps.py", text.replace("a + 1", "a + 2"))
    assert programs.run("-c", show) == "3 3\n"


def test_a_module_that_an_older_file_has_replaced_since_it_was_imported(programs):
    text = """
    from thrifty import task

    @task
    def step(a):
        return a + 1
    """
    programs.write("steps.py", text)
    programs.write("older.py", text.replace("a + 1", "a + 2"))
    replace = "import os, steps; os.utime('older.py', (0, 0)); os.replace('older.py', 'steps.py');"
    assert programs.run("-c", replace + "print(steps.step(1))") == "2\n"
    assert programs.run("-c", "import steps; print(steps.step(1))") == "3\n"


def test_the_key_says_which_calls_are_one():
    assert add.key(1) == add.key(a=1, b=2)
    assert add.key(1) != add.key(2)
    assert len(add.key(1)) == 64


def test_arguments_that_do_not_fit_have_no_key():
    with pytest.raises(TypeError):
        add.key()


def test_an_interpreter_that_leaves_out_assertions_has_keys_of_its_own(programs):
    programs.write(
        "checked.py",
        """
        from thrifty import task

        @task
        def positive(n: int) -> int:
            assert n > 0
            return n

        print(positive(-1))
        """,
    )
    assert programs.run("-O", "checked.py") == "-1\n"
    assert "AssertionError" in programs.run("checked.py", code=1)
    programs.write("key.py", "import checked\nprint(checked.positive.key(1))")
    programs.write(
        "checked.py", "from thrifty import task\n@task\ndef positive(n: int) -> int: return n"
    )
    keys = [programs.run(*flags, "key.py") for flags in ([], ["-O"], ["-OO"], [])]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]
