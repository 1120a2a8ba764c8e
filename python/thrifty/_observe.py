"""Tells the native half what no audit event tells: variables, questions about paths, threads.

Installed when the first body that is observed begins. Nothing else changes: each function here
tells, and does what the one in whose place it stands did.
"""

from __future__ import annotations

import os
import threading

from thrifty import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def install() -> None:
    """Puts the functions in their places."""
    _watch_variables(type(os.environ))
    _watch_threads(threading.Thread)
    _watch_paths()
    _watch_system()


def _watch_variables(environ: Any) -> None:
    get, put, delete, go = (
        environ.__getitem__,
        environ.__setitem__,
        environ.__delitem__,
        environ.__iter__,
    )

    def __getitem__(self: Any, key: Any) -> Any:
        _native.reads_variable(key)
        return get(self, key)

    def __setitem__(self: Any, key: Any, value: Any) -> None:
        _native.sets_variable(key)
        put(self, key, value)

    def __delitem__(self: Any, key: Any) -> None:
        _native.sets_variable(key)
        delete(self, key)

    def __iter__(self: Any) -> Iterator[Any]:
        _native.reads_all_variables()
        return go(self)

    for new, old in ((__getitem__, get), (__setitem__, put), (__delitem__, delete), (__iter__, go)):
        _disguise(new, old)
        setattr(environ, old.__name__, new)


def _watch_threads(thread: Any) -> None:
    original = thread.start

    def start(self: Any) -> None:
        _native.starts_thread(self)
        original(self)

    _disguise(start, original)
    thread.start = start


def _watch_paths() -> None:
    import posixpath

    original = posixpath.expanduser

    def expanduser(path: Any) -> Any:
        expanded = original(path)
        _native.expands(expanded)
        return expanded

    _disguise(expanduser, original)
    posixpath.expanduser = expanduser


def _watch_system() -> None:
    import posix

    pairs = (
        (os.getcwd, _native.getcwd),
        (os.stat, _native.stat),
        (os.readlink, _native.readlink),
    )
    _native.stand_for(os.getcwd, os.stat, os.readlink)
    for old, new in pairs:
        _disguise(new, old)
        # Both names, so that it is still found where it says it is.
        setattr(os, old.__name__, new)
        setattr(posix, old.__name__, new)
        for abilities in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if old in abilities:
                abilities.add(new)


def _disguise(new: Any, old: Any) -> None:
    new.__module__ = old.__module__
    if not hasattr(new, "__self__"):
        new.__qualname__ = old.__qualname__
        new.__doc__ = old.__doc__
