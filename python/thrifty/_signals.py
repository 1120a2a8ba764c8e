"""Signals by which the system asks the command to end while it runs an operation file."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

_HEEDED = (signal.SIGTERM, signal.SIGHUP)

_last: int | None = None
_forking = threading.local()


def heed() -> None:
    """From now on each of them is an interrupt. What is ignored, as under nohup, stays so."""
    for number in _HEEDED:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def last() -> int | None:
    """The last that came."""
    return _last


def _interrupt(number: int, _: FrameType | None) -> None:
    global _last
    _last = number
    raise KeyboardInterrupt


def _before_fork() -> None:
    # One that reaches a child before it has its own handlers would be lost.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    # Who ends the children of a pool does so by a signal, which is to end them as any process.
    for number in _HEEDED:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)
    _after_fork()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)
