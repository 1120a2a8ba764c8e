"""Pickles that mean the same in the program that defines a class and in one that imports it.

In the program a class is ``__main__.Model``; where its file is imported it is ``model.Model``. A
pickle that is kept names it as importers do, and the program takes what is named so from itself.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from thrifty import _native

_RUNS = ("__main__", "__mp_main__")


def dumps(value: Any, callback: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    """A pickle of protocol 5, large buffers handed to the callback."""
    stream = io.BytesIO()
    Pickler(stream, 5, buffer_callback=callback).dump(value)
    return stream.getvalue()


def loads(stream: Any, buffers: Sequence[Any]) -> Any:
    """The value of a pickle."""
    return _Unpickler(io.BytesIO(stream), buffers=buffers).load()


class Pickler(pickle.Pickler):
    """Writes what the program defines under the name by which it is imported."""

    # Native: called for every object that is no plain builtin.
    reducer_override: Any = staticmethod(_native._reduced_by_name)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_loaded_as(module), name)


def found(module: str, name: str) -> Any:
    """What a name in a module stands for; named in pickles, and so part of their format."""
    at: Any = importlib.import_module(_loaded_as(module))
    for step in name.split("."):
        at = getattr(at, step)
    return at


def reduced(value: Any) -> Any:
    """What to write of a class, a function, or an object that says it is of the program."""
    module: Any = getattr(value, "__module__", None)
    runs = module in _RUNS
    if not runs and not _is_program(module):
        return NotImplemented
    name = _name_of(value)
    if not isinstance(name, str):
        return name
    program = _native._imported_as(module)
    if not runs:
        raise pickle.PicklingError(
            f"{module}.{name} was imported from the file that also runs as the program, in which "
            f"it is another object; move it into a module that the program imports"
        )
    if program in _RUNS or not _leads_to(value, module, name):
        return NotImplemented  # pickle says what is wrong, if anything is
    if not _is_program(program):
        raise pickle.PicklingError(
            f"the program that runs is named {program} as another module that is loaded, so that "
            f"its {name} could not be found again; rename the program's file"
        )
    return found, (program, name)


def _name_of(value: Any) -> Any:
    """The name that pickle would write, or what it would write in place of one."""
    rule = copyreg.dispatch_table.get(type(value))
    if rule is not None:
        return rule(value)
    if isinstance(value, (type, FunctionType)):
        return value.__qualname__
    return value.__reduce_ex__(5)


def _loaded_as(module: str) -> str:
    """Where to look for what a pickle names."""
    program: str = _native._imported_as("__main__")
    if module in _RUNS:
        # Of a notebook, or of another program altogether: its names say nothing here.
        if program not in _RUNS:
            raise pickle.UnpicklingError("it names what some other program defines")
        return "__main__"
    return "__main__" if module == program and _is_program(module) else module


def _is_program(module: Any) -> bool:
    """Whether a module that is imported under this name has the file of the program that runs.

    That a console script is named as the package it is of, as ``bin/thrifty``, means nothing.
    """
    if module != _native._imported_as("__main__"):
        return False
    other = getattr(sys.modules.get(module), "__file__", None)
    mine = getattr(sys.modules["__main__"], "__file__", None)
    return other is None or mine is None or os.path.realpath(other) == os.path.realpath(mine)


def _leads_to(value: Any, module: str, name: str) -> bool:
    at: Any = sys.modules.get(module)
    for step in name.split("."):
        at = getattr(at, step, None)
    return at is value
