"""What an annotation says about a value: how it is hashed, and whether it is secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class HashMethod:
    """Says how a value is hashed: ``Annotated[T, HashMethod(function)]``.

    The function takes the value and returns text, bytes or an integer, which enters keys in the
    place of the value. On a parameter it is used for what is passed, on a result for what is
    returned: two results with the same hash are the same to everything that follows.

    >>> from typing import Annotated
    >>> from thrifty import HashMethod, task, testing
    >>> class Model:
    ...     def __init__(self, name: str) -> None:
    ...         self.name = name
    >>> @task
    ... def score(model: Annotated[Model, HashMethod(lambda model: model.name)]) -> int:
    ...     print("scoring", model.name)
    ...     return len(model.name)
    >>> with testing.memory_cache():
    ...     score(Model("tree")), score(Model("tree"))
    scoring tree
    (4, 4)
    """

    __slots__ = ("__thrifty_hash__",)
    __thrifty_hash__: Callable[[Any], str | bytes | int]

    def __init__(self, function: Callable[[Any], str | bytes | int]) -> None:
        if not callable(function):
            raise TypeError(f"HashMethod takes a function, not {type(function).__name__}")
        self.__thrifty_hash__ = function

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashMethod):
            return NotImplemented
        return self.__thrifty_hash__ == other.__thrifty_hash__

    def __hash__(self) -> int:
        return hash(("HashMethod", self.__thrifty_hash__))

    def __repr__(self) -> str:
        name = getattr(self.__thrifty_hash__, "__qualname__", repr(self.__thrifty_hash__))
        return f"HashMethod({name})"


class _Hidden:
    """The mark that :data:`Secret` leaves on an annotation."""

    __slots__ = ()
    __thrifty_secret__ = True

    def __repr__(self) -> str:
        return "secret"


Secret = Annotated[T, _Hidden()]
"""A value that is never written down: ``Secret[str]`` is ``str`` to type checkers.

It enters the key as a keyed digest, so that another value is another call; it is kept out of the
catalog, logs and previews.

>>> from thrifty import Secret, task, testing
>>> @task
... def connect(token: Secret[str]) -> int:
...     return len(token)
>>> with testing.memory_cache():
...     run = connect.run("hunter2")
>>> run.value
7
"""
