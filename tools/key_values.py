"""The part *Values* of `docs/formats/key.md` in plain Python, beside `key_format`.

It covers what the vectors show: builtins, the standard library, numpy, pandas and the reduce
protocol; pyarrow and scipy by their stand-ins in `key_libraries`. Values of other libraries are
:class:`Elsewhere`.
"""

from __future__ import annotations

import copyreg
import struct
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from key_format import (
    BYTES,
    COMPLEX,
    DICT,
    FALSE,
    FLOAT,
    FROZEN,
    INT,
    LIST,
    NAMED,
    NONE,
    SET,
    TEXT,
    TRUE,
    TUPLE,
    framed,
    integer,
)
from key_libraries import Arrow, Sparse, extension_array

LIBRARIES = ("torch", "polars", "pyarrow", "scipy", "PIL", "pydantic", "attr", "attrs", "sklearn")
"""Those whose real values have no rule here."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "builtins.range": ("start", "stop", "step"),
    "builtins.slice": ("start", "stop", "step"),
    "datetime.date": ("year", "month", "day"),
    "datetime.time": ("hour", "minute", "second", "microsecond", "fold", "tzinfo"),
    "datetime.timedelta": ("days", "seconds", "microseconds"),
    "fractions.Fraction": ("numerator", "denominator"),
    "re.Pattern": ("pattern", "flags"),
    "functools.partial": ("func", "args", "keywords", "__dict__"),
    "uuid.UUID": ("int",),
    "pandas.RangeIndex": ("start", "stop", "step", "name"),
    "pandas.Timestamp": ("asm8", "tz", "fold"),
    "pandas.Timedelta": ("asm8",),
    "pandas.Period": ("freqstr", "ordinal"),
    "pandas.Interval": ("left", "right", "closed"),
    "pandas.Categorical": ("categories", "ordered", "codes"),
    "pandas.DatetimeArray": ("unit", "tz", "asi8"),
    "pandas.PeriodArray": ("freqstr", "asi8"),
    "pandas.IntervalArray": ("closed", "left", "right"),
}
"""Named types whose child is the tuple of these attributes."""

ATTRIBUTES["datetime.datetime"] = ATTRIBUTES["datetime.date"] + ATTRIBUTES["datetime.time"]


class Elsewhere(TypeError):
    """A value whose rule is not written here."""


def encode(value: Any) -> bytes:
    """The encoding of a value."""
    return Encoder().value(value)


def named(name: str, child: bytes) -> bytes:
    """A value of a named type."""
    return bytes([NAMED]) + framed(name.encode()) + child


def sequence(tag: int, children: Iterable[bytes]) -> bytes:
    """A container around encoded children."""
    encoded = list(children)
    return bytes([tag]) + integer(len(encoded)) + b"".join(encoded)


def text(content: str) -> bytes:
    """Text."""
    return bytes([TEXT]) + framed(content.encode("utf-8", "surrogatepass"))


def binary(content: bytes) -> bytes:
    """Bytes."""
    return bytes([BYTES]) + framed(content)


def whole(number: int) -> bytes:
    """An integer in as few bytes as hold it."""
    size = 1
    while not -(1 << (8 * size - 1)) <= number < 1 << (8 * size - 1):
        size += 1
    return bytes([INT]) + framed(number.to_bytes(size, "little", signed=True))


def floating(number: float) -> bytes:
    """The eight bytes of a float, one NaN for all."""
    if number != number:
        return bytes.fromhex("7ff8000000000000")[::-1]
    return struct.pack("<d", number)


def name_of(kind: type) -> str:
    """The name a class has; pandas moves its classes about."""
    module = "pandas" if kind.__module__.split(".")[0] == "pandas" else kind.__module__
    return f"{module}.{kind.__qualname__}"


class Encoder:
    """Writes one value."""

    def __init__(self) -> None:
        self.open: list[int] = []

    def value(self, value: Any) -> bytes:
        """Any value."""
        leaf = self.leaf(value)
        if leaf is not None:
            return leaf
        if id(value) in self.open:
            between = len(self.open) - 1 - self.open.index(id(value))
            return named("cycle", whole(between))
        self.open.append(id(value))
        try:
            return self.container(value)
        finally:
            self.open.pop()

    def leaf(self, value: Any) -> bytes | None:
        """A value of a builtin type without children."""
        kind = type(value)
        if value is None or kind is bool:
            return bytes([NONE if value is None else TRUE if value else FALSE])
        if kind is int:
            return whole(value)
        if kind is float:
            return bytes([FLOAT]) + floating(value)
        if kind is complex:
            return bytes([COMPLEX]) + floating(value.real) + floating(value.imag)
        if kind is str:
            return text(value)
        return binary(value) if kind is bytes else None

    def container(self, value: Any) -> bytes:
        """A builtin container, or else a named type."""
        kind = type(value)
        tags = {tuple: TUPLE, list: LIST, set: SET, frozenset: FROZEN}
        if kind in tags:
            return sequence(tags[kind], map(self.value, value))
        if kind is dict:
            items = [(self.value(key), self.value(item)) for key, item in value.items()]
            return bytes([DICT]) + integer(len(items)) + b"".join(a + b for a, b in items)
        return self.named_type(value)

    def parts(self, *values: Any) -> bytes:
        """A tuple of values."""
        return sequence(TUPLE, map(self.value, values))

    def named_type(self, value: Any) -> bytes:
        """By the rules for the type of a value."""
        if isinstance(value, Arrow | Sparse):
            return value.encode()
        name = name_of(type(value))
        root = name.split(".")[0]
        if root in LIBRARIES:
            raise Elsewhere(name)
        if name in ATTRIBUTES:
            return named(name, self.parts(*(getattr(value, part) for part in ATTRIBUTES[name])))
        if isinstance(value, type):
            return named("code", text(name_of(value)))
        if name == "builtins.mappingproxy":
            return named("types.MappingProxyType", self.value(dict(value)))
        if root == "builtins":
            return named(
                name, binary(bytes(value)) if isinstance(value, bytearray) else self.value(None)
            )
        if root == "pathlib":
            return named(f"pathlib.{type(value).__name__}", text(str(value)))
        if root == "zoneinfo":
            return named("zoneinfo.ZoneInfo", text(value.key))
        if root == "numpy":
            return self.numpy(value)
        return self.pandas(value, name) if root == "pandas" else self.reduced(value, name)

    def reduced(self, value: Any, name: str) -> bytes:
        """By the reduce protocol."""
        table = copyreg.dispatch_table
        reducer = table.get(type(value))
        parts: Any = reducer(value) if reducer else value.__reduce_ex__(4)
        padded: list[Any] = [*parts, *[None] * (6 - len(parts))]
        made, arguments, state, items, pairs, setter = padded
        if getattr(made, "__name__", "") in ("__newobj__", "__newobj_ex__"):
            made, *arguments = arguments
            maker = named("new", text(name_of(made)))
        else:
            maker = text(name_of(made)) if isinstance(made, type) else self.value(made)
        listed = None if items is None else list(items)
        paired: Any = None if pairs is None else [tuple(pair) for pair in pairs]
        if paired is not None and not isinstance(value, OrderedDict):
            paired = dict(paired)
        rest = map(self.value, (tuple(arguments), state, setter, listed, paired))
        return named(name, sequence(TUPLE, (maker, *rest)))

    def numpy(self, value: Any) -> bytes:
        """A value of numpy."""
        import numpy

        if isinstance(value, numpy.dtype):
            return named("numpy.dtype", self.dtype(value))
        if isinstance(value, numpy.generic):
            array = numpy.asarray(value)
            content = self.content(array)
            return named("numpy.generic", sequence(TUPLE, (self.dtype(array.dtype), content)))
        return self.array(value)

    def array(self, array: Any) -> bytes:
        """An array of exactly the class of numpy."""
        parts = self.dtype(array.dtype), self.value(array.shape), self.content(array)
        return named("numpy.ndarray", sequence(TUPLE, parts))

    def dtype(self, dtype: Any) -> bytes:
        """A dtype, structured or not."""
        if dtype.names is None:
            return text(dtype.str)
        fields: list[bytes] = []
        titles: list[Any] = []
        for name in dtype.names:
            inner, offset, *title = dtype.fields[name]
            titles.append(title[0] if title else None)
            shape, base = self.value(inner.shape), self.dtype(inner.base)
            fields.append(sequence(TUPLE, (text(name), whole(offset), shape, base)))
        parts = [whole(dtype.itemsize), whole(dtype.alignment), sequence(LIST, fields)]
        if dtype.type.__name__ != "void" or any(title is not None for title in titles):
            parts += [self.value(dtype.type), self.value(titles)]
        return named("numpy.structured", sequence(TUPLE, parts))

    def content(self, array: Any) -> bytes:
        """The elements in C order."""
        if array.dtype.names is not None:
            return sequence(LIST, (self.content(array[name]) for name in array.dtype.names))
        if array.dtype.hasobject:
            return self.column(array.ravel().tolist())
        return binary(array.tobytes("C"))

    def column(self, elements: list[Any], *, has_missing: bool = False) -> bytes:
        """Objects: the lengths of texts, their UTF-8, and what else there is."""
        texts = [element.encode() if type(element) is str else None for element in elements]
        lengths = b"".join(b"\xff" * 8 if t is None else integer(len(t)) for t in texts)
        pairs = zip(elements, texts, strict=True)
        others = [element for element, text in pairs if text is None]
        if has_missing:
            others = [each for each in others if not self.is_missing(each)]
        joined = b"".join(text for text in texts if text is not None)
        return sequence(TUPLE, (binary(lengths), binary(joined), self.value(others)))

    @staticmethod
    def is_missing(value: Any) -> bool:
        """Whether it stands where a column of texts has none."""
        is_nan = type(value) is float and value != value
        return value is None or is_nan or type(value).__name__ == "NAType"

    def pandas(self, value: Any, name: str) -> bytes:
        """A value of pandas that is more than a few attributes."""
        short = name.removeprefix("pandas.")
        if short in ("NAType", "NaTType"):
            return named(name, self.value(None))
        if short == "DataFrame":
            columns = sequence(LIST, (self.values(column) for _, column in value.items()))
            labels = self.value(value.columns), self.value(value.index)
            return named(name, sequence(TUPLE, (*labels, columns, *self.metadata(value))))
        if short == "Series":
            labels = self.value(value.name), self.value(value.index)
            return named(
                name, sequence(TUPLE, (*labels, self.values(value), *self.metadata(value)))
            )
        if short == "MultiIndex":
            lists = (list(part) for part in (value.names, value.levels, value.codes))
            return named(name, sequence(TUPLE, map(self.value, lists)))
        if short.endswith("Index"):
            frequency = self.value(getattr(value, "freqstr", None))
            parts = self.value(value.name), frequency, self.values(value)
            return named(name, sequence(TUPLE, parts))
        return self.extension(value, name)

    def metadata(self, value: Any) -> list[bytes]:
        """What a frame or series holds beside its labels and values."""
        flags = value.flags.allows_duplicate_labels
        return [self.value(dict(value.attrs)), self.value(flags), self.value({})]

    def values(self, value: Any) -> bytes:
        """The values of a column or an index."""
        import numpy

        if isinstance(value.dtype, numpy.dtype):
            return self.array(value.to_numpy())
        return self.value(value.array)

    def extension(self, value: Any, name: str) -> bytes:
        """An extension array."""
        import numpy

        short = name.removeprefix("pandas.")
        if short in ("IntegerArray", "FloatingArray", "BooleanArray"):
            missing = value.isna()
            shown = value.to_numpy(dtype=value.dtype.numpy_dtype, na_value=0)
            shown = numpy.where(missing, numpy.zeros((), shown.dtype), shown)
            return named("pandas.MaskedArray", self.parts(shown, missing))
        if short in ("StringArray", "ArrowStringArray"):
            column = self.column(list(value), has_missing=True)
            kind = self.value(value.dtype.storage), self.value(value.dtype.na_value)
            return named("pandas.StringArray", sequence(TUPLE, (*kind, column)))
        if short == "ArrowExtensionArray":
            missing = value.isna()
            elements = [None if gone else it for it, gone in zip(value, missing, strict=True)]
            encoded = extension_array(str(value.dtype.pyarrow_dtype), elements)
            if encoded is not None:
                return encoded
        raise Elsewhere(name)
