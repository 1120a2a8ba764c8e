"""Many processes use one cache at once; run alone it does so for a minute.

Every process calls tasks whose results it can tell, in an order of its own, removes entries now
and then, and reports what it saw. Nothing may be wrong, and nothing may be raised or warned of.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings

from thrifty import Cache, task, workflow


@task
def square(n: int) -> int:
    return n * n


@task(cache=Cache(serialize=True))
def together(n: int) -> list[int]:
    return list(range(n))


@task
def array(n: int):
    import numpy as np

    return np.full(20_000, n)


@task
def total(values) -> int:
    return int(values.sum())


@workflow
def pipeline(n: int) -> int:
    return square(total(array(n)))


def worker(number: int, until: float) -> int:
    """Calls until the time has come; gives the number of calls."""
    choose = random.Random(number)
    calls = 0
    while time.time() < until:
        n = choose.randrange(200)
        kind = choose.randrange(6)
        if kind == 0:
            assert square(n) == n * n
        elif kind == 1:
            assert together(n) == list(range(n))
        elif kind == 2:
            values = array(n)
            assert (values == n).all()
            values += 1
        elif kind == 3:
            assert pipeline(n) == (20_000 * n) ** 2
        elif kind == 4:
            assert pipeline.with_options(refresh="array", workers=2)(n) == (20_000 * n) ** 2
        else:
            assert square.map([n, n + 1]) == [n * n, (n + 1) ** 2]
        calls += 1
    return calls


def main() -> int:
    """Starts the processes and gathers what they report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--worker", type=int)
    parser.add_argument("--until", type=float)
    given = parser.parse_args()
    if given.worker is not None:
        warnings.simplefilter("error")
        print(worker(given.worker, given.until))
        return 0
    home = os.environ.setdefault("THRIFTY_HOME", tempfile.mkdtemp(prefix="thrifty-soak-"))
    until = time.time() + given.seconds
    command = [sys.executable, __file__, "--until", str(until), "--worker"]
    workers = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(given.processes)
    ]
    reports = [process.communicate()[0] for process in workers]
    wrong = sum(process.returncode != 0 for process in workers)
    calls = sum(int(report) for report in reports if report.strip())
    checked = subprocess.run([sys.executable, "-m", "thrifty", "fsck"], check=False)
    print(f"{calls} calls by {given.processes} processes in {home}: {wrong} wrong")
    return int(wrong > 0 or checked.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
