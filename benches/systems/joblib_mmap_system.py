"""joblib with arrays by memory map, read-only and not verified."""

import joblib
from measures import System, main


def opened(folder: str) -> System:
    """A memory in the folder."""
    return System(joblib.Memory(folder, mmap_mode="r", verbose=0).cache, joblib.__version__)


if __name__ == "__main__":
    main(opened)
