"""What an operation asks of the cache."""

from __future__ import annotations

from thrifty import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from typing import Any, Literal

    Mode = Literal["on", "refresh", "read-only", "off"]
    Code = Literal["closure", "function", "none"]
    OnFailure = Literal["next", "share"]
    Duration = str | float | timedelta

_MODES = ("on", "refresh", "read-only", "off")
_CODES = ("closure", "function", "none")
_ON_FAILURE = ("next", "share")


class Cache:
    """What an operation asks of the cache; a field that is not given says nothing.

    Given at a definition, ``@task(cache=Cache(...))``, or for single calls,
    ``train.with_overrides(cache=Cache(...))``. There, the fields that are given replace those of
    the definition, and the others stay.

    >>> from thrifty import Cache
    >>> Cache(version="1.0", ignore="verbose", expires="7d")
    Cache(version='1.0', ignore=('verbose',), expires='7d')

    A name that does not exist is an error at once:

    >>> Cache(verison="1.0")
    Traceback (most recent call last):
    TypeError: Cache has no field 'verison': did you mean `version`?

    Attributes:
        mode: ``"on"``; ``"refresh"``: compute again and replace what is stored; ``"read-only"``:
            store nothing; ``"off"``: neither look up nor store.
        version: Stands in the key in the place of the code: the entries hold until it changes.
            Text or an integer.
        code: How much of the code is in the key. ``"closure"``: the function and everything of
            the project that it can reach, which is the default; ``"function"``: its own body;
            ``"none"``.
        ignore: Parameters that do not enter the key.
        inputs: The only parameters that enter the key.
        salt: Keeps these entries apart from those under another salt.
        key: A function that takes the arguments of a call and returns what enters the key in the
            place of all of them.
        env: Environment variables whose values enter the key.
        packages: Installed distributions whose versions enter the key.
        files: Files whose contents enter the key.
        sources: Source files whose contents count as part of the code.
        observe: Whether the files and environment variables that the function reads while it runs
            are recorded, and looked at again before its result is taken from the cache; the
            default is the configuration's, and there yes.
        serialize: While another process computes a value, wait for it.
        on_failure: What those who wait do when the one who computes fails. ``"next"``: one of
            them computes, which is the default; ``"share"``: they fail with it.
        max_age: The reader takes no entry that is older. Text such as ``"7d"``, ``"1h30m"`` or
            ``"45s"``, seconds, or a ``timedelta``.
        expires: An entry that is written now holds that long.
    """

    __slots__ = (
        "_expires_seconds",
        "_max_age_seconds",
        "code",
        "env",
        "expires",
        "files",
        "ignore",
        "inputs",
        "key",
        "max_age",
        "mode",
        "observe",
        "on_failure",
        "packages",
        "salt",
        "serialize",
        "sources",
        "version",
    )

    if TYPE_CHECKING:
        mode: Mode | None
        version: str | None
        code: Code | None
        ignore: tuple[str, ...] | None
        inputs: tuple[str, ...] | None
        salt: str | None
        key: Callable[..., Any] | None
        env: tuple[str, ...] | None
        packages: tuple[str, ...] | None
        files: tuple[str, ...] | None
        sources: tuple[str, ...] | None
        observe: bool | None
        serialize: bool | None
        on_failure: OnFailure | None
        max_age: Duration | None
        expires: Duration | None
        _max_age_seconds: float | None
        _expires_seconds: float | None

        def __init__(
            self,
            *,
            mode: Mode | None = None,
            version: str | int | None = None,
            code: Code | None = None,
            ignore: str | Iterable[str] | None = None,
            inputs: str | Iterable[str] | None = None,
            salt: str | None = None,
            key: Callable[..., Any] | None = None,
            env: str | Iterable[str] | None = None,
            packages: str | Iterable[str] | None = None,
            files: str | Iterable[str] | None = None,
            sources: str | Iterable[str] | None = None,
            observe: bool | None = None,
            serialize: bool | None = None,
            on_failure: OnFailure | None = None,
            max_age: Duration | None = None,
            expires: Duration | None = None,
        ) -> None: ...

    else:

        def __init__(self, **fields):
            for name in fields:
                if name not in _FIELDS:
                    hint = _native.did_you_mean(name, list(_FIELDS))
                    raise TypeError(f"Cache has no field {name!r}: {hint}")
            keep = object.__setattr__
            for name, read in _FIELDS.items():
                given = fields.get(name)
                keep(self, name, None if given is None else read(name, given))
            keep(self, "_max_age_seconds", _seconds("max_age", self.max_age))
            keep(self, "_expires_seconds", _seconds("expires", self.expires))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Cache does not change: make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Cache does not change: make another one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cache):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(tuple(self._compared().items()))

    def _compared(self) -> dict[str, Any]:
        durations = {"max_age": self._max_age_seconds, "expires": self._expires_seconds}
        return {name: durations.get(name, value) for name, value in _given(self).items()}

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in _given(self).items())
        return f"Cache({fields})"

    def __reduce__(self) -> tuple[object, ...]:
        return _of_fields, (_given(self),)


def _given(cache: Cache) -> dict[str, Any]:
    """The fields that say something."""
    fields = ((name, getattr(cache, name)) for name in _FIELDS)
    return {name: value for name, value in fields if value is not None}


def _of_fields(fields: dict[str, Any]) -> Cache:
    return Cache(**fields)


def merged(above: Cache, below: Cache | None) -> Cache:
    """What ``above`` says, and ``below`` where it says nothing."""
    return above if below is None else _of_fields({**_given(below), **_given(above)})


def cache_of(given: Any, where: str) -> Cache | None:
    """What stands behind ``cache=``: True is ``Cache(mode="on")``, False is ``"off"``."""
    if given is None or isinstance(given, Cache):
        return given
    if isinstance(given, bool):
        return Cache(mode="on" if given else "off")
    if isinstance(given, str):
        return _of_fields({"mode": given})
    kind = type(given).__name__
    raise TypeError(f"the cache of {where} is a Cache, True, False or a mode, not {kind}")


def _word(allowed: tuple[str, ...]) -> Callable[[str, object], str]:
    def read(name: str, value: object) -> str:
        if not isinstance(value, str):
            raise _wrong(name, "one of " + ", ".join(map(repr, allowed)), value)
        if value not in allowed:
            hint = _native.did_you_mean(value, list(allowed))
            raise ValueError(f"Cache({name}={value!r}) has no meaning: {hint}")
        return value

    return read


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def _version(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _wrong(name, 'text, such as "1.0", or an integer', value)
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    kind = value.__class__
    if kind in (set, frozenset):
        value = sorted(value, key=str)
    if kind not in (set, frozenset, tuple, list) or not all(isinstance(it, str) for it in value):
        raise _wrong(name, "a name, or several in a tuple", value)
    return tuple(value)


def _paths(name: str, value: Any) -> tuple[str, ...]:
    import os

    paths: list[Any] = list(value) if value.__class__ in (tuple, list) else [value]
    try:
        return _names(name, [os.fspath(path) for path in paths])
    except TypeError:
        raise _wrong(name, "a path, or several in a tuple", value) from None


def _function(name: str, value: object) -> object:
    if not callable(value):
        raise _wrong(name, "a function of the arguments", value)
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


def _duration(name: str, value: object) -> object:
    _seconds(name, value)
    return value


def _seconds(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return _native.parse_duration(value)
        except ValueError as error:
            raise ValueError(f"Cache({name}={value!r}): {error}") from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif hasattr(value, "total_seconds"):
        seconds = float(value.total_seconds())  # pyright: ignore
    else:
        raise _wrong(name, 'text such as "7d", seconds, or a timedelta', value)
    if not 0 <= seconds < 2**63:
        raise ValueError(f"Cache({name}={value!r}) is no length of time")
    return seconds


def _wrong(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"Cache({name}=…) is {wanted}, not {type(value).__name__}")


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "mode": _word(_MODES),
    "version": _version,
    "code": _word(_CODES),
    "ignore": _names,
    "inputs": _names,
    "salt": _text,
    "key": _function,
    "env": _names,
    "packages": _names,
    "files": _paths,
    "sources": _paths,
    "observe": _flag,
    "serialize": _flag,
    "on_failure": _word(_ON_FAILURE),
    "max_age": _duration,
    "expires": _duration,
}
