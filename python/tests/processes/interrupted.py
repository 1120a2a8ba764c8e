"""A program to be interrupted: ``interrupted.py SEED`` works a while and says ``done``."""

from __future__ import annotations

import random
import signal
import sys

import operations
from operations import call_name, content, say


def main(seed: str) -> None:
    operations.begin()
    # A shell that starts the tests in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    choose = random.Random(seed)
    say("ready")
    for _ in range(40):
        n = choose.randrange(60)
        kind = choose.randrange(6)
        if kind == 0:
            assert operations.square(n, call_name()) == n * n
        elif kind == 1:
            assert operations.together(choose.randrange(10**6), call_name()) > 0
        elif kind == 2:
            assert operations.text(n + 1_000, call_name()) == content(n + 1_000)
        elif kind == 3:
            assert operations.pipeline.with_options(workers=2)(n, call_name()) == 300_000
        elif kind == 4:
            refreshed = operations.text.with_options(refresh="*text")
            assert refreshed(n, call_name()) == content(n)
        else:
            assert operations.large(n, call_name()) == content(n, 2_000_000)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
