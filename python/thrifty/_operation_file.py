"""Functions that operation files name: found, checked, and given arguments."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from datetime import timedelta
from typing import Any

from thrifty import _native
from thrifty._task import Task, task
from thrifty.cache import Cache
from thrifty.files import Dir, File


class Refused(Exception):
    """An operation names a function that is not there, or gives it what it does not take."""


_made: dict[object, Task[..., Any]] = {}


def load(base: str | os.PathLike[str], target: str) -> Task[..., Any]:
    """The task that ``module:name`` stands for; a plain function is made one."""
    base = os.fspath(base)
    module_name, _, name = target.partition(":")
    # As for the scripts of commands: the project is where the operation file is.
    if sys.path[:1] != [base]:
        sys.path.insert(0, base)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        known = [entry[:-3] for entry in sorted(os.listdir(base)) if entry.endswith(".py")]
        hint = _native.did_you_mean(error.name, known)
        raise Refused(
            f"there is no module `{error.name}` beside the operation file; {hint}"
        ) from None
    module = found
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        known = [key for key, value in vars(module).items() if _is_of(module_name, value)]
        hint = _native.did_you_mean(name, known)
        raise Refused(f"`{module_name}` has no `{name}`; {hint}")
    if isinstance(found, Task):
        return found
    if not inspect.isfunction(found):
        raise Refused(f"`{target}` is neither a task nor a function, but {type(found).__name__}")
    if found not in _made:
        try:
            _made[found] = task(found)
        except TypeError as error:
            raise Refused(str(error)) from None
    return _made[found]


def _is_of(module: str, value: object) -> bool:
    is_function = isinstance(value, Task) or inspect.isfunction(value)
    return is_function and getattr(value, "__module__", None) == module


def check(base: str | os.PathLike[str], target: str, given: list[str], seed: int | None) -> None:
    """Refuses arguments that the function does not take, and to leave out one that it needs."""
    found = load(base, target)
    parameters = inspect.signature(found.__wrapped__).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    by_name = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for name in given:
        if name not in by_name and inspect.Parameter.VAR_KEYWORD not in kinds:
            hint = _native.did_you_mean(name, list(by_name))
            raise Refused(f"`{target}` takes no argument `{name}`; {hint}")
    filled = found.with_options(seed=seed).filled()
    for name, parameter in by_name.items():
        if name not in (*given, *filled) and parameter.default is parameter.empty:
            raise Refused(
                f"`{target}` needs the argument `{name}`: give it in `params` or `inputs`"
            )
    if any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in parameters.values()):
        raise Refused(f"`{target}` has arguments that cannot be given by name")


def overridden(found: Task[..., Any], fields: dict[str, Any]) -> Task[..., Any]:
    """The task, with what the operation says about the cache."""
    for name in ("max_age", "expires"):
        if name in fields:
            fields[name] = timedelta(seconds=fields[name])
    try:
        return found.with_overrides(cache=Cache(**fields)) if fields else found
    except (TypeError, ValueError) as error:
        raise Refused(str(error)) from None


def on_disk(path: str) -> File | Dir:
    """The file or directory at a path, as an argument."""
    return Dir(path) if os.path.isdir(path) else File(path)


def exported(value: Any) -> tuple[str, str]:
    """What a command can take of a value: the path of a file, or JSON."""
    if isinstance(value, (File, Dir)):
        return "path", str(value.path)
    try:
        return "json", json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Refused(
            f"a command cannot take it, as it is a {type(value).__name__} ({error}): return a "
            "thrifty.File of it, or values of JSON"
        ) from None
