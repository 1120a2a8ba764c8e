"""Any value through the value walker: a digest or an error, never a crash.

The digest is the same for a copy, after a pickle, and whatever order sets and dicts were filled in.
Run by ``make fuzz``, under Atheris. The walker is native, so what guides the fuzzer is which kinds
of values it made.
"""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import sys
import uuid
from typing import Any

import atheris
from thrifty import _native


class Point:
    """An ordinary object."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slotted:
    """An object whose attributes are no dict."""

    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Colour(enum.Enum):
    """Two values."""

    RED = 1
    BLUE = "blue"


class Hostile:
    """Says whatever the fuzzer wants when it is taken apart."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.answer


DEEPEST = 12


class Values:
    """Values out of the fuzzer's bytes."""

    def __init__(self, data: bytes) -> None:
        self.source = atheris.FuzzedDataProvider(data)
        self.made: list[Any] = []
        self.is_hostile = False

    @atheris.instrument_func
    def any(self, depth: int = 0) -> Any:
        """A value; a container now and then, or one that was made before."""
        kind = self.source.ConsumeIntInRange(0, 23)
        if kind < 12 or depth > DEEPEST:
            return self.leaf(kind % 12)
        if kind == 12 and self.made:
            return self.source.PickValueInList(self.made)
        value = self.container(kind, depth)
        self.made.append(value)
        return value

    @atheris.instrument_func
    def leaf(self, kind: int) -> Any:
        """Something without parts."""
        source = self.source
        number = source.ConsumeInt(8)
        match kind:
            case 0:
                return None
            case 1:
                return bool(number & 1)
            case 2:
                return number << (number & 127)
            case 3:
                return source.ConsumeFloat()
            case 4:
                return complex(source.ConsumeFloat(), number)
            case 5:
                return source.ConsumeUnicode(number & 255)
            case 6:
                return source.ConsumeBytes(number & 255)
            case 7:
                return datetime.timedelta(number % 10**6, number % 86400)
            case 8:
                return decimal.Decimal(number).scaleb(-(number & 7))
            case 9:
                return fractions.Fraction(number, (number & 1023) + 1)
            case 10:
                return uuid.UUID(int=number % 2**128)
            case _:
                return pathlib.PurePosixPath(source.ConsumeUnicodeNoSurrogates(8))

    @atheris.instrument_func
    def several(self, depth: int) -> list[Any]:
        """A few values."""
        return [self.any(depth + 1) for _ in range(self.source.ConsumeIntInRange(0, 6))]

    @atheris.instrument_func
    def hashable(self, depth: int) -> list[Any]:
        """Those of a few values that can stand in a set."""
        kept: list[Any] = []
        for value in self.several(depth):
            try:
                hash(value)
            except TypeError:
                continue
            kept.append(value)
        return kept

    @atheris.instrument_func
    def container(self, kind: int, depth: int) -> Any:
        """Something with parts."""
        match kind:
            case 13:
                return tuple(self.several(depth))
            case 14:
                keys = self.hashable(depth)
                return {(type(key).__name__, key): self.any(depth + 1) for key in keys}
            case 15:
                return {(type(item).__name__, item) for item in self.hashable(depth)}
            case 16:
                return frozenset((type(item).__name__, item) for item in self.hashable(depth))
            case 17:
                return Point(**{f"a{index}": it for index, it in enumerate(self.several(depth))})
            case 18:
                return Slotted(self.any(depth + 1), self.any(depth + 1))
            case 19:
                return collections.deque(self.several(depth))
            case 20:
                return collections.OrderedDict(enumerate(self.several(depth)))
            case 21:
                self.is_hostile = True
                return Hostile(self.any(depth + 1))
            case 22:
                values = self.several(depth)
                values.append(values)
                return values
            case _:
                return [Colour.RED, Colour.BLUE, *self.several(depth)]


def turned(value: Any) -> Any:
    """The same plain value, its dicts and sets filled the other way round."""
    if type(value) is dict:
        return {key: turned(item) for key, item in reversed(value.items())}
    if type(value) in (set, frozenset):
        return type(value)(reversed(list(value)))
    return value


@atheris.instrument_func
def test_one(data: bytes) -> None:
    """One value and its likes."""
    values = Values(data)
    value = values.any()
    try:
        digest = _native.digest(value)
    except (TypeError, ValueError):
        if not values.is_hostile:
            raise
        return
    assert _native.digest(value) == digest
    assert _native.digest(turned(value)) == digest
    if not values.is_hostile:
        assert _native.digest(copy.deepcopy(value)) == digest
        assert _native.digest(pickle.loads(pickle.dumps(value, 5))) == digest


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
