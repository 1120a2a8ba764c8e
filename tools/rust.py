"""Rust source as the house rules see it: which lines are code, documentation or tests.

Not a parser: comments and literals are blanked out, after which braces can be counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LITERAL_OR_COMMENT = re.compile(
    r"""
      //[^\n]*
    | /\*
    | \b(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes)
    | \b(?:b|c)?"(?:\\.|[^"\\])*"
    | "(?:\\.|[^"\\])*"
    | \bb?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\\n])'
    | '(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\\n])'
    """,
    re.DOTALL | re.VERBOSE,
)
BLOCK_EDGE = re.compile(r"/\*|\*/")
TEST_ATTRIBUTE = re.compile(r"#\[(?:test|cfg\(test\)|cfg\(all\(test\b[^\]]*)\]")
DOCUMENTATION = re.compile(r"^[ \t]*//(?:/(?!/)|!)", re.MULTILINE)
FUNCTION = re.compile(r"\bfn\s+(\w+)")
CLOSING = {"{": "}", "(": ")", "[": "]"}


def blank(text: str) -> str:
    """Spaces in place of every comment and of every literal's inside; offsets stay."""
    kept: list[str] = []
    at = 0
    while found := LITERAL_OR_COMMENT.search(text, at):
        end = block_end(text, found.end()) if found[0] == "/*" else found.end()
        kept.append(text[at : found.start()])
        kept.append(spaces(text[found.start() : end], literal=not found[0].startswith("/")))
        at = end
    return "".join([*kept, text[at:]])


def spaces(text: str, *, literal: bool) -> str:
    """The text's newlines among spaces; a literal keeps its first and last character."""
    hidden = re.sub(r"[^\n]", " ", text)
    return text[0] + hidden[1:-1] + text[-1] if literal else hidden


def block_end(text: str, at: int) -> int:
    """Where the block comment ends that is open here; block comments nest."""
    depth = 1
    for edge in BLOCK_EDGE.finditer(text, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def bracket_end(code: str, at: int) -> int:
    """Behind the bracket that closes the one at this offset."""
    opening, closing = code[at], CLOSING[code[at]]
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] == opening) - (code[i] == closing)
        if depth == 0:
            return i + 1
    return len(code)


def item_end(code: str, at: int) -> int:
    """Behind the item that begins here: its body's brace, or its semicolon."""
    while at < len(code):
        if code[at] == ";":
            return at + 1
        if code[at] == "{":
            return bracket_end(code, at)
        at = bracket_end(code, at) if code[at] in "([" else at + 1
    return at


def test_items(code: str) -> Iterator[tuple[int, int]]:
    """From where to where each item goes that only tests see, its attributes included."""
    at = 0
    while found := TEST_ATTRIBUTE.search(code, at):
        at = item_end(code, behind_attributes(code, found.start()))
        yield found.start(), at


def behind_attributes(code: str, at: int) -> int:
    """Where the item begins whose first attribute begins here."""
    while attribute := re.compile(r"\s*#\[").match(code, at):
        at = bracket_end(code, attribute.end() - 1)
    return at


def filled(text: str) -> set[int]:
    """The numbers of the lines that are not blank, from 1."""
    return {number for number, line in enumerate(text.splitlines(), 1) if line.strip()}


@dataclass(frozen=True)
class Function:
    """A function outside tests."""

    name: str
    line: int
    length: int
    """Lines that hold code, from the signature to the closing brace."""


@dataclass(frozen=True)
class Source:
    """One file of Rust."""

    path: Path
    text: str
    is_test: bool
    """Whether all of it is tests: a file under ``tests/``, or a conformance suite."""

    @cached_property
    def blanked(self) -> str:
        """The text without comments and the insides of literals."""
        return blank(self.text)

    @cached_property
    def tests(self) -> list[tuple[int, int]]:
        """From where to where the tests go."""
        return [(0, len(self.text))] if self.is_test else list(test_items(self.blanked))

    @cached_property
    def code(self) -> str:
        """As ``blanked``, without tests."""
        return self._without_tests(self.blanked)

    def _without_tests(self, text: str) -> str:
        for start, end in self.tests:
            text = text[:start] + spaces(text[start:end], literal=False) + text[end:]
        return text

    def test_modules(self) -> set[str]:
        """The test modules of this file that are files of their own."""
        items = (self.blanked[start:end] for start, end in self.tests)
        return {name for item in items for name in re.findall(r"\bmod\s+(\w+)\s*;", item)}

    @property
    def code_lines(self) -> int:
        """Lines that hold code, tests left out."""
        return len(filled(self.code))

    @property
    def test_lines(self) -> int:
        """Lines that hold code of tests."""
        return len(filled(self.blanked)) - self.code_lines

    @property
    def doc_lines(self) -> int:
        """Lines of documentation, tests left out."""
        return len(DOCUMENTATION.findall(self._without_tests(self.text)))

    @property
    def length(self) -> int:
        """Lines of any kind, those of tests left out."""
        tests = sum(self.text.count("\n", start, end) + 1 for start, end in self.tests)
        return max(0, len(self.text.splitlines()) - tests)

    def functions(self) -> Iterator[Function]:
        """Every function with a body, outside tests."""
        for found in FUNCTION.finditer(self.code):
            end = item_end(self.code, found.end())
            if self.code[end - 1] == "}":
                length = len(filled(self.code[found.start() : end]))
                yield Function(found[1], self.line_at(found.start()), length)

    def line_at(self, offset: int) -> int:
        """The number of the line that holds this offset."""
        return self.text.count("\n", 0, offset) + 1


def used_modules(code: str, root: str) -> set[str]:
    """The first names behind ``crate::`` (or another root), those of a group included."""
    names: set[str] = set()
    for found in re.finditer(rf"\b{root}::", code):
        at = found.end()
        if code[at : at + 1] == "{":
            names |= set(first_names(code[at + 1 : bracket_end(code, at) - 1]))
        elif name := re.compile(r"\w+").match(code, at):
            names.add(name[0])
    return names


def first_names(group: str) -> Iterator[str]:
    """The first name of every path in a group of imports."""
    flat = group
    while (opened := flat.find("{")) >= 0:
        flat = flat[:opened] + flat[bracket_end(flat, opened) :]
    for path in flat.split(","):
        if name := re.match(r"\s*(\w+)", path):
            yield name[1]


def reexports(code: str) -> dict[str, str]:
    """For every name that the crate's root takes from a module: which module."""
    homes: dict[str, str] = {}
    for found in re.finditer(r"\buse\s+(?:self::|crate::)?(\w+)::([^;]+);", code):
        for name in re.findall(r"\w+", found[2]):
            homes.setdefault(name, found[1])
    return homes
