"""Python source as the house rules see it."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def functions(module: ast.Module, text: str) -> Iterator[tuple[str, int, int]]:
    """Name, line and lines of code of every function; comments and docstrings do not count."""
    lines = text.splitlines()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            written = lines[node.lineno - 1 : node.end_lineno]
            code = [line for line in written if line.strip() and not line.lstrip().startswith("#")]
            docstring = (ast.get_docstring(node, clean=False) or "").strip()
            described = len([line for line in docstring.splitlines() if line.strip()])
            yield node.name, node.lineno, len(code) - described


def imported(module: ast.Module, known: set[str]) -> Iterator[str]:
    """The modules that a module's own lines import: a submodule, or where a name comes from."""
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "thrifty." if node.level else ""
            whole = f"{package}{node.module or ''}".rstrip(".")
            for alias in node.names:
                submodule = f"{whole}.{alias.name}"
                yield submodule if submodule in known else whole
