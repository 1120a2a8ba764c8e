"""Searches: a task or workflow called with many values of some arguments."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar

from thrifty import _native
from thrifty._task import Task
from thrifty.cache import merged

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Kind = Literal["grid", "random", "mapping", "hyperband", "tpe", "bayes", "iterative"]
Goal = Literal["minimize", "maximize"]
Status = Literal["computed", "hit", "waited", "failed", "not-run"]


class Tried(TypedDict):
    """A trial as a tuner is told of it."""

    params: dict[str, Any]
    metric: float | None
    status: Literal["succeeded", "failed"]


class Resource(TypedDict, total=False):
    """What the trials of ``hyperband`` get more and more of: an argument, and how much of it."""

    name: str
    min: float
    max: float


class Stop(TypedDict, total=False):
    """When a sweep is over before its time."""

    metric: float
    failures: int


# Beside those of every kind: what may be given, and what must.
_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "grid": ({"runs"}, set()),
    "random": ({"runs", "seed"}, {"runs"}),
    "mapping": (set(), set()),
    "hyperband": ({"resource", "eta", "seed"}, {"resource", "goal"}),
    "tpe": ({"runs", "seed"}, {"runs", "goal"}),
    "bayes": ({"runs", "seed"}, {"runs", "goal"}),
    "iterative": ({"runs", "tuner"}, {"runs", "tuner"}),
}
_SHOWN, _MANY = 10, 30


@dataclass(frozen=True, eq=False)
class Trial(Generic[R]):
    """One call of a sweep."""

    #: Its number in the sweep.
    number: int
    #: The arguments that the sweep chose.
    params: dict[str, Any]
    #: What became of it; of ``waited``, somebody else computed it meanwhile.
    status: Status
    #: What the sweep looks at, if it is a number.
    metric: float | None
    #: What it raised.
    error: BaseException | None
    #: Time that it took.
    seconds: float
    #: Time that hits saved.
    saved_seconds: float
    _kept: _native.Kept | None = field(repr=False)

    @property
    def value(self) -> R:
        """What the call gave, loaded now; raises what it raised."""
        if self._kept is not None:
            return self._kept.load()
        raise self.error or LookupError(f"trial {self.number} did not run")


class Sweep(Generic[R]):
    """What :func:`sweep` gives: the trials, in their order. Its text is a table of them."""

    #: All trials.
    trials: list[Trial[R]]
    #: The id of the run in the history, if that is kept.
    run: str | None
    #: Why it ended before its time, if it did.
    stopped: str | None

    def __init__(
        self,
        name: str,
        trials: list[Trial[R]],
        run: str | None,
        stopped: str | None,
        best: int | None,
        goal: Goal | None,
    ) -> None:
        self._name, self._best, self._goal = name, best, goal
        self.trials, self.run, self.stopped = trials, run, stopped

    @property
    def best(self) -> Trial[R]:
        """The trial with the best metric: the first, if several are as good."""
        if self._goal is None:
            raise LookupError('which trial is best? Say goal="minimize" or goal="maximize"')
        if self._best is None:
            raise LookupError(f"no trial of {self!r} gave a number as its metric")
        return self.trials[self._best]

    def __iter__(self) -> Iterator[Trial[R]]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, number: int) -> Trial[R]:
        return self.trials[number]

    def __repr__(self) -> str:
        counts = Counter(trial.status for trial in self.trials)
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"<Sweep of {self._name}, {len(self)} trials: {told or 'none'}>"

    def __str__(self) -> str:
        shown = self.trials
        if len(shown) > _MANY:
            shown = sorted(shown, key=self._rank)[:_SHOWN]
        rows = [("trial", "params", "metric", "status", "time")]
        rows += [self._row(trial) for trial in shown]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        left = len(self) - len(shown)
        return "\n".join([*lines, *([f"… and {left} more"] if left else []), repr(self)[1:-1]])

    def _rank(self, trial: Trial[R]) -> tuple[float, int]:
        if trial.metric is None or math.isnan(trial.metric):
            return math.inf, trial.number
        return -trial.metric if self._goal == "maximize" else trial.metric, trial.number

    def _row(self, trial: Trial[R]) -> tuple[str, ...]:
        params = ", ".join(
            f"{name}={_native.preview(value)}" for name, value in trial.params.items()
        )
        metric = "" if trial.metric is None else f"{trial.metric:.6g}"
        best = " best" if trial.number == self._best else ""
        time = f"{trial.seconds:.3g} s" if trial.seconds else ""
        return str(trial.number), params, metric, trial.status + best, time


def sweep(
    experiment: Callable[..., R],
    space: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    kind: Kind = "grid",
    runs: int | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    metric: str | Callable[[R], Any] | None = None,
    goal: Goal | None = None,
    stop: Stop | None = None,
    resource: Resource | None = None,
    eta: int | None = None,
    tuner: Callable[[list[Tried]], Iterable[Mapping[str, Any]]] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Sweep[R]:
    """Calls a task or workflow with many values of some arguments.

    Each trial is a call like any other: what was computed before, by whomever, is a hit. What
    another process computes at this moment is waited for and taken over (``serialize``, unless
    the ``Cache`` of the task says otherwise), so that two sweeps whose spaces overlap compute each
    point once. A trial that fails does not end the sweep.

    Args:
        experiment: The task or workflow. Called in a sweep, a workflow is one operation, which is
            looked into only where its own result is not known.
        space: By argument the values: a list, or a mapping of one word to its numbers, such as
            ``{"loguniform": [1e-4, 1]}``; the words are those of operation files. Of ``mapping``,
            the trials themselves: a list of arguments by name.
        kind: ``grid``: every combination, the last argument changing fastest; ``random``: drawn
            by lot; ``mapping``: those that are given; ``hyperband``: many with little of a
            resource, the best of them with more; ``tpe``, ``bayes``: suggested by what the trials
            before gave (``pip install "thrifty[sweep]"``); ``iterative``: suggested by ``tuner``.
        runs: How many trials; of a grid and of ``iterative``, at most so many.
        seed: What is drawn with; 0 unless given.
        concurrency: How many operations run at once, at most; all workers unless given. Where
            trials are suggested, or there is a ``stop``, so many begin together, and the next
            when they have ended: one by one unless given.
        metric: What is looked at: an entry or attribute of the result, or a function of it; the
            result itself unless given. A number.
        goal: Which metrics are good: ``minimize`` or ``maximize``.
        stop: When it is over before its time: ``{"metric": 0.1}``, a trial is as good;
            ``{"failures": 3}``, so many failed.
        resource: Of ``hyperband``: ``{"name": argument, "min": 1, "max": 81}``.
        eta: Of ``hyperband``: how many trials compete for a promotion, 3 unless given.
        tuner: Of ``iterative``: is given a list of the trials so far, each
            ``{"params": …, "metric": …, "status": "succeeded" or "failed"}``, and returns the next
            ones as a list of arguments by name; an empty one ends the sweep.
        arguments: What every trial is given as well.

    >>> import thrifty
    >>> from thrifty import task, testing
    >>> @task
    ... def loss(rate: float, depth: int) -> float:
    ...     return abs(rate - 0.2) + 1 / depth
    >>> with testing.memory_cache():
    ...     found = thrifty.sweep(loss, {"rate": [0.1, 0.2], "depth": [2, 4]}, goal="minimize")
    ...     again = thrifty.sweep(loss, {"rate": [0.2, 0.3], "depth": [4]}, goal="minimize")
    >>> found.best.params, found.best.metric
    ({'rate': 0.2, 'depth': 4}, 0.25)
    >>> [trial.status for trial in again]
    ['hit', 'computed']
    """
    task = _task_of(experiment)
    given = {
        "runs": runs,
        "seed": seed,
        "goal": goal,
        "resource": resource,
        "eta": eta,
        "tuner": tuner,
    }
    _check_fields(kind, given)
    space_of = _Space(kind, space)
    _check_names(task, space_of.names(resource), arguments or {})
    described = {
        **{name: value for name, value in given.items() if name != "tuner"},
        "kind": kind,
        **space_of.described,
        "concurrency": _concurrency_of(concurrency),
        "stop": _stop_of(stop, goal),
        "resource": dict(resource) if resource else None,
    }
    search = _native.Search(described)
    if kind in ("tpe", "bayes"):
        _find_library(kind)
    weigh = None if metric is None and goal is None else _weigher(metric)
    sweeping = _Sweeping(task, search, space_of, kind, tuner, dict(arguments or {}), weigh)
    return sweeping.run(concurrency, goal)


class _Sweeping(Generic[R]):
    """A sweep under way."""

    def __init__(
        self,
        task: Task[..., R],
        search: _native.Search,
        space: _Space,
        kind: Kind,
        tuner: Callable[[list[Tried]], Iterable[Mapping[str, Any]]] | None,
        arguments: dict[str, Any],
        weigh: Callable[[Any], float | None] | None,
    ) -> None:
        self._task, self._search, self._space, self._kind = task, search, space, kind
        self._tuner, self._arguments, self._weigh = tuner, arguments, weigh
        self._trials: list[Trial[R]] = []

    def run(self, concurrency: int | None, goal: Goal | None) -> Sweep[R]:
        name = self._task.operation_name
        told = f"{self._kind}: {', '.join(self._space.names(None))}"
        runner = _native.Trials(self._task, f"{name}.sweep", told, concurrency)
        status, why = "cancelled", None
        try:
            while True:
                points, why = self._next()
                if not points:
                    break
                self._try(runner, points)
            is_failed = self._trials and all(it.status == "failed" for it in self._trials)
            status = "failed" if is_failed else "succeeded"
        except Exception:
            status = "failed"
            raise
        finally:
            runner.finish(status)
        return Sweep(name, self._trials, runner.id, why, self._search.best(), goal)

    def _next(self) -> tuple[list[dict[str, Any]], str | None]:
        word, told = self._search.next()
        if word == "over":
            return [], told
        if word == "trials":
            return told, None
        return self._search.answered(self._suggested(told)), None

    def _suggested(self, question: dict[str, Any]) -> list[Any]:
        if self._tuner is None:
            from thrifty import _suggest

            return _suggest.ask("", self._kind, question)
        tried: list[Tried] = [
            {
                "params": dict(trial.params),
                "metric": trial.metric,
                "status": "succeeded" if trial.error is None else "failed",
            }
            for trial in self._trials
        ]
        suggested = self._tuner(tried)
        if isinstance(suggested, Mapping) or not isinstance(suggested, Iterable):  # pyright: ignore
            raise TypeError(f"the tuner returns a list of arguments by name, and not {suggested!r}")
        return [self._space.written(row) for row in suggested]

    def _try(self, runner: _native.Trials, points: list[dict[str, Any]]) -> None:
        params = [self._space.read(point) for point in points]
        calls = [{**self._arguments, **chosen} for chosen in params]
        rows = runner.settle(calls, self._weigh)
        for chosen, row in zip(params, rows, strict=True):
            status, seconds, saved, kept, metric, error = row
            number = len(self._trials)
            self._trials.append(Trial(number, chosen, status, metric, error, seconds, saved, kept))
        self._search.gave([(kept is not None, metric) for _, _, _, kept, metric, _ in rows])


class _Space:
    """The values of a sweep; what is no scalar is stood for by its number."""

    def __init__(self, kind: Kind, space: Any) -> None:
        self._objects: list[Any] = []
        self.described: dict[str, Any]
        if kind == "mapping":
            self.described = {"values": self._trials(space)}
            return
        if not isinstance(space, Mapping) or not space:
            raise TypeError(
                f"kind={kind!r} takes the values by argument, such as "
                '{"rate": [0.1, 0.2]}; a list of trials is for kind="mapping"'
            )
        self.described = {"space": {name: self._values(values) for name, values in space.items()}}

    def names(self, resource: Resource | None) -> list[str]:
        if "values" in self.described:
            return list(self.described["values"][0])
        more = [resource["name"]] if resource and "name" in resource else []
        return list(dict.fromkeys([*self.described["space"], *more]))

    def read(self, point: dict[str, Any]) -> dict[str, Any]:
        """The arguments that a trial stands for."""
        return {
            name: self._objects[value["object"]] if isinstance(value, dict) else value
            for name, value in point.items()
        }

    def written(self, row: Any) -> dict[str, Any]:
        """The trial that a tuner suggests."""
        if not isinstance(row, Mapping):
            raise TypeError(f"the tuner suggests arguments by name, and not {row!r}")
        return {name: self._known(value) for name, value in row.items()}

    def _known(self, value: Any) -> Any:
        if _is_scalar(value):
            return value
        for number, known in enumerate(self._objects):
            if known is value:
                return {"object": number}
        raise ValueError(f"the tuner suggests {value!r}, which is no value of the space")

    def _value(self, value: Any) -> Any:
        if _is_scalar(value):
            return value
        self._objects.append(value)
        return {"object": len(self._objects) - 1}

    def _values(self, values: Any) -> Any:
        if not isinstance(values, Mapping):
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise TypeError(f"the values of an argument are a list, and not {values!r}")
            return [self._value(value) for value in values]
        told = dict(values)
        if "choice" in told:
            told["choice"] = [self._value(value) for value in told["choice"]]
        if "pchoice" in told:
            told["pchoice"] = [[self._value(value), share] for value, share in told["pchoice"]]
        return {word: list(given) for word, given in told.items()}

    def _trials(self, rows: Any) -> list[dict[str, Any]]:
        rows = [] if isinstance(rows, (str, bytes, Mapping)) else list(rows)
        if not rows or not all(isinstance(row, Mapping) and row for row in rows):
            raise TypeError(
                'kind="mapping" takes the trials: a list of arguments by name, such as '
                '[{"rate": 0.1}]'
            )
        for number, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise ValueError(
                    f"trial {number} does not have the arguments of the first: {', '.join(rows[0])}"
                )
        return [{name: self._value(row[name]) for name in rows[0]} for row in rows]


def _is_scalar(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return -(2**63) <= value < 2**63
    return kind in (bool, str, type(None)) or (kind is float and math.isfinite(value))


def _task_of(experiment: Callable[..., R]) -> Task[..., R]:
    if isinstance(experiment, Task):
        return experiment
    name = getattr(experiment, "__name__", repr(experiment))
    raise TypeError(f"a sweep calls a task or workflow: put @task above {name}")


def _check_fields(kind: str, given: dict[str, Any]) -> None:
    if kind not in _FIELDS:
        raise ValueError(
            f"there is no kind {kind!r}: {_native.did_you_mean(str(kind), list(_FIELDS))}"
        )
    allowed, needed = _FIELDS[kind]
    for name, value in given.items():
        if value is not None and name not in {*allowed, "goal"}:
            raise ValueError(f"{name} is not for kind={kind!r}")
        if value is None and name in needed:
            raise ValueError(f"kind={kind!r} needs {name}")
    if given["goal"] not in (None, "minimize", "maximize"):
        raise ValueError(f'goal is "minimize" or "maximize", and not {given["goal"]!r}')
    for name in ("runs", "seed", "eta"):
        value = given[name]
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{name} is a whole number, and not {value!r}")


def _check_names(task: Task[..., Any], names: Sequence[str], arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(task.__wrapped__).parameters.values()
    known = [it.name for it in parameters if it.kind in (it.POSITIONAL_OR_KEYWORD, it.KEYWORD_ONLY)]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for name in [*names, *arguments]:
        if name not in known and not takes_any:
            hint = _native.did_you_mean(str(name), known)
            raise TypeError(f"{task.operation_name} takes no argument {name!r}; {hint}")
    own, invocation = task._definition, task._invocation
    cache = own if invocation is None else merged(invocation, own)
    for name in names:
        if name in arguments:
            raise TypeError(f"{name!r} is both in the space and in arguments")
        ignored = cache is not None and name in (cache.ignore or ())
        if ignored or (cache is not None and cache.inputs and name not in cache.inputs):
            raise ValueError(
                f"{name!r} does not enter the key of {task.operation_name}: all trials would "
                "share one result"
            )


def _concurrency_of(concurrency: Any) -> int | None:
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        raise ValueError(f"concurrency is a number from 1 on, and not {concurrency!r}")
    return concurrency


def _stop_of(stop: Any, goal: Goal | None) -> dict[str, Any]:
    told = dict(stop or {})
    if told.keys() - {"metric", "failures"}:
        raise ValueError(f'stop is {{"metric": number}} or {{"failures": number}}, not {stop!r}')
    if "metric" in told and goal is None:
        raise ValueError('stop={"metric": …} needs a goal: "minimize" or "maximize"')
    if told.get("failures", 1) < 1:
        raise ValueError('stop={"failures": …} is a number from 1 on')
    return told


def _find_library(kind: str) -> None:
    from thrifty import _operation_file, _suggest

    try:
        _suggest.find("", kind)
    except _operation_file.Refused as error:
        raise ImportError(str(error)) from None


def _weigher(metric: str | Callable[[Any], Any] | None) -> Callable[[Any], float | None]:
    def weigh(value: Any) -> float | None:
        found = value
        if callable(metric):
            found = metric(value)
        elif metric is not None:
            found = _entry(value, metric)
        is_number = hasattr(type(found), "__float__") or hasattr(type(found), "__index__")
        return float(found) if is_number else None

    return weigh


def _entry(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name not in value:
            known = [str(key) for key in value]
            hint = _native.did_you_mean(name, known) if known else "it is empty"
            raise KeyError(f"metric: a trial gave no {name!r}; {hint}")
        return value[name]
    if not hasattr(value, name):
        raise AttributeError(
            f"metric: a {type(value).__name__}, which a trial gave, has no {name!r}"
        )
    return getattr(value, name)
