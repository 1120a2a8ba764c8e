"""What a secret argument holds is in no text that is kept of a failure."""

from __future__ import annotations

import os
import sqlite3

import pytest
from thrifty import Cache, Secret, task, workflow

pytestmark = pytest.mark.usefixtures("home")

CANARY = "CANARY-sk-987654321"


@task
def refused(token: Secret[str]) -> int:
    raise ValueError(f"401 for token {token}")


@workflow
def refused_within(token: Secret[str]) -> int:
    return refused(token)


@task
def ends(n: int) -> int:
    raise ValueError("401 for user 7, retry")


def details(run):
    return [node["detail"] for node in run.nodes]


@pytest.fixture
def kept(home, reopen):
    """All bytes of the cache, when it is closed."""

    def read() -> bytes:
        reopen()
        return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    return read


def test_of_a_failing_call_the_text_is_kept_without_the_secret(kept):
    # Who calls sees what was raised, as it was.
    with pytest.raises(ValueError, match=f"401 for token {CANARY}"):
        refused(CANARY)
    bytes = kept()
    assert b"ValueError: 401 for token [secret]" in bytes
    assert b"CANARY" not in bytes


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_of_a_failing_operation_of_a_workflow(kept, executor):
    run = refused_within.with_options(executor=executor).run(CANARY)
    assert details(run)[-1] == "ValueError: 401 for token [secret]"
    with pytest.raises(ValueError, match=CANARY):
        assert run.value
    assert b"CANARY" not in kept()


def test_of_a_failure_that_is_shared_with_other_processes(kept, home):
    @task(cache=Cache(on_failure="share", serialize=True))
    def shared(token: Secret[str]) -> int:
        raise ValueError(f"no {token}")

    with pytest.raises(ValueError, match=CANARY):
        shared(CANARY)
    bytes = kept()
    catalog = sqlite3.connect(home / "catalog.sqlite")
    failures = [failure for (failure,) in catalog.execute("SELECT failure FROM slot") if failure]
    catalog.close()
    assert failures == ["ValueError: no [secret]"]
    assert b"CANARY" not in bytes


def test_a_failure_that_passes_through_bodies_that_were_given_no_secret(kept, monkeypatch):
    monkeypatch.setenv("TOKEN", CANARY)

    @task
    def inner(token: Secret[str]) -> int:
        return len(token)

    @task
    def outer(n: int) -> int:
        return refused(os.environ["TOKEN"])

    @task
    def afterwards(n: int) -> int:
        inner(os.environ["TOKEN"])
        raise ValueError("no " + os.environ["TOKEN"])

    @task
    def reads_it() -> int:
        raise ValueError("no " + os.environ["TOKEN"])

    @task
    def around(token: Secret[str]) -> int:
        return reads_it()

    inner(CANARY)
    for call in (lambda: outer(1), lambda: afterwards(1), lambda: around(CANARY)):
        with pytest.raises(ValueError, match=CANARY):
            call()
    assert b"CANARY" not in kept()


LINES = "-----BEGIN CANARY-----\nCANARY+line+of+it\n-----END CANARY-----\n"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (CANARY, "no [secret], no [secret]"),
        (LINES, "no [secret], no [secret]"),
        ('CANARY-"quoted\\', "no [secret], no [secret]"),
        ("CANARY-\u00fc\u0001", "no [secret], no [secret]"),
    ],
)
def test_a_secret_is_found_as_it_is_and_as_python_writes_it(kept, secret, text):
    @task
    def both(token: Secret[str]) -> int:
        raise ValueError(f"no {token.strip()}, no {token!r}")

    run = both.run(secret)
    assert details(run)[0].replace("'", "").replace('"', "") == f"ValueError: {text}"
    assert b"CANARY" not in kept()


def test_secrets_in_bytes_lists_and_dicts_are_found(kept):
    @task
    def parts(token: Secret[object]) -> int:
        found = [token[0].decode(), token[0], token[1]["CANARY-name"], *token[1], token[2][0]]
        raise ValueError(f"no {found} and not {12345678}, 7 users")

    assert details(parts.run([b"CANARY-0\xff"[:8], {"CANARY-name": "CANARY-1"}, (12345678,)])) == [
        "ValueError: no ['[secret]', b'[secret]', '[secret]', '[secret]', [secret]]"
        " and not [secret], 7 users"
    ]
    assert b"CANARY" not in kept()


class Credentials:
    def __init__(self, token: str) -> None:
        self.token = token


@pytest.mark.parametrize("secret", ["abc", ["CANARY", "abc"], Credentials("abc"), ["x"] * 10_001])
def test_what_cannot_be_told_from_the_rest_is_withheld_with_all_of_the_text(kept, secret):
    @task
    def short(token: Secret[object]) -> int:
        raise LookupError("no xabcx, of CANARY")

    assert details(short.run(secret)) == ["LookupError: [withheld: it may hold a secret]"]
    assert b"CANARY" not in kept()


def test_other_texts_stay_as_they_are():
    assert details(ends.run(1)) == ["ValueError: 401 for user 7, retry"]

    @task
    def calm(token: Secret[str], also: Secret[str], n: Secret[object]) -> int:
        raise ValueError("401 for user 7, retry")

    assert details(calm.run("abc", CANARY, [None, True, "", 3])) == [
        "ValueError: 401 for user 7, retry"
    ]
    with pytest.raises(ValueError, match="401"):
        calm("user", "retry", 7)
    # What was secret in a call that is over says nothing of others.
    assert details(ends.run(2)) == ["ValueError: 401 for user 7, retry"]


def test_what_a_key_function_makes_of_a_secret_is_not_shown(kept):
    @task(cache=Cache(key=lambda token: token))
    def keyed(token: Secret[str]) -> int:
        return len(token)

    assert keyed(CANARY) == len(CANARY)
    assert b"CANARY" not in kept()
