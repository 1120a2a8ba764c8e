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
    get, put, delete, go, default = (
        environ.__getitem__,
        environ.__setitem__,
        environ.__delitem__,
        environ.__iter__,
        environ.setdefault,
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

    def setdefault(self: Any, key: Any, value: Any) -> Any:
        _native.defaults_variable(key, value)
        try:
            return get(self, key)
        except KeyError:
            self[key] = value
        return value

    for new, old in (
        (__getitem__, get),
        (__setitem__, put),
        (__delitem__, delete),
        (__iter__, go),
        (setdefault, default),
    ):
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


def watch_lines() -> None:
    """Does the same with `linecache`, once that is loaded: it loads much that few programs need."""
    import linecache

    original = linecache.getlines

    def getlines(filename: Any, module_globals: Any = None) -> Any:
        entry: Any = linecache.cache.get(filename, ())
        # What is remembered of a file would be read without opening it.
        if len(entry) == 4 and entry[1] is not None and _native.is_asked_for(entry[3]):
            linecache.cache.pop(filename, None)
        return original(filename, module_globals)

    _disguise(getlines, original)
    linecache.getlines = getlines


def watch_maps(package: Any, library: Any) -> None:
    """Does the same with files that `pyarrow` maps, once that is loaded.

    Its classes that read files are closed: nothing can stand in their place.
    """
    original: Any = library.memory_map

    def memory_map(path: Any, mode: str = "r") -> Any:
        if mode != "w":
            _native.maps(path)
        return original(path, mode)

    _disguise(memory_map, original)
    library.memory_map = memory_map
    # It takes the function from there, if it has not yet.
    if vars(package).get("memory_map") is original:
        package.memory_map = memory_map


def _watch_system() -> None:
    pairs = (
        (os.getcwd, _native.getcwd),
        (os.stat, _native.stat),
        (os.lstat, _native.lstat),
        (os.access, _native.access),
        (os.readlink, _native.readlink),
        (os.open, _native.open),
        (os.scandir, _scanning(os.scandir)),
    )
    _native.stand_for(os.getcwd, os.stat, os.lstat, os.access, os.readlink, os.open)
    for old, new in pairs:
        _disguise(new, old)
        # Each is found where it says it is, to be pickled: what it stands for is still in `posix`.
        new.__module__ = "os"
        setattr(os, old.__name__, new)
        for abilities in (
            os.supports_dir_fd,
            os.supports_effective_ids,
            os.supports_fd,
            os.supports_follow_symlinks,
        ):
            if old in abilities:
                abilities.add(new)


def _scanning(original: Any) -> Any:
    def scandir(path=None):  # type: ignore[no-untyped-def]
        entries = original(path)
        if not _native.is_called_by_project():
            return entries
        return _Entries(entries, path if hasattr(path, "__index__") else None)

    return scandir


class _Entries:
    """What code of the project gets from `os.scandir`."""

    def __init__(self, entries: Any, handle: Any) -> None:
        self._entries = entries
        self._handle = handle

    def __iter__(self) -> _Entries:
        return self

    def __next__(self) -> _Entry:
        return _Entry(next(self._entries), self._handle)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *error: object) -> None:
        self._entries.close()

    def close(self) -> None:
        self._entries.close()


class _Entry:
    """An entry of a directory that tells what it is asked about what it leads to.

    Its name, and what it is itself, the listing of the directory tells.
    """

    # It is one for `isinstance`.
    __class__: Any = os.DirEntry

    def __init__(self, entry: Any, handle: Any) -> None:
        self._entry = entry
        # Of the directory, if it was listed by that: the path is a name in it then.
        self._handle = handle
        # What it has told and remembers since, as the system is not asked again: by then the handle
        # may be closed, or lead elsewhere. Facts by whether a link was followed for them.
        self._told_facts: set[bool] = set()
        self._told_kind = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def __fspath__(self) -> Any:
        return self._entry.path

    def __repr__(self) -> str:
        return repr(self._entry)

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        follows = bool(follow_symlinks) and self._entry.is_symlink()
        if follows not in self._told_facts:
            self._tell(follow_symlinks)
        facts = self._entry.stat(follow_symlinks=follow_symlinks)
        self._told_facts.add(follows)
        return facts

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(self._entry.is_dir, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(self._entry.is_file, follow_symlinks)

    def _is(self, ask: Any, follow_symlinks: bool) -> bool:
        is_told = self._told_kind or True in self._told_facts
        if follow_symlinks and not is_told and self._entry.is_symlink():
            self._tell(follow_symlinks)
        is_it = ask(follow_symlinks=follow_symlinks)
        # What is not there is not remembered.
        self._told_kind |= is_it and bool(follow_symlinks)
        return is_it

    def _tell(self, follow_symlinks: bool) -> None:
        _native.asks_of_entry(self._entry.path, self._handle, bool(follow_symlinks))


def _disguise(new: Any, old: Any) -> None:
    _native.stands_for(new, old)
    new.__module__ = old.__module__
    if not hasattr(new, "__self__"):
        new.__qualname__ = old.__qualname__
        new.__doc__ = old.__doc__
