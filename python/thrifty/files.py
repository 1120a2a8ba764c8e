"""Files and directories as values: hashed by content, handed over by reference."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

from thrifty import _native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    StrPath = str | os.PathLike[str]


class File:
    """A file as an input or output of a task, known by its content.

    Two files with the same bytes are the same value, wherever they are. As an input, the content
    is what enters the key; an unchanged file costs one ``stat``. As an output, the file is kept in
    the cache; what comes back is a read-only file of the same name. It is the cache's: read it
    where it is, or take a copy of your own with :meth:`copy_to`.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "greeting.txt")
    >>> with open(path, "w") as stream:
    ...     _ = stream.write("hello")
    >>> file = File(path)
    >>> file.read_text()
    'hello'
    >>> file.copy_to(path + ".copy") == file
    True
    """

    __slots__ = ("_path",)

    def __init__(self, path: StrPath) -> None:
        """The value at ``path``, which is read when its content is asked for."""
        self._path = _absolute(path)

    @property
    def path(self) -> Path:
        """Where the file is."""
        from pathlib import Path

        return Path(self._path)

    @property
    def name(self) -> str:
        """The last component of the path."""
        return os.path.basename(self._path)

    @property
    def digest(self) -> str:
        """BLAKE3 of the content as it is now, 64 hexadecimal digits."""
        return _native._scan_file(self._path)[0]  # pyright: ignore[reportPrivateUsage]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return os.stat(self._path).st_size

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Opens the file to read it; ``options`` as for the builtin ``open``."""
        if mode not in ("r", "rt", "rb"):
            raise ValueError(f"a File is only read, not opened with mode {mode!r}: copy_to() first")
        return open(self._path, mode, **options)

    def read_bytes(self) -> bytes:
        """The content."""
        with open(self._path, "rb") as stream:
            return stream.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        with open(self._path, encoding=encoding) as stream:
            return stream.read()

    def copy_to(self, path: StrPath) -> File:
        """Makes a writable copy at ``path``, a directory or the new file, and returns it."""
        target = _absolute(path)
        if os.path.isdir(target):
            target = os.path.join(target, self.name)
        _copy(self._path, target)
        return File(target)

    def __fspath__(self) -> str:
        """The path, so that it can be given to ``open`` and the like."""
        return self._path

    def __eq__(self, other: object) -> bool:
        """Whether both have the same content now."""
        if not isinstance(other, File):
            return NotImplemented
        return self._path == other._path or self._content() == other._content()

    def _content(self) -> tuple[str, bool]:
        digest, _, executable = _native._scan_file(self._path)  # pyright: ignore[reportPrivateUsage]
        return digest, executable

    def __hash__(self) -> int:
        """Of the content as it is now."""
        return hash(("File", self._content()))

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"File({self._path!r})"

    def __reduce__(self) -> tuple[type[File], tuple[str]]:
        """Pickled as a path: a reference, not the content."""
        return File, (self._path,)


class Dir:
    """A directory as an input or output of a task, known by what is in it.

    The value is the paths in it, their contents, and which are executable. Symbolic links in it
    are an error. Otherwise as :class:`File`.
    """

    __slots__ = ("_path",)

    def __init__(self, path: StrPath) -> None:
        """The value at ``path``, which is read when its content is asked for."""
        self._path = _absolute(path)

    @property
    def path(self) -> Path:
        """Where the directory is."""
        from pathlib import Path

        return Path(self._path)

    @property
    def name(self) -> str:
        """The last component of the path."""
        return os.path.basename(self._path)

    @property
    def digest(self) -> str:
        """Digest of all paths and contents as they are now, 64 hexadecimal digits."""
        return _native._scan_directory(self._path)[0]  # pyright: ignore[reportPrivateUsage]

    def files(self) -> Iterator[File]:
        """The files in it and below, sorted by path."""
        for path in _native._scan_directory(self._path)[2]:  # pyright: ignore[reportPrivateUsage]
            yield File(os.path.join(self._path, path))

    def copy_to(self, path: StrPath) -> Dir:
        """Makes a writable copy, which becomes the new directory ``path``, and returns it."""
        target = _absolute(path)
        os.makedirs(target)
        for above, directories, names in os.walk(self._path):
            inside = os.path.join(target, os.path.relpath(above, self._path))
            for name in directories:
                os.mkdir(os.path.join(inside, name))
            for name in names:
                _copy(os.path.join(above, name), os.path.join(inside, name))
        return Dir(target)

    def __truediv__(self, name: str) -> str:
        """The path of something in it."""
        return os.path.join(self._path, name)

    def __fspath__(self) -> str:
        """The path, so that it can be given to ``open`` and the like."""
        return self._path

    def __eq__(self, other: object) -> bool:
        """Whether both have the same content now."""
        if not isinstance(other, Dir):
            return NotImplemented
        return self._path == other._path or self.digest == other.digest

    def __hash__(self) -> int:
        """Of the content as it is now."""
        return hash(("Dir", self.digest))

    def __repr__(self) -> str:
        """The call that makes it."""
        return f"Dir({self._path!r})"

    def __reduce__(self) -> tuple[type[Dir], tuple[str]]:
        """Pickled as a path: a reference, not the content."""
        return Dir, (self._path,)


def _absolute(path: Any) -> str:
    if isinstance(path, bytes):
        raise TypeError("a path is text, not bytes")
    return str(os.path.abspath(path))


def _copy(source: str, target: str) -> None:
    import shutil

    shutil.copyfile(source, target)
    if os.access(source, os.X_OK):
        os.chmod(target, os.stat(target).st_mode | 0o111)
