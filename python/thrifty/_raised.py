"""What a body in a worker process raises, on its way to the program."""

from __future__ import annotations

import copyreg
import io
import pickle
import traceback
from typing import Any

# The exception, if it can be sent; its type and text; the traceback.
Raised = tuple[bytes | None, str, str]


class _Traceback(Exception):
    """The traceback in the worker process, as the cause of what is raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def sent(error: BaseException) -> Raised:
    """The exception, in a form that arrives whatever it holds."""
    frames = "".join(traceback.format_exception(error))
    kind = type(error)
    named = f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error)
    except Exception as failed:
        text = f"its text could not be made: {type(failed).__name__}"
    return _pickled(error), f"{named}: {text}", frames


def arrived(raised: Raised) -> BaseException:
    """The exception, to be raised here."""
    pickled, text, frames = raised
    error: BaseException | None = None
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except Exception as failed:
            text = f"{text} ({type(failed).__name__}: {failed})"
    if not isinstance(error, BaseException):
        error = RuntimeError(
            f"{text}\n(this exception of a worker process cannot be sent between processes. Raise "
            "one of a class at the top level of a module, whose arguments can be pickled, or use "
            'executor="threads")'
        )
    error.__cause__ = _Traceback(frames)
    return error


def _pickled(error: BaseException) -> bytes | None:
    for kind in (_Pickler, _SparingPickler):
        stream = io.BytesIO()
        try:
            kind(stream, protocol=5).dump(error)
            # What cannot be read back would be an error of its own where it arrives.
            pickle.loads(stream.getvalue())
        except Exception:
            continue
        return stream.getvalue()
    return None


class _Pickler(pickle.Pickler):
    """Sends exceptions as they are.

    `BaseException` says that its class is to be called again, with `args`. An `__init__` of the
    class may take others than it hands on, and did its work when the exception was made.
    """

    def reducer_override(self, value: object) -> Any:
        if not isinstance(value, BaseException) or type(value) in copyreg.dispatch_table:
            return NotImplemented
        kind: type[BaseException] = type(value)
        reduced: Any = value.__reduce_ex__(5)
        if not isinstance(reduced, tuple):
            return NotImplemented
        make, args, *state = reduced
        base = _builtin(kind)
        says_how = kind.__reduce__ is not base.__reduce__ or (
            kind.__reduce_ex__ is not base.__reduce_ex__
        )
        if make is kind and kind.__init__ is not base.__init__ and not says_how:
            make, args = _made_again, (kind, args)
        return make, args, *self.state(state)

    def state(self, state: list[Any]) -> list[Any]:
        """What is sent of the attributes."""
        return state


class _SparingPickler(_Pickler):
    """Leaves out the attributes that cannot be sent, and says so in a note."""

    def state(self, state: list[Any]) -> list[Any]:
        if not state or not isinstance(state[0], dict):
            return state
        kept = {name: value for name, value in state[0].items() if _can_be_sent(value)}
        left = ", ".join(name for name in state[0] if name not in kept)
        if left:
            note = f"without its attributes that cannot be sent between processes: {left}"
            kept["__notes__"] = [*kept.get("__notes__", ()), note]
        return [kept, *state[1:]]


def _can_be_sent(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value, protocol=5))
    except Exception:
        return False
    return True


def _made_again(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    base = _builtin(kind)
    made = base.__new__(kind, *args)
    base.__init__(made, *args)
    return made


def _builtin(kind: type[BaseException]) -> Any:
    """The exception of the language that it is derived from, whose `__init__` fills its fields."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")
