"""What the native half asks about annotations; imported only then."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any


def arity(function: Callable[..., Any]) -> int | None:
    """How many parts the declared result has, if it is a tuple of a fixed length.

    >>> def split(text: str) -> tuple[str, str]: ...
    >>> arity(split)
    2
    >>> def words(text: str) -> tuple[str, ...]: ...
    >>> arity(words) is None
    True
    """
    result = getattr(function, "__annotations__", {}).get("return")
    if isinstance(result, str):
        # A name that only the type checker imports cannot be found: then nothing is known.
        try:
            result = eval(result, getattr(function, "__globals__", {}))
        except Exception:
            return None
    return _parts(result)


def _parts(declared: Any) -> int | None:
    origin = typing.get_origin(declared)
    if origin is typing.Annotated:
        return _parts(typing.get_args(declared)[0])
    if origin is tuple:
        parts = typing.get_args(declared)
        return None if len(parts) == 2 and parts[1] is Ellipsis else len(parts)
    fields: Any = getattr(declared, "_fields", None)
    is_named = isinstance(declared, type) and issubclass(declared, tuple)
    return len(fields) if is_named and fields is not None else None
