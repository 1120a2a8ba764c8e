"""flytekit, run locally: ``@task(cache=True)`` and ``@workflow``. No code in its keys."""

import os
import sys

os.environ["FLYTE_LOCAL_CACHE_ENABLED"] = "true"
os.environ["HOME"] = sys.argv[2]  # where its local cache is kept

import flytekit
from measures import System, main


def opened(folder: str) -> System:
    """Its local cache is under the home directory, which is the folder."""
    cached = flytekit.task(cache=True, cache_version="1")
    return System(cached, flytekit.__version__, flytekit.workflow)


if __name__ == "__main__":
    main(opened)
