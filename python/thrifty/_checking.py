"""Checks: which operations are executed again, how often, and what that says."""

from __future__ import annotations

import os
import random
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from thrifty import _native
from thrifty._clean import Processes
from thrifty._processes import pickled
from thrifty.checks import Check, CheckReport

if TYPE_CHECKING:
    from collections.abc import Iterator

# A waiting thread notices an interrupt only between two waits.
_PATIENCE = 0.2

# How many facts of the environment are told at most.
_FACTS = 6


def check(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CheckReport:
    """Checks a call of a task or workflow."""
    checks, stored, unknown = _native.check(task, args, kwargs)
    return CheckReport(checks, stored=stored, unknown=unknown)


def drawn(count: int, share: float, at_least: int) -> list[int]:
    """So many of a number of operations, drawn by lot.

    >>> drawn(3, 1.0, 0), drawn(3, 0.0, 0), len(drawn(100, 0.25, 0)), len(drawn(9, 0.01, 1))
    ([0, 1, 2], [], 25, 1)
    """
    lot = random.SystemRandom()
    # A share of 5 % of ten operations is one of them in every second run.
    wanted = int(count * share + lot.random())
    return sorted(lot.sample(range(count), min(count, max(wanted, at_least))))


def judged(jobs: list[dict[str, Any]], workers: int) -> Iterator[tuple[int, Check]]:
    """Executes each job, and gives its number and verdict as they come."""
    processes = Processes()
    pool = ThreadPoolExecutor(max(1, min(workers, len(jobs))))
    try:
        open_: dict[Future[Check], int] = {
            pool.submit(_judge, job, processes): number for number, job in enumerate(jobs)
        }
        while open_:
            done, _ = wait(open_, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
            for future in done:
                yield open_.pop(future), future.result()
    finally:
        processes.stop()
        pool.shutdown(cancel_futures=True)


def _judge(job: dict[str, Any], processes: Processes) -> Check:
    try:
        return _judged(job, processes)
    except OSError as error:
        return _check(job, "not-checkable", reason=f"cannot start a clean process: {error}")


def _judged(job: dict[str, Any], processes: Processes) -> Check:
    if "unusable" in job:
        return _check(job, "not-checkable", reason=job["unusable"])
    try:
        call = _packed(job)
    except Exception as error:
        reason = f"it cannot be sent to a clean process: {error}"
        return _check(job, "not-checkable", reason=reason)
    seeds = _seeds()
    first = processes.execute(call, seeds[0])
    seconds = first.get("seconds", 0.0)
    if "unusable" in first:
        return _check(job, "not-checkable", reason=first["unusable"])
    if reason := first.get("raised") or first.get("died"):
        causes = _causes(job, first)
        return _check(job, "failed", reason=reason, causes=causes, seconds=seconds)
    reads = sorted({*job["reads"], *first["reads"]})
    if first["digest"] == job["digest"] or first.get("is_equal"):
        return _check(job, "same", reads=reads, seconds=seconds)
    if job["hashes_parts"]:
        reason = (
            "parts of its result are hashed by methods of the tasks they come from: check those"
        )
        return _check(job, "not-checkable", reason=reason, seconds=seconds)
    second = processes.execute(call, seeds[1])
    seconds += second.get("seconds", 0.0)
    told = {"differences": first["differences"], "reads": reads, "seconds": seconds}
    if second.get("digest") == first["digest"]:
        return _check(job, "differs", causes=_causes(job, first), **told)
    # Once more under the first seed, to tell the order of sets from all other chance.
    third = processes.execute(call, seeds[0])
    told["seconds"] += third.get("seconds", 0.0)
    causes = sorted(first["notes"], key=lambda note: "random" not in note)
    if third.get("digest") == first["digest"]:
        causes.append("it depends on PYTHONHASHSEED: on the order of a set, or on hash()")
    return _check(job, "nondeterministic", causes=causes, **told)


def _packed(job: dict[str, Any]) -> bytes:
    task = job["task"]
    stored = job["record"], job["digest"]
    arguments = task.definition_key(), job["args"], job["kwargs"], job["stream"]
    return pickled(task, (task, *arguments, stored, job["is_secret"]))


def _seeds() -> tuple[int, int]:
    """Two hash seeds that are neither equal nor that of this process."""
    own = os.environ.get("PYTHONHASHSEED", "")
    seeds = random.SystemRandom().sample(range(1, 2**32), 3)
    first, second, *_ = (seed for seed in seeds if str(seed) != own)
    return first, second


def _check(job: dict[str, Any], verdict: Any, **told: Any) -> Check:
    return Check(job["operation"], job["number"], job["key"], verdict, **told)


def _causes(job: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    """What differs between here and where the stored result was computed."""
    causes = list(job["blind"])
    new = set(answer.get("reads", ())).difference(job["reads"])
    causes += [f"it reads {what}, which is not known of the stored result" for what in sorted(new)]
    causes += answer.get("notes", ())
    then, now = job["environment"], answer.get("environment", {})
    changed = [name for name in sorted(then) if name in now and then[name] != now[name]]
    first = [name for name in ("python", "platform", "cores", "thrifty") if name in changed]
    changed = first + [name for name in changed if name not in first]
    causes += [f"{name} was {then[name]}, and is {now[name]}" for name in changed[:_FACTS]]
    if more := changed[_FACTS:]:
        causes.append(f"and {len(more)} other versions, such as {more[0]}")
    if job["there"] != job["here"]:
        there, here = (f"{user}@{host}" for host, user in (job["there"], job["here"]))
        causes.append(f"it was computed by {there}, and this is {here}")
    unseen = "something its key does not see: a service, the clock, a program that it starts"
    return causes or [unseen]
