"""Children of a process that uses the cache: fork, spawn and forkserver, at the worst moments."""

from __future__ import annotations

import pytest
from processes import runner


@pytest.mark.parametrize("vehicle", runner.VEHICLES)
@pytest.mark.parametrize("moment", runner.MOMENTS)
@pytest.mark.parametrize("method", runner.METHODS)
def test_children_use_the_cache_and_own_nothing_of_their_parent(tmp_path, method, moment, vehicle):
    # A fork copies whatever its parent is doing, so it gets more rounds than fresh interpreters.
    rounds = 3 if method == "fork" else 1
    said = runner.run(tmp_path, "matrix", method, moment, vehicle, rounds)
    assert said.endswith(" 0 wrong\n")
