"""What a check found: operations executed again, and compared with what is stored of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    Verdict = Literal["same", "nondeterministic", "differs", "failed", "not-checkable"]

_FINDINGS = ("nondeterministic", "differs", "failed")


@final
class Check:
    """One operation that was executed again in a clean process.

    Attributes:
        operation: Its name.
        number: Its number in the run.
        key: The key of its entry.
        verdict: ``"same"``: what came out is what is stored. ``"nondeterministic"``: it came out
            different each time. ``"differs"``: it came out twice the same, and not as it is
            stored, so that the key misses something. ``"failed"``: it raises now.
            ``"not-checkable"``: it cannot be executed in another process, or not be compared.
        differences: Where what came out is not what is stored, and how.
        reads: Files, directories and variables that its body reads without declaring them.
        causes: What may have made the difference, likeliest first.
        reason: What it raised, or why it is not checkable.
        seconds: How long executing it took.
    """

    __slots__ = (
        "causes",
        "differences",
        "key",
        "number",
        "operation",
        "reads",
        "reason",
        "seconds",
        "verdict",
    )

    def __init__(
        self,
        operation: str,
        number: int,
        key: str,
        verdict: Verdict,
        *,
        differences: list[str] | None = None,
        reads: list[str] | None = None,
        causes: list[str] | None = None,
        reason: str = "",
        seconds: float = 0.0,
    ) -> None:
        self.operation = operation
        self.number = number
        self.key = key
        self.verdict: Verdict = verdict
        self.differences = differences or []
        self.reads = reads or []
        self.causes = causes or []
        self.reason = reason
        self.seconds = seconds

    @property
    def is_finding(self) -> bool:
        """Whether the entry is in doubt."""
        return self.verdict in _FINDINGS

    def __repr__(self) -> str:
        return f"<Check of {self.operation}: {self.verdict}>"

    def __str__(self) -> str:
        lines = [f"{self.verdict:<16}  {self.operation}"]
        lines += [f"    {line}" for line in self.differences]
        lines += [f"    {self.reason}"] if self.reason else []
        lines += [f"    perhaps: {cause}" for cause in self.causes]
        lines += [f"    reads {what} without declaring it" for what in self.reads]
        return "\n".join(lines)


@final
class CheckReport:
    """What ``check`` found of the operations of a call.

    >>> from thrifty.checks import Check, CheckReport
    >>> one = Check("m.train", 3, "9c1e", "differs", differences=["result[0]: 0.1 → 0.2"])
    >>> report = CheckReport([one], stored=5, unknown=0)
    >>> report.ok
    False
    >>> print(report)
    differs           m.train
        result[0]: 0.1 → 0.2
    checked 1 of 5 stored operations: 1 differs

    Attributes:
        checks: What was executed again, in the order of the run.
        stored: How many operations have a stored result, and could have been.
        unknown: How many have none, or stand behind one that has none.
    """

    __slots__ = ("checks", "stored", "unknown")

    def __init__(self, checks: list[Check], *, stored: int, unknown: int) -> None:
        self.checks = checks
        self.stored = stored
        self.unknown = unknown

    @property
    def ok(self) -> bool:
        """Whether all that was checked came out as it is stored, and something did."""
        is_any = any(check.verdict == "same" for check in self.checks)
        return is_any and not self.findings

    @property
    def findings(self) -> list[Check]:
        """Those of which the entry is in doubt."""
        return [check for check in self.checks if check.is_finding]

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __repr__(self) -> str:
        return f"<CheckReport: {self._summary()}>"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.checks), self._summary()])

    def _summary(self) -> str:
        counts: dict[str, int] = {}
        for check in self.checks:
            counts[check.verdict] = counts.get(check.verdict, 0) + 1
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        behind = f"; {self.unknown} not stored" if self.unknown else ""
        return f"checked {len(self.checks)} of {self.stored} stored operations: {found}{behind}"
