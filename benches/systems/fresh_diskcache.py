"""M2: a program that makes one cached call."""

import sys
from time import monotonic_ns

from diskcache import Cache


@Cache(sys.argv[1]).memoize()
def stamp(x: int) -> int:
    """A trivial step."""
    return monotonic_ns()


print(stamp(1))
