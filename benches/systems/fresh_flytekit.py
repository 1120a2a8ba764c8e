"""M2: a program that makes one cached call."""

import os
import sys
from time import monotonic_ns

os.environ["FLYTE_LOCAL_CACHE_ENABLED"] = "true"
os.environ["HOME"] = sys.argv[1]

from flytekit import task


@task(cache=True, cache_version="1")
def stamp(x: int) -> int:
    """A trivial step."""
    return monotonic_ns()


print(stamp(x=1))
