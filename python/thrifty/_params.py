"""Parameters of which only those that are read count."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from thrifty import _native
from thrifty._registry import register

# In the memo of `copy.deepcopy` where the copy is made for the body of a task.
OWN_COPY = "thrifty"

_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None))


class Params(Mapping[str, Any]):
    """A mapping of parameters, nested or not, that a task is given to read from.

    A task with a parameter that is annotated ``Params`` depends on the entries that its body reads
    and on no others: on their values, or that they are missing. What is handed on in part,
    ``params["model"]``, to a step with such a parameter, counts for both by what the step reads.
    Any mapping may be passed; the body finds ``Params``.

    >>> from thrifty import Params, step, testing
    >>> @step
    ... def train(rows: list[int], params: Params) -> float:
    ...     print("training")
    ...     return params["model"]["rate"] * sum(rows)
    >>> with testing.memory_cache():
    ...     train([1, 2], {"model": {"rate": 0.5, "depth": 3}, "plot": "red"})
    ...     train([1, 2], {"model": {"rate": 0.5, "depth": 4}, "plot": "blue"})
    ...     train([1, 2], {"model": {"rate": 1.0, "depth": 4}, "plot": "blue"})
    training
    1.5
    1.5
    training
    3.0
    """

    __slots__ = ("_values", "frame", "path")

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Parameters with these values."""
        self._values: Mapping[str, Any] = plain(values)
        self.frame: _native.Frame | None = None
        self.path = ""

    def __getitem__(self, name: str) -> Any:
        """The value under a name; of a mapping, its parameters."""
        pointer = below(self.path, name)
        self._tell("value", pointer)
        value = self._values[name]
        if isinstance(value, Mapping):
            return _view(value, self.frame, pointer)
        return value if isinstance(value, _IMMUTABLE) else copy.deepcopy(value)

    def __contains__(self, name: object) -> bool:
        """Whether there is a value under a name."""
        if isinstance(name, str):
            self._tell("presence", below(self.path, name))
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        """The names."""
        self._tell("names", self.path)
        return iter(self._values)

    def __len__(self) -> int:
        """How many names there are."""
        self._tell("names", self.path)
        return len(self._values)

    def to_dict(self) -> dict[str, Any]:
        """Everything in it, as dicts: all of it counts."""
        self._tell("whole", self.path)
        return plain(self._values)

    def __repr__(self) -> str:
        return f"Params({self.to_dict()!r})"

    def __or__(self, other: Any) -> dict[str, Any]:
        """All of it, as a dict, with the entries of the other mapping in place of its own."""
        return NotImplemented if not isinstance(other, Mapping) else self.to_dict() | dict(other)

    def __ror__(self, other: Any) -> dict[str, Any]:
        """The other mapping, as a dict, with all entries of this in place of its own."""
        return NotImplemented if not isinstance(other, Mapping) else dict(other) | self.to_dict()

    def __deepcopy__(self, memo: dict[Any, Any]) -> Params | dict[str, Any]:
        # What a call is given stays what it is, and nothing changes it.
        return self if OWN_COPY in memo else self.to_dict()

    def __reduce__(self) -> tuple[type[Params], tuple[dict[str, Any]]]:
        return Params, (self.to_dict(),)

    def _tell(self, aspect: str, pointer: str) -> None:
        if self.frame is not None:
            self.frame.reads(aspect, pointer)


def _view(values: Mapping[str, Any], frame: _native.Frame | None, path: str) -> Params:
    view = Params.__new__(Params)
    view._values, view.frame, view.path = values, frame, path
    return view


def _whole(params: Params) -> dict[str, Any]:
    return params.to_dict()


register(Params, digest=_whole, dump=_whole, load=Params)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a mapping and those in it, as dicts."""
    if isinstance(values, Params):
        return values.to_dict()
    for name in values:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the names of parameters are text, not {name!r}")
    return {
        name: plain(value) if isinstance(value, Mapping) else copy.deepcopy(value)
        for name, value in values.items()
    }


def below(path: str, name: str) -> str:
    """The pointer (RFC 6901) to an entry of what a pointer leads to."""
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"


def state(values: Mapping[str, Any], aspect: str, pointer: str) -> str | None:
    """The digest of what is at a pointer now; `None` for nothing."""
    found: Any = values
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    if aspect == "presence":
        found = True
    elif aspect == "names":
        found = list(found) if isinstance(found, Mapping) else None
    elif aspect == "value" and isinstance(found, Mapping):
        found = "a mapping"
        aspect = "kind"
    return _native.digest((aspect, found))


class Given:
    """The mappings of one call, while it lasts."""

    __slots__ = ("frames", "places", "views")

    def __init__(self, operation: str, mappings: dict[str, Mapping[str, Any]]) -> None:
        self.frames: list[_native.Frame] = []
        self.views: dict[str, Params] = {}
        self.places: list[str] = []
        for name, mapping in mappings.items():
            root = _root_of(mapping)
            if isinstance(mapping, Params) and root is not None:
                # The call around was given it and hands it on: both count by what is read of it.
                view, place = mapping, f"{root}{mapping.path}"
            else:
                root = f"{name}@{operation}".replace("/", "~1")
                values = plain(mapping)
                frame = _native.Frame(root, values)
                self.frames.append(frame)
                view, place = _view(values, frame, ""), root
            self.views[name] = view
            self.places.append(f"{name}={place}")

    def __enter__(self) -> Given:
        for frame in self.frames:
            frame.enter()
        return self

    def __exit__(self, *raised: object) -> None:
        for frame in reversed(self.frames):
            frame.leave()


def _root_of(mapping: Mapping[str, Any]) -> str | None:
    """Where a mapping belongs that a call of this thread was given."""
    frame = mapping.frame if isinstance(mapping, Params) else None
    return None if frame is None or not frame.is_entered() else frame.root
