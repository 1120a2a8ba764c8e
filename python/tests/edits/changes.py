"""Ways to edit a source tree, and what each case of the suite is made of."""

from __future__ import annotations

import ast
import compileall
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One edit of a tree, and the tasks that must run again, with a value or without a new one."""

    tree: str
    name: str
    reruns: frozenset[str]
    edits: tuple[Edit, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the second process."""
    folder: str = "work"
    """The name of the directory that holds the tree."""
    at: str | None = None
    """The working directory, relative to the tree."""
    trusts: frozenset[str] = frozenset()
    """Tasks for which the user answers, and whose values may be old."""
    silent: bool = False
    """What reruns gives the same value as before."""
    needs: tuple[int, int] = (3, 11)
    """The oldest Python that reads the edited source."""

    def __str__(self) -> str:
        return f"{self.tree}: {self.name}"


def sub(file: str, old: str, new: str) -> Edit:
    """Replaces a text that occurs once."""

    def edit(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file}: {old!r} occurs {text.count(old)} times"
        (root / file).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def every(file: str, old: str, new: str) -> Edit:
    """Replaces a text wherever it occurs."""

    def edit(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert old in text, f"{file}: no {old!r}"
        (root / file).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def append(file: str, text: str) -> Edit:
    """Adds to the end of a file, or makes it."""

    def edit(root: Path) -> None:
        with (root / file).open("a", encoding="utf-8") as open_file:
            open_file.write(text)

    return edit


def prepend(file: str, text: str) -> Edit:
    """Adds to the beginning of a file."""

    def edit(root: Path) -> None:
        (root / file).write_text(text + (root / file).read_text(encoding="utf-8"), encoding="utf-8")

    return edit


def move(file: str, to: str) -> Edit:
    """Renames a file or directory."""

    def edit(root: Path) -> None:
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        (root / file).rename(root / to)

    return edit


def remove(file: str) -> Edit:
    """Deletes a file."""
    return lambda root: (root / file).unlink()


def swap(file: str, first: str, second: str) -> Edit:
    """Exchanges two definitions that follow each other, each up to the next empty lines."""

    def edit(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        blocks = text.split("\n\n\n")
        places = [
            next(at for at, block in enumerate(blocks) if block.startswith(start))
            for start in (first, second)
        ]
        blocks[places[0]], blocks[places[1]] = blocks[places[1]], blocks[places[0]]
        (root / file).write_text("\n\n\n".join(blocks), encoding="utf-8")

    return edit


def touched(root: Path) -> None:
    """Every file is newer, and holds what it held."""
    for file in root.rglob("*.py"):
        os.utime(file)


def touched_file(file: str) -> Edit:
    """One file is newer, and holds what it held."""
    return lambda root: os.utime(root / file)


def compiled(root: Path) -> None:
    """Byte code lies beside every file."""
    assert compileall.compile_dir(root, quiet=1)


def formatted(root: Path) -> None:
    """The formatter ran over the whole tree, with another style."""
    options = ["--isolated", "--line-length", "60", "--no-cache"]
    options += ["--config", "format.quote-style = 'single'"]
    options += ["--config", "format.indent-style = 'tab'"]
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", *options, str(root)], check=True
    )


def each_file(transform: Callable[[str], str]) -> Edit:
    """Rewrites every source file."""

    def edit(root: Path) -> None:
        for file in sorted(root.rglob("*.py")):
            if "site-packages" not in file.parts:
                text = file.read_text(encoding="utf-8")
                file.write_text(transform(text), encoding="utf-8")

    return edit


def without_comments_and_docstrings(text: str) -> str:
    """The tree written out anew: nothing is left but what runs."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def with_comments(text: str) -> str:
    """A comment and an empty line behind each line that may have them."""
    lines = []
    tree = ast.parse(text)
    ends = {node.end_lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    inside = {
        line
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno != node.lineno
        for line in range(node.lineno, node.end_lineno or node.lineno)
    }
    for number, line in enumerate(text.splitlines(), 1):
        commentable = number in ends and number not in inside and not line.endswith("\\")
        lines += [f"{line}  # line {number}", ""] if commentable else [line]
    return "\n".join(lines) + "\n"


def with_windows_line_ends(text: str) -> str:
    return text.replace("\n", "\r\n")
