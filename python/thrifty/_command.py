"""The half of the ``thrifty`` command that needs Python: workflows and their parameters."""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any, Literal, Union, get_args, get_origin

from thrifty._task import Task


class UnknownTarget(Exception):
    """There is no such module or workflow: the reason, the unknown name, and those there are."""


class UnknownParameter(Exception):
    """The workflow has no such parameter: its name, and those there are."""


class BadValue(Exception):
    """A parameter does not take this value."""


def load(target: str) -> Task[..., Any]:
    """Import the workflow or task that ``module:name`` stands for."""
    module_name, _, name = target.partition(":")
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        reason = f"there is no module `{error.name}` here"
        raise UnknownTarget(reason, error.name, _modules(directory)) from None
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Task):
        return found
    known = [key for key, value in vars(module).items() if isinstance(value, Task)]
    if found is None:
        raise UnknownTarget(f"`{module_name}` has no `{name}`", name, known)
    raise UnknownTarget(f"`{name}` is neither a task nor a workflow", name, known)


def _modules(directory: str) -> list[str]:
    return [entry[:-3] for entry in sorted(os.listdir(directory)) if entry.endswith(".py")]


def operations() -> list[str]:
    """Name all tasks and workflows of the modules that are loaded."""
    found = {
        value.operation_name
        for module in list(sys.modules.values())
        for value in list(getattr(module, "__dict__", {}).values())
        if isinstance(value, Task)
    }
    return sorted(found)


def arguments(target: Task[..., Any], given: list[tuple[str, str]]) -> dict[str, Any]:
    """Turn parameters as written into values of their declared types."""
    import inspect

    signature = inspect.signature(target.__wrapped__)
    values: dict[str, Any] = {}
    for name, text in given:
        parameter = signature.parameters.get(name)
        if parameter is None:
            raise UnknownParameter(name, list(signature.parameters))
        values[name] = _value(name, text, _declared(target, parameter))
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if name not in (*values, *target.filled())
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        wanted = " ".join(f"-p {name}=…" for name in missing)
        raise BadValue(f"a value is missing: {wanted}")
    return values


def _declared(target: Task[..., Any], parameter: Any) -> Any:
    """Evaluate the annotation of a parameter; what cannot be evaluated is no annotation."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, target.__wrapped__.__globals__)
        except Exception:  # a name that only the type checker imports
            return parameter.empty
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if annotation is parameter.empty and parameter.default not in (parameter.empty, None):
        return type(parameter.default)
    return annotation


def _value(name: str, text: str, declared: Any) -> Any:
    import inspect

    if declared is inspect.Parameter.empty or declared is Any:
        return _literal(text)
    if get_origin(declared) in (Union, types.UnionType):
        return _one_of(name, text, get_args(declared))
    if get_origin(declared) is Literal:
        for choice in get_args(declared):
            if str(choice) == text:
                return choice
        raise BadValue(f"{name}={text!r}: may be {', '.join(map(str, get_args(declared)))}")
    return _convert(name, text, declared)


def _one_of(name: str, text: str, choices: tuple[Any, ...]) -> Any:
    if type(None) in choices and text.lower() in ("none", "null"):
        return None
    failure: BadValue | None = None
    # Text takes everything, so it comes last.
    for choice in sorted(choices, key=lambda choice: choice is str):
        if choice is type(None):
            continue
        try:
            return _value(name, text, choice)
        except BadValue as error:
            failure = error
    raise failure or BadValue(f"{name}={text!r}: not one of {choices}")


def _convert(name: str, text: str, declared: Any) -> Any:
    base = get_origin(declared) or declared
    if base is str:
        return text
    if base is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() in words:
            return words[text.lower()]
        raise BadValue(f"{name}={text!r}: may be true or false")
    if base in (list, tuple, dict, set, frozenset):
        value = _literal(text)
        if isinstance(value, str):
            raise BadValue(f"{name}={text!r}: write a {base.__name__} as in Python")
        return base(value)
    try:
        made = base(text)
    except Exception as error:
        wanted = getattr(base, "__name__", str(base))
        raise BadValue(f"{name}={text!r} is no {wanted}: {error}") from None
    if base.__module__ == "thrifty.files":
        _check_there(name, text, base.__name__)
    return made


def _check_there(name: str, text: str, kind: str) -> None:
    there = os.path.isdir(text) if kind == "Dir" else os.path.isfile(text)
    if not there:
        wanted = "directory" if kind == "Dir" else "file"
        raise BadValue(f"{name}={text!r}: there is no such {wanted}, seen from {os.getcwd()}")


def _literal(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
