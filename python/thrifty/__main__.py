"""The command ``thrifty``, and ``python -m thrifty``."""

from __future__ import annotations

import sys

from thrifty import _native


def main() -> int:
    """Runs the command line of this process; returns its exit code."""
    return _native.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
