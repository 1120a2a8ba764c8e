"""Tasks of which only those parameters count that their bodies read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from thrifty import _native
from thrifty._params import Given, Params
from thrifty._task import Task, dressed
from thrifty.cache import Cache, merged

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Scoped(Task[P, R]):
    """A task with parameters that are annotated ``Params``.

    Called with values, it leaves them out of its key, and what the body reads of them is looked
    at again before a result is taken, as are the files it reads. In a workflow, where the graph
    is made of keys, they count whole.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value, or in a workflow its handle."""
        is_building = _native.is_building()
        given: dict[str, Mapping[str, Any]] = {}

        def convert(name: str, value: Any) -> Any:
            if name not in self._mappings or not isinstance(value, Mapping):
                return value
            if is_building:
                return value if isinstance(value, Params) else Params(value)
            given[name] = value
            return value

        names = _positions(self.__wrapped__)
        positional = [
            convert(names[at] if at < len(names) else "", it) for at, it in enumerate(args)
        ]
        named = {name: convert(name, value) for name, value in kwargs.items()}
        if not given:
            whole: Any = super().__call__
            return whole(*positional, **named)
        with Given(self.operation_name, given) as scope:
            for at, name in enumerate(names[: len(positional)]):
                positional[at] = scope.views.get(name, positional[at])
            named.update((name, view) for name, view in scope.views.items() if name in named)
            return self._within(tuple(scope.places))(*positional, **named)

    @property
    def _mappings(self) -> frozenset[str]:
        found: frozenset[str] | None = self.__dict__.get("_mapping_names")
        if found is None:
            found = frozenset(mappings_of(self.__wrapped__))
            self.__dict__["_mapping_names"] = found
        return found

    def _within(self, places: tuple[str, ...]) -> Task[..., R]:
        """The task whose key has the places of its mappings, and not what is in them."""
        made: dict[tuple[str, ...], Task[..., R]] = self.__dict__.setdefault("_made", {})
        if places not in made:
            said = merged(self._invocation or Cache(), self._definition)
            if said.key is not None or said.on_failure == "share":
                field = "key" if said.key is not None else "on_failure"
                raise TypeError(
                    f"{self.operation_name} has parameters that count by what is read of them, "
                    f"which Cache({field}=…) does not know: annotate them as Mapping instead"
                )
            scope = Cache(
                ignore=sorted({*(said.ignore or ()), *(it.split("=")[0] for it in places)}),
                salt=json.dumps([said.salt, *places]),
                observe=True,
            )
            invocation = merged(scope, self._invocation)
            function, run = self.__wrapped__, self._run
            task: Task[..., R] = Task(
                function, self.operation_name, False, self._definition, invocation, run
            )
            made[places] = dressed(task, function, False, (self._definition, invocation, run))
        return made[places]


def _positions(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def mappings_of(function: Callable[..., Any]) -> list[str]:
    """The names of the parameters that are annotated ``Params``."""
    try:
        annotations: dict[str, Any] = function.__annotations__
    except NameError:
        # Python 3.14, and a name that is defined later, or only for the type checker.
        return []
    return [name for name, declared in annotations.items() if is_params(declared)]


def is_params(declared: Any) -> bool:
    """Whether an annotation is ``Params``, as a class or as text."""
    if isinstance(declared, str):
        return declared.rpartition(".")[2].strip() == "Params"
    return declared is Params
