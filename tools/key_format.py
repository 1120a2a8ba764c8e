"""`docs/formats/key.md` in plain Python, written from that page alone.

It shares no line with the library: what both agree on is what the page says. Encodings fold to
digests, digests to ingredients, ingredients to keys; :func:`encode` writes the values whose rules
need no more than the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plain_blake3 import derive_key

SHORT = 40
"""The longest encoding of a leaf that stands in a container as it is."""

KINDS = (
    "operation",
    "version",
    "code",
    "signature",
    "inputs",
    "config",
    "environment",
    "files",
    "seed",
    "salt",
)

NONE, FALSE, TRUE, INT, FLOAT, COMPLEX, TEXT, BYTES = range(8)
TUPLE, LIST, SET, FROZEN, DICT = 0x10, 0x11, 0x12, 0x13, 0x14
NAMED, DIGEST, EDGE = 0x20, 0x30, 0x31

Edges = Callable[[int], bytes]
"""What the output of an operation contributes, by the number in the encoding."""


def integer(number: int) -> bytes:
    """A number of the framing."""
    return number.to_bytes(8, "little")


def framed(content: bytes) -> bytes:
    """Length, then bytes."""
    return integer(len(content)) + content


def digest_of(context: str, content: bytes) -> bytes:
    """The hash of one kind."""
    return derive_key(f"thrifty {context} format 1", content)


class Malformed(ValueError):
    """Bytes that are no encoding."""


def no_edges(number: int) -> bytes:
    """For encodings in which no output of an operation stands."""
    raise Malformed(f"the output of operation {number} is not known")


@dataclass
class Reader:
    """Folds one encoding."""

    encoding: bytes
    edges: Edges = no_edges
    at: int = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self.encoding[self.at : self.at + count]
        if len(taken) != count:
            raise Malformed(f"it ends within what begins at {self.at}")
        self.at += count
        return taken

    def number(self) -> int:
        """The next number of the framing."""
        return int.from_bytes(self.take(8), "little")

    def contribution(self, depth: int = 0) -> bytes:
        """What the next value contributes to the container it stands in."""
        if depth > 500:
            raise Malformed("nested beyond 500 levels")
        start = self.at
        tag = self.take(1)[0]
        if tag in (TUPLE, LIST, SET, FROZEN, DICT, NAMED):
            folded = self.container(tag, depth + 1)
            return bytes([DIGEST]) + digest_of("value", folded)
        if tag == EDGE:
            return self.edges(self.number())
        if tag == DIGEST:
            return bytes([DIGEST]) + self.take(32)
        self.leaf(tag)
        encoded = self.encoding[start : self.at]
        if len(encoded) <= SHORT:
            return encoded
        return bytes([DIGEST]) + digest_of("value", encoded)

    def leaf(self, tag: int) -> None:
        """Skips the payload of a leaf."""
        fixed = {NONE: 0, FALSE: 0, TRUE: 0, FLOAT: 8, COMPLEX: 16}
        if tag in fixed:
            self.take(fixed[tag])
        elif tag in (INT, TEXT, BYTES):
            self.take(self.number())
        else:
            raise Malformed(f"unknown tag {tag:#04x} at {self.at - 1}")

    def container(self, tag: int, depth: int) -> bytes:
        """What the digest of a container is the hash of."""
        if tag == NAMED:
            name = self.take(self.number())
            return bytes([tag]) + framed(name) + self.contribution(depth)
        count = self.number()
        if tag == DICT:
            pairs = [(self.contribution(depth), self.contribution(depth)) for _ in range(count)]
            parts = [part for pair in sorted(pairs) for part in pair]
        else:
            parts = [self.contribution(depth) for _ in range(count)]
        if tag in (SET, FROZEN):
            parts.sort()
        return bytes([tag]) + integer(count) + b"".join(parts)


def digest(encoding: bytes, edges: Edges = no_edges) -> bytes:
    """The digest of a value, from its encoding."""
    reader = Reader(encoding, edges)
    contribution = reader.contribution()
    if reader.at != len(encoding):
        raise Malformed("something follows the value")
    if contribution[0] == DIGEST:
        return contribution[1:]
    return digest_of("value", contribution)


def holds_no_digest(encoding: bytes) -> bool:
    """Whether every part of a value is written out."""
    found = False

    class Search(Reader):
        def contribution(self, depth: int = 0) -> bytes:
            nonlocal found
            found |= self.encoding[self.at] == DIGEST
            return super().contribution(depth)

    Search(encoding, lambda _: b"").contribution()
    return not found


def ingredient(kind: str, parts: dict[str, bytes]) -> bytes:
    """The digest of one kind of ingredient, from those of its parts."""
    content = bytes([KINDS.index(kind)]) + integer(len(parts))
    for name in sorted(parts, key=str.encode):
        content += framed(name.encode()) + parts[name]
    return digest_of("ingredient", content)


def key(kinds: dict[str, bytes]) -> bytes:
    """The key of an operation, from the digests of its ingredients."""
    ordered = sorted(kinds, key=KINDS.index)
    return digest_of("key", b"".join(bytes([KINDS.index(kind)]) + kinds[kind] for kind in ordered))
