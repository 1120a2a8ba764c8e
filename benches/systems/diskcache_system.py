"""diskcache: ``Cache.memoize`` on each function, and ``barrier`` where one process is to compute.

Code is no part of its keys.
"""

from collections.abc import Callable
from typing import Any

import diskcache
from measures import System, main

SIZE_LIMIT = 2**40
"""The default of 1 GiB would evict the big values."""


def opened(folder: str) -> System:
    """A cache in the folder."""
    cache = diskcache.Cache(folder, size_limit=SIZE_LIMIT)

    def serialized(function: Callable[..., Any]) -> Callable[..., Any]:
        return diskcache.barrier(cache, diskcache.Lock)(cache.memoize()(function))

    return System(cache.memoize(), diskcache.__version__, serialized=serialized)


if __name__ == "__main__":
    main(opened)
