"""What is shared of a failure with others who wait for the same."""

from __future__ import annotations

import sqlite3

import pytest
from thrifty import Cache, task


class Stopped(BaseException):
    """Ends the program, as `SystemExit` does."""


@task(cache=Cache(on_failure="share", serialize=True, ignore=("raised",)))
def ends(raised: BaseException) -> int:
    raise raised


def shared(home):
    catalog = sqlite3.connect(home / "catalog.sqlite")
    failures = [failure for (failure,) in catalog.execute("SELECT failure FROM slot") if failure]
    catalog.close()
    return failures


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), Stopped("now")])
def test_who_is_stopped_says_nothing_about_the_work(home, raised):
    with pytest.raises(type(raised)) as told:
        ends(raised)
    assert told.value is raised
    assert shared(home) == []


def test_a_failure_is_shared(home):
    with pytest.raises(ValueError, match="no such rate"):
        ends(ValueError("no such rate"))
    assert shared(home) == ["ValueError: no such rate"]
