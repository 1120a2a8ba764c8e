"""Where two values differ, and how: a line a place."""

from __future__ import annotations

import sys
from typing import Any

from thrifty import _native

# How many places are told.
_PLACES = 8

# How deep values are looked into; below, they differ as a whole.
_DEPTH = 12

# Columns longer than this are not gone through value by value.
_ROWS = 1_000_000


def differences(stored: Any, made: Any, *, shows: bool = True) -> list[str]:
    """The places where ``made`` is not ``stored``; without ``shows``, no value is told.

    >>> differences({"rmse": 0.5, "rows": [1, 2]}, {"rmse": 0.75, "rows": [1, 2, 3]})
    ['result["rmse"]: 0.5 → 0.75 (by 0.25)', 'result["rows"]: 2 elements → 3']
    >>> differences([1], [1])
    []
    """
    if not shows:
        return ["result: differs, and is not shown: there is a secret in it"]
    places = _Places()
    places.compare("result", stored, made, 0)
    if places.left_out:
        places.lines.append(f"… and at {places.left_out} more places")
    return places.lines


def _same(one: Any, other: Any) -> bool:
    digest = _native.result_digest(one)
    # What has no digest is no reason to say nothing of the rest.
    return one is other if digest is None else digest == _native.result_digest(other)


def _shown(value: Any) -> str:
    return _native.preview(value)


class _Places:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left_out = 0

    def tell(self, place: str, what: str) -> None:
        if len(self.lines) < _PLACES:
            self.lines.append(f"{place}: {what}")
        else:
            self.left_out += 1

    def compare(self, place: str, one: Any, other: Any, depth: int) -> None:
        if _same(one, other):
            return
        before = len(self.lines) + self.left_out
        kind = type(one)
        if kind is not type(other):
            self.tell(place, f"a {_name(one)} → a {_name(other)}")
            return
        within = _looks_within(one) if depth < _DEPTH else None
        if within is not None:
            within(self, place, one, other, depth + 1)
        if len(self.lines) + self.left_out == before:
            old, new = _shown(one), _shown(other)
            alike = f"another {_name(one)}, shown alike: {new}"
            self.tell(place, alike if old == new else f"{old} → {new}")

    def mapping(self, place: str, one: Any, other: Any, depth: int) -> None:
        for key, value in one.items():
            if key in other:
                self.compare(f"{place}[{_shown(key)}]", value, other[key], depth)
            else:
                self.tell(f"{place}[{_shown(key)}]", "is gone")
        for key in other:
            if key not in one:
                self.tell(f"{place}[{_shown(key)}]", "is new")

    def sequence(self, place: str, one: Any, other: Any, depth: int) -> None:
        if len(one) != len(other):
            self.tell(place, f"{len(one)} elements → {len(other)}")
            return
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            self.compare(f"{place}[{number}]", left, right, depth)

    def members(self, place: str, one: Any, other: Any, depth: int) -> None:
        gone, new = len(one - other), len(other - one)
        self.tell(place, f"{gone} elements are gone, {new} are new")

    def flag(self, place: str, one: Any, other: Any, depth: int) -> None:
        self.tell(place, f"{one} → {other}")

    def number(self, place: str, one: Any, other: Any, depth: int) -> None:
        try:
            apart = abs(complex(other) - complex(one))
        except OverflowError:  # integers that no float holds
            apart = float("inf")
        by = f" (by {apart:.3g})" if apart < float("inf") else ""
        # An integer may have more digits than Python writes.
        shown = _shown if isinstance(one, int) else str
        self.tell(place, f"{shown(one)} → {shown(other)}{by}")

    def text(self, place: str, one: Any, other: Any, depth: int) -> None:
        pairs = enumerate(zip(one, other, strict=False))
        at = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
        unit = "character" if isinstance(one, str) else "byte"
        start = max(0, at - 10)
        old, new = one[start : at + 30], other[start : at + 30]
        lengths = "" if len(one) == len(other) else f", {len(one)} {unit}s → {len(other)}"
        self.tell(place, f"from {unit} {at} on: {old!r} → {new!r}{lengths}")

    def file(self, place: str, one: Any, other: Any, depth: int) -> None:
        self.tell(place, f"other bytes in {other.name}, {one.size} bytes → {other.size}")

    def directory(self, place: str, one: Any, other: Any, depth: int) -> None:
        old, new = (
            {str(file.path.relative_to(each.path)): file for file in each.files()}
            for each in (one, other)
        )
        self.mapping(place, old, new, depth)

    def attributes(self, place: str, one: Any, other: Any, depth: int) -> None:
        left, right = _state(one), _state(other)
        for name in [*left, *(name for name in right if name not in left)]:
            if name not in left or name not in right:
                self.tell(f"{place}.{name}", "is new" if name in right else "is gone")
            else:
                self.compare(f"{place}.{name}", left[name], right[name], depth)

    def array(self, place: str, one: Any, other: Any, depth: int) -> None:
        if one.dtype != other.dtype:
            self.tell(place, f"dtype {one.dtype} → {other.dtype}")
        elif one.shape != other.shape:
            self.tell(place, f"shape {one.shape} → {other.shape}")
        elif one.dtype.kind in "biufcmMSU":
            self._elements(place, one, other)
        elif one.dtype.kind == "O" and one.size <= _ROWS:
            pairs = zip(one.flat, other.flat, strict=True)
            count = sum(not _same(left, right) for left, right in pairs)
            self.tell(place, f"{count} of {one.size} elements differ")

    def _elements(self, place: str, one: Any, other: Any) -> None:
        import numpy as np

        # Not a number is not a difference to not a number.
        unequal = (one != other) & ~((one != one) & (other != other))
        count = int(np.count_nonzero(unequal))
        if not count:
            self.tell(place, "equal elements with other bits, such as 0.0 and -0.0")
            return
        left, right = np.atleast_1d(one)[unequal], np.atleast_1d(other)[unequal]
        line = f"{count} of {one.size} elements differ"
        if one.dtype.kind in "iufc":
            wide = complex if one.dtype.kind == "c" else float
            with np.errstate(all="ignore"):
                apart = np.abs(right.astype(wide) - left.astype(wide))
            apart = apart[np.isfinite(apart)]
            line += f", by {apart.max():.3g} at most" if apart.size else ""
        self.tell(place, f"{line}; the first: {left[0]} → {right[0]}")

    def frame(self, place: str, one: Any, other: Any, depth: int) -> None:
        old, new = list(one.columns), list(other.columns)
        if old != new:
            self._columns(place, old, new)
            return
        if len(one) != len(other):
            self.tell(place, f"{len(one)} rows → {len(other)}")
            return
        self.compare(f"{place}.index", one.index, other.index, depth)
        for number, name in enumerate(old):
            left, right = one.iloc[:, number], other.iloc[:, number]
            self.compare(f"{place}[{_shown(name)}]", left.array, right.array, depth)

    def _columns(self, place: str, old: list[Any], new: list[Any]) -> None:
        gone = [name for name in old if name not in new]
        added = [name for name in new if name not in old]
        for names, what in ((gone, "is gone"), (added, "is new")):
            for name in names:
                self.tell(f"{place}[{_shown(name)}]", what)
        if not gone and not added:
            self.tell(place, f"columns in another order: {_shown(old)} → {_shown(new)}")

    def series(self, place: str, one: Any, other: Any, depth: int) -> None:
        if len(one) != len(other):
            self.tell(place, f"{len(one)} rows → {len(other)}")
            return
        self.compare(f"{place}.index", one.index, other.index, depth)
        self.compare(f"{place}.name", one.name, other.name, depth)
        self.compare(place, one.array, other.array, depth)

    def column(self, place: str, one: Any, other: Any, depth: int) -> None:
        if one.dtype != other.dtype:
            self.tell(place, f"dtype {one.dtype} → {other.dtype}")
        elif len(one) != len(other):
            self.tell(place, f"{len(one)} rows → {len(other)}")
        else:
            self.array(place, _numpy(one), _numpy(other), depth)


def _numpy(column: Any) -> Any:
    """The values of a column of pandas as an array: of numbers, if they are numbers."""
    return column.to_numpy() if hasattr(column, "to_numpy") else column


def _name(value: Any) -> str:
    kind = type(value)
    home = kind.__module__
    return kind.__qualname__ if home == "builtins" else f"{home.partition('.')[0]}.{kind.__name__}"


def _state(value: Any) -> dict[str, Any]:
    """The attributes of an object, by name."""
    state = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                state.setdefault(name, getattr(value, name))
    return state


def _looks_within(value: Any) -> Any:
    """How values like this are compared part by part; ``None`` if they have no parts."""
    for kind, way in _ways():
        if isinstance(value, kind):
            return way
    return _Places.attributes if _state(value) else None


def _ways() -> list[tuple[Any, Any]]:
    ways: list[tuple[Any, Any]] = [
        (dict, _Places.mapping),
        ((list, tuple), _Places.sequence),
        ((set, frozenset), _Places.members),
        (bool, _Places.flag),
        ((str, bytes), _Places.text),
        ((int, float, complex), _Places.number),
    ]
    # Only of what is loaded there can be a value.
    if numpy := sys.modules.get("numpy"):
        ways += [(numpy.ndarray, _Places.array), (numpy.number, _Places.number)]
    if pandas := sys.modules.get("pandas"):
        ways += [
            (pandas.DataFrame, _Places.frame),
            ((pandas.Series,), _Places.series),
            ((pandas.Index, pandas.api.extensions.ExtensionArray), _Places.column),
        ]
    if files := sys.modules.get("thrifty.files"):
        ways += [(files.File, _Places.file), (files.Dir, _Places.directory)]
    return ways
