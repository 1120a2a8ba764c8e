"""What a type checker sees; `test_sdk_typing.py` lets one read this, and it is never run."""

from __future__ import annotations

from typing import assert_type

from thrifty import (
    Cache,
    File,
    Run,
    Secret,
    Sweep,
    Task,
    compute,
    log_metric,
    sweep,
    task,
    testing,
    workflow,
)


@task
def plain(a: int, b: str = "x", *, c: float = 0.0) -> list[int]:
    return [a]


@task(cache=Cache(version="1", ignore=("a",), expires="7d"), name="other")
def given(a: int) -> str:
    return str(a)


@task(cache=False)
def secret(token: Secret[str]) -> int:
    assert_type(token, str)
    return len(token)


@workflow
def whole(a: int) -> str:
    # A handle stands for the value, and type checkers see the value.
    rows = plain(a)
    assert_type(rows, list[int])
    return given(rows[0])


assert_type(plain(1), list[int])
assert_type(plain(1, b="y", c=1.0), list[int])
assert_type(whole(1), str)
assert_type(whole.run(1), Run[str])
assert_type(whole.run(1).value, str)
assert_type(plain.with_options(cache="refresh", workers=2)(1), list[int])
assert_type(given.with_overrides(cache=Cache(salt="x"))(1), str)
assert_type(given.map([1, 2]), list[str])
assert_type(given.defer(1), str)
assert_type(compute([given.defer(1)]), list[str])
assert_type(secret("hunter2"), int)
assert_type(given.key(1), str)
assert_type(sweep(given, {"a": [1, 2]}, metric=len, goal="minimize"), Sweep[str])
assert_type(sweep(given, [{"a": 1}], kind="mapping").best.value, str)
log_metric("loss", 0.5, step=1)
assert_type(File("x").digest, str)

function: Task[[int], str] = given

with testing.memory_cache(), testing.force_hit(given, "x"), testing.recorded() as calls:
    assert_type(calls.hits, list[str])

plain("1")  # error: reportArgumentType
plain()  # error: reportCallIssue
plain(1, d=1)  # error: reportCallIssue
_ = given.map()[0].nothing  # error: reportAttributeAccessIssue
given.with_options(cache="of")  # error: reportArgumentType
given.with_options(retries=1)  # error: reportCallIssue
sweep(given, {"a": [1]}, kind="gird")  # error: reportArgumentType
sweep(given, {"a": [1]}, stop={"metrik": 1})  # error: reportArgumentType
log_metric("loss", "high")  # error: reportArgumentType
Cache(verison="1")  # error: reportCallIssue
Cache(mode="of")  # error: reportArgumentType
task(cache=1)(given.__wrapped__)  # error: reportArgumentType, reportCallIssue
