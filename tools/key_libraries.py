"""Values of pyarrow and scipy for the vectors, written down without those libraries.

The expressions of the vectors are evaluated with what stands here in the place of the libraries:
enough of them to say which value is meant, and the rules of `docs/formats/key.md` for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from key_format import BYTES, INT, LIST, NAMED, NONE, TEXT, TUPLE, framed, integer

NULLABLE = 2
"""The flag of a type whose elements may be missing."""


def named(name: str, *children: bytes) -> bytes:
    """A value of a named type whose child is the tuple of these."""
    return bytes([NAMED]) + framed(name.encode()) + sequence(TUPLE, children)


def sequence(tag: int, children: Sequence[bytes]) -> bytes:
    """A container around encoded children."""
    return bytes([tag]) + integer(len(children)) + b"".join(children)


def text(content: str) -> bytes:
    """Text."""
    return bytes([TEXT]) + framed(content.encode())


def binary(content: bytes) -> bytes:
    """Bytes."""
    return bytes([BYTES]) + framed(content)


def small(number: int) -> bytes:
    """An integer that a byte holds."""
    return bytes([INT]) + framed(number.to_bytes(1, "little", signed=True))


def none() -> bytes:
    """None."""
    return bytes([NONE])


@dataclass(frozen=True)
class Type:
    """What the C data interface of Arrow says of a type."""

    format: str
    name: str = ""
    flags: int = NULLABLE
    children: tuple[Type, ...] = ()
    dictionary: Type | None = None

    def encode(self) -> bytes:
        """The tuple that the page describes; nothing here has metadata."""
        children = sequence(LIST, [child.encode() for child in self.children])
        dictionary = self.dictionary.encode() if self.dictionary else none()
        return sequence(
            TUPLE,
            [text(self.format), text(self.name), small(self.flags), none(), children, dictionary],
        )


def type_of(elements: Sequence[Any]) -> Type:
    """The type that pyarrow infers."""
    there = [element for element in elements if element is not None]
    if all(isinstance(element, int) for element in there):
        return Type("l")
    if all(isinstance(element, float) for element in there):
        return Type("g")
    if all(isinstance(element, str) for element in there):
        return Type("u")
    if all(isinstance(element, list) for element in there):
        inner = type_of([item for element in there for item in element])
        return Type("+l", children=(replace(inner, name="item"),))
    fields = list(dict.fromkeys(name for element in there for name in element))
    children = (replace(type_of([it.get(name) for it in there]), name=name) for name in fields)
    return Type("+s", children=tuple(children))


def column(kind: Type, elements: Sequence[Any]) -> bytes:
    """An Arrow column: how many, which are missing, and those that are not."""
    there = [element for element in elements if element is not None]
    missing = bytes(element is None for element in elements)
    return sequence(
        TUPLE,
        [
            small(len(elements)),
            binary(missing) if any(missing) else none(),
            body(kind, there),
        ],
    )


def body(kind: Type, elements: Sequence[Any]) -> bytes:
    """The elements that are there."""
    if kind.dictionary:
        words = list(dict.fromkeys(elements))
        numbers = b"".join(struct.pack("<i", words.index(element)) for element in elements)
        return sequence(TUPLE, [binary(numbers), column(kind.dictionary, words)])
    if kind.format == "u":
        texts = [element.encode() for element in elements]
        return sequence(TUPLE, [lengths(texts), binary(b"".join(texts))])
    if kind.format == "+l":
        items = [item for element in elements for item in element]
        return sequence(TUPLE, [lengths(elements), column(kind.children[0], items)])
    if kind.format == "+s":
        columns = [
            column(field, [it.get(field.name) for it in elements]) for field in kind.children
        ]
        return sequence(LIST, columns)
    code = {"l": "<q", "g": "<d"}[kind.format]
    return binary(b"".join(struct.pack(code, element) for element in elements))


def lengths(elements: Sequence[Any]) -> bytes:
    """Eight bytes for the length of each."""
    return binary(b"".join(integer(len(element)) for element in elements))


@dataclass(frozen=True)
class Arrow:
    """A value of pyarrow: of a class, with a type, and with elements unless it is a type."""

    kind: str
    type: Type
    elements: tuple[Any, ...] | None = None

    def encode(self) -> bytes:
        """By the rule for pyarrow."""
        if self.elements is None:
            return bytes([NAMED]) + framed(f"pyarrow.{self.kind}".encode()) + self.type.encode()
        return named(f"pyarrow.{self.kind}", self.type.encode(), column(self.type, self.elements))

    def dictionary_encode(self) -> Arrow:
        """The same as numbers into a dictionary."""
        return replace(self, type=Type("i", dictionary=self.type))


def array(elements: Sequence[Any]) -> Arrow:
    """As `pyarrow.array`."""
    return Arrow("Array", type_of(elements), tuple(elements))


def chunked_array(chunks: Sequence[Sequence[Any]]) -> Arrow:
    """As `pyarrow.chunked_array`: the chunks do not count."""
    elements = [element for chunk in chunks for element in chunk]
    return replace(array(elements), kind="ChunkedArray")


def table(columns: dict[str, Sequence[Any]]) -> Arrow:
    """As `pyarrow.table`: a column of structs, none of which is missing."""
    fields = (replace(type_of(elements), name=name) for name, elements in columns.items())
    rows = zip(*columns.values(), strict=True)
    structs = tuple(dict(zip(columns, row, strict=True)) for row in rows)
    return Arrow("Table", Type("+s", flags=0, children=tuple(fields)), structs)


def extension_array(name: str, elements: Sequence[Any]) -> bytes | None:
    """An array of pandas over one of pyarrow, whose type has this name there."""
    kinds = {"int64": Type("l"), "double": Type("g"), "string": Type("u")}
    kind = kinds.get(name)
    if kind is None:
        return None
    return named("pandas.ArrowExtensionArray", kind.encode(), column(kind, elements))


Cells = tuple[Sequence[float], tuple[Sequence[int], Sequence[int]]]


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix of scipy: the value at each place that has one."""

    kind: str
    shape: tuple[int, int]
    cells: tuple[tuple[tuple[int, int], float], ...]

    def encode(self) -> bytes:
        """By the rule for the format: compressed rows, or coordinates."""
        rows = [place[0] for place, _ in self.cells]
        columns = [place[1] for place, _ in self.cells]
        starts = [sum(row < number for row in rows) for number in range(self.shape[0] + 1)]
        indices = (starts, columns) if self.kind.startswith("csr") else (rows, columns)
        return named(
            f"scipy.sparse.{self.kind}",
            sequence(TUPLE, [small(length) for length in self.shape]),
            *(numbers("<i8", "<q", part) for part in indices),
            numbers("<f8", "<d", [value for _, value in self.cells]),
        )


def numbers(dtype: str, code: str, elements: Sequence[float]) -> bytes:
    """An array of numpy with one axis."""
    shape = sequence(TUPLE, [small(len(elements))])
    content = binary(b"".join(struct.pack(code, element) for element in elements))
    return named("numpy.ndarray", text(dtype), shape, content)


def sparse(kind: str) -> Callable[..., Sparse]:
    """As the constructor of a sparse matrix from values and their places."""

    def make(cells: Cells, shape: tuple[int, int]) -> Sparse:
        values, (rows, columns) = cells
        found: dict[tuple[int, int], float] = {}
        for value, row, column in zip(values, rows, columns, strict=True):
            found[row, column] = found.get((row, column), 0.0) + value
        return Sparse(kind, shape, tuple(sorted(found.items())))

    return make


STAND_INS: dict[str, Any] = {
    "pyarrow": SimpleNamespace(
        int64=lambda: Arrow("DataType", Type("l")),
        array=array,
        chunked_array=chunked_array,
        table=table,
    ),
    "scipy": SimpleNamespace(
        sparse=SimpleNamespace(csr_array=sparse("csr_array"), coo_matrix=sparse("coo_matrix"))
    ),
}
"""What expressions find in the place of libraries."""
