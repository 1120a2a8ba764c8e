"""Checks the vectors of `docs/formats/key.md` without any code of the library.

    python tools/check_key_vectors.py

Everything is computed anew from what a line says: the encoding from the Python expression, the
digest from the encoding, ingredients from the digests of their parts, keys from those of
ingredients. Exits with 1 and names the lines that differ.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import key_format
import key_libraries
import key_values

VECTORS = Path(__file__).parents[1] / "docs/formats/vectors/key.txt"
MODULES = (
    "collections",
    "datetime",
    "decimal",
    "fractions",
    "pathlib",
    "re",
    "types",
    "uuid",
    "numpy",
    "pandas",
)


@dataclass
class Report:
    """What was found."""

    checked: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def expect(self, what: str, line: str, found: bytes, expected: str) -> None:
        """Notes one comparison."""
        self.checked[what] += 1
        if found.hex() != expected:
            self.wrong.append(f"{what} of {line[:70]}: {found.hex()[:200]} is not {expected[:200]}")


def names() -> dict[str, Any]:
    """What the expressions may use."""
    cycle: list[Any] = []
    cycle.append(cycle)
    found: dict[str, Any] = {"cycle": cycle, **key_libraries.STAND_INS}
    for module in MODULES:
        try:
            found[module] = importlib.import_module(module)
        except ImportError:
            continue
    return found


def check_value(report: Report, fields: list[str], scope: dict[str, Any]) -> None:
    """An expression, its encoding, and its digest."""
    expression, encoding, digest = fields
    report.expect("digest", expression, key_format.digest(bytes.fromhex(encoding)), digest)
    try:
        encoded = key_values.encode(eval(expression, dict(scope)))
    except (NameError, ImportError, key_values.Elsewhere):
        report.checked["value whose library has no rule here, or is not installed"] += 1
        return
    # Long parts may be replaced by their digests, which only the digest of the whole can tell.
    report.expect("encoded value", expression, key_format.digest(encoded), digest)
    if key_format.holds_no_digest(bytes.fromhex(encoding)):
        report.expect("encoding", expression, encoded, encoding)


def check_fold(report: Report, fields: list[str]) -> None:
    """An encoding with outputs in it, what those contribute, and the digest."""
    encoding, contribution, digest = fields
    found = key_format.digest(bytes.fromhex(encoding), lambda _: bytes.fromhex(contribution))
    report.expect("fold", encoding, found, digest)


def named(text: str) -> dict[str, bytes]:
    """Names and digests."""
    pairs = (part.rsplit("=", 1) for part in text.split(", "))
    return {name: bytes.fromhex(digest) for name, digest in pairs}


def check(text: str) -> Report:
    """All lines of a file of vectors."""
    report, scope = Report(), names()
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        what, *fields = line.split(" | ")
        if what == "value":
            check_value(report, fields, scope)
        elif what == "fold":
            check_fold(report, fields)
        elif what == "ingredient":
            kind, parts, digest = fields
            report.expect(what, line, key_format.ingredient(kind, named(parts)), digest)
        elif what == "key":
            report.expect(what, line, key_format.key(named(fields[0])), fields[1])
        else:
            report.wrong.append(f"a line of an unknown kind: {line[:70]}")
    return report


def main() -> int:
    """The exit code."""
    report = check(VECTORS.read_text("utf-8"))
    for what, count in sorted(report.checked.items()):
        print(f"{count:5} {what}")
    for wrong in report.wrong:
        print(wrong)
    print(f"{len(report.wrong)} wrong")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
