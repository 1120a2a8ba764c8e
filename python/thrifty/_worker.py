"""In a worker process: runs one body after the other, for the program that started it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from thrifty import _native
from thrifty._raised import Raised, sent

# Where the program was when it opened its cache, and the variables that it had.
Origin = tuple[str, list[tuple[str, str]]]

# What of the program can change while a worker lives: its variables, its directory, where it
# imports from, its arguments.
Surroundings = tuple[dict[str, str], str, list[str], list[str]]

# The record of a result, and notes.
Kept = tuple[bytes, list[str]]

# What a body observed; what it was made of; when that expires; why a result must not be stored, in
# one word and for people.
Read = tuple[bytes, Any, int | None, tuple[str, str] | None]

# What a body gave; what it read, if it began; what it raised.
Performed = tuple[Kept | None, Read | None, BaseException | None]

# The same; and how many results of calls in it are not stored, by the reason.
Answer = tuple[Kept | None, Read | None, Raised | None, dict[str, int]]

# What a worker says when it is about to take calls.
READY = b"ready"


def surroundings() -> Surroundings:
    """Of this process, as they are now."""
    try:
        directory = os.getcwd()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            "the working directory of the program was removed, and a worker process would have "
            'to be in it: change to another one with os.chdir, or use executor="threads"'
        ) from error
    # Another thread may take one away meanwhile.
    pairs = ((name, os.environ.get(name)) for name in list(os.environ))
    variables = {name: value for name, value in pairs if value is not None}
    return variables, directory, list(sys.path), list(sys.argv)


def serve(calls: Connection, life: Connection, origin: Origin) -> None:
    """Answers one call after the other, until the program has none any more."""
    # An interrupt from the terminal reaches all processes; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_ends_with, args=(life,), daemon=True).start()
    _open_as(origin)
    calls.send_bytes(READY)
    around = surroundings()
    while True:
        try:
            told, call, chosen, mode = pickle.loads(calls.recv_bytes())
        except EOFError:
            return
        around = around if told is None else told
        calls.send_bytes(pickle.dumps(_answer(around, call, chosen, mode)))


def _ends_with(life: Connection) -> None:
    """Nobody is left to take what a body would give, once the program is gone."""
    try:
        life.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _open_as(origin: Origin) -> None:
    """Opens the cache that the program has, wherever that is by now."""
    directory, variables = origin
    now = surroundings()
    if os.path.isdir(directory):
        _take_on((dict(variables), directory, *now[2:]))
    _native.open_session()
    _take_on(now)


def _take_on(around: Surroundings) -> None:
    variables, directory, path, arguments = around
    zone = os.environ.get("TZ")
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if os.environ.get("TZ") != zone:
        time.tzset()
    os.chdir(directory)
    sys.path[:] = path
    sys.argv[:] = arguments


def _answer(around: Surroundings, call: bytes, chosen: dict[str, Any], mode: str) -> Answer:
    kept: Kept | None = None
    read: Read | None = None
    error: BaseException | None
    try:
        # What a body before this one changed is not there any more, either.
        _take_on(around)
        kept, read, error = _perform(call, chosen, mode)
    except BaseException as before:
        error = before
    raised = None if error is None else sent(error)
    return kept, read, raised, _native.take_unstored()


def _perform(call: bytes, chosen: dict[str, Any], mode: str) -> Performed:
    task, key, args, kwargs = pickle.loads(call)
    if task.definition_key() != key:
        # Its result would be stored under a key that does not describe it.
        raise RuntimeError(
            f"{task.operation_name} is not the same in a worker process: its file was changed "
            "since the program started, or the program changed a value that it uses after the "
            'import. Pass that value as an argument, or use executor="threads"'
        )
    return _native.perform(task, dereferenced(args), dereferenced(kwargs), chosen, mode)


class Reference:
    """Stands for a value of the cache in arguments that are sent to a worker."""

    __slots__ = ("record",)

    def __init__(self, record: bytes) -> None:
        self.record = record

    def __reduce__(self) -> tuple[type[Reference], tuple[bytes]]:
        return Reference, (self.record,)


def dereferenced(value: Any) -> Any:
    """The value, with what is in the cache in the places of references."""
    if isinstance(value, Reference):
        return _native.dereference(value.record)
    # Exactly these, as where references were put in: what derives from them is a value.
    if value.__class__ is list:
        return [dereferenced(item) for item in value]
    if value.__class__ is tuple:
        return tuple(dereferenced(item) for item in value)
    if value.__class__ is dict:
        return {key: dereferenced(item) for key, item in value.items()}
    return value
