"""Thrifty as it comes: ``@task`` and ``@workflow``."""

import os
import sys

os.environ["THRIFTY_HOME"] = sys.argv[2]

from importlib.metadata import version

import thrifty
from measures import System, main


def opened(folder: str) -> System:
    """The cache is where the environment says."""
    return System(thrifty.task, version("thrifty"), thrifty.workflow)


if __name__ == "__main__":
    main(opened)
