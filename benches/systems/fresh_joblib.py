"""M2: a program that makes one cached call."""

import sys
from time import monotonic_ns

from joblib import Memory


@Memory(sys.argv[1], verbose=0).cache
def stamp(x: int) -> int:
    """A trivial step."""
    return monotonic_ns()


print(stamp(1))
