"""diskcache: ``Cache.memoize`` on each function. Code is no part of its keys."""

import diskcache
from measures import System, main

SIZE_LIMIT = 2**40
"""The default of 1 GiB would evict the big values."""


def opened(folder: str) -> System:
    """A cache in the folder."""
    return System(diskcache.Cache(folder, size_limit=SIZE_LIMIT).memoize(), diskcache.__version__)


if __name__ == "__main__":
    main(opened)
