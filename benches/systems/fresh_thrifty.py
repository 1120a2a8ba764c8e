"""M2: a program that makes one cached call."""

import os
import sys
from time import monotonic_ns

os.environ["THRIFTY_HOME"] = sys.argv[1]

from thrifty import task


@task
def stamp(x: int) -> int:
    """A trivial step."""
    return monotonic_ns()


print(stamp(1))
