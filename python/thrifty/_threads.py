"""Which body started a thread; imported when the first body takes its turn."""

from __future__ import annotations

import functools
import threading

from thrifty import _native

_start = threading.Thread.start


@functools.wraps(_start)
def _marked(self: threading.Thread) -> None:
    # An audit hook would do, but for Python 3.11, which tells it nothing of threads.
    _native.thread_starts(self)
    _start(self)


threading.Thread.start = _marked
