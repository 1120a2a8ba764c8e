"""joblib: ``Memory.cache`` on each function."""

import joblib
from measures import System, main


def opened(folder: str) -> System:
    """A memory in the folder."""
    return System(joblib.Memory(folder, verbose=0).cache, joblib.__version__)


if __name__ == "__main__":
    main(opened)
