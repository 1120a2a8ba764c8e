"""Types of your own: what stands for their values in keys, and how the values are kept."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar, overload

from thrifty import _native

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

T = TypeVar("T")
S = TypeVar("S")
H = TypeVar("H", bound="Callable[[Any], object]")

_GROUP = "thrifty.types"
_loading = threading.RLock()
_offers: list[tuple[str, EntryPoint]] | None = None
_loaded: set[str] = set()
# The thread that loads them: what they register leaves alone what the program did.
_loader: int | None = None


@overload
def register(type_: type[T], /) -> Callable[[H], H]: ...
@overload
def register(type_: type[T], /, *, digest: Callable[[T], object]) -> None: ...
@overload
def register(
    type_: type[T],
    /,
    *,
    digest: Callable[[T], object] | None = None,
    dump: Callable[[T], S],
    load: Callable[[S], T],
) -> None: ...
def register(
    type_: type[Any],
    /,
    *,
    digest: Callable[[Any], object] | None = None,
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], Any] | None = None,
) -> Callable[[H], H] | None:
    """Says what stands for the values of a type in keys, and how they are kept.

    Args:
        type_: The class. Its hooks hold for classes that derive from it as well, unless those
            have hooks of their own; the nearest base counts.
        digest: Gives what tells one value from another: text, bytes, a number, or anything else
            that has a digest, such as a tuple of arrays. Two values for which it gives the same
            are the same to every task. Without it, values are taken apart as ``pickle`` would.
        dump: Gives the content of a value as builtin values, arrays, frames, or tuples, lists and
            dicts of them.
        load: Makes the value again from that. Together with ``dump`` it keeps results without
            ``pickle``, and arrays come back by memory map. A result is stored only if the value
            that ``load`` gives has the digest of the one that was dumped.

    The code of the hooks counts: results are computed again when a hook changes. Register a type in
    the module that defines it, or where it is first used; worker processes import that, too.
    Without any hook this is a decorator for the one that gives the digest:

    >>> import queue
    >>> import thrifty
    >>> from thrifty import testing
    >>> @thrifty.register(queue.Queue)
    ... def queue_digest(jobs: queue.Queue) -> list:
    ...     return list(jobs.queue)
    >>> @thrifty.task
    ... def count(jobs: queue.Queue) -> int:
    ...     print("counting")
    ...     return jobs.qsize()
    >>> one, other = queue.Queue(), queue.Queue(maxsize=9)
    >>> one.put("a"), other.put("a")
    (None, None)
    >>> with testing.memory_cache():
    ...     count(one), count(other)
    counting
    (1, 1)
    """
    yields = threading.get_ident() == _loader
    if digest is dump is load is None:

        def decorator(hook: H) -> H:
            _native.register_type(type_, hook, None, None, yields)
            return hook

        return decorator
    _native.register_type(type_, digest, dump, load, yields)
    return None


def meet(module: str) -> bool:
    """Loads what installed packages ship for the types of a module; whether there is anything.

    The name of an entry point is the module, or a package around it, that it is for.
    """
    global _offers
    # Whoever comes while they are loaded must see them, or one value would get two digests.
    with _loading:
        if _offers is None:
            from importlib.metadata import entry_points

            _offers = [(point.name, point) for point in entry_points(group=_GROUP)]
        for_module = [
            (name, point) for name, point in _offers if f"{module}.".startswith(f"{name}.")
        ]
        for name, point in for_module:
            identity = f"{name} = {point.value}"
            if identity not in _loaded:
                _loaded.add(identity)
                _load(point)
        return bool(for_module)


def _load(point: EntryPoint) -> None:
    global _loader
    before, _loader = _loader, threading.get_ident()
    try:
        point.load()()
    except Exception as error:
        source = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
        warnings.warn(
            f"the entry point {point.name} = {point.value}{source} in the group {_GROUP} failed: "
            f"{type(error).__name__}: {error}. Values of {point.name} are treated as those of any "
            "other class; correct or remove the package",
            RuntimeWarning,
            stacklevel=2,
        )
    finally:
        _loader = before
