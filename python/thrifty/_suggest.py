"""Who suggests the next trials of a search: samplers of libraries, and functions of the user."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from thrifty._operation_file import Refused, load

_LIBRARIES = {"tpe": "optuna", "bayes": "bayes_opt"}


def find(base: str | os.PathLike[str], by: str) -> None:
    """Refuses who is not there."""
    if by not in _LIBRARIES:
        check_tuner(load(base, by).__wrapped__, by)
        return
    try:
        importlib.import_module(_LIBRARIES[by])
    except ModuleNotFoundError as error:
        raise Refused(
            f"`kind: {by}` needs `{error.name}`, which is not installed: "
            'pip install "thrifty[sweep]"'
        ) from None


def check_tuner(tuner: Callable[..., Any], name: str) -> None:
    """Refuses a function that does not take the trials so far."""
    try:
        inspect.signature(tuner).bind([])
    except TypeError as error:
        raise Refused(
            f"`{name}` is called with one list, the trials so far, and does not take it: {error}"
        ) from None


def ask(base: str | os.PathLike[str], by: str, question: dict[str, Any]) -> list[Any]:
    """The next trials."""
    if by == "tpe":
        return _tpe(**question)
    if by == "bayes":
        return _bayes(**question)
    return answer_of(load(base, by).__wrapped__, question["trials"])


def answer_of(tuner: Callable[[list[dict[str, Any]]], Any], trials: list[dict[str, Any]]) -> Any:
    """What a tuner suggests, as values of JSON."""
    given = tuner(trials)
    try:
        return json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Refused(f"it returned what is no value of JSON: {error}") from None


def _tpe(
    axes: list[dict[str, Any]],
    past: list[tuple[list[float], float | None]],
    minimize: bool,
    seed: int,
    count: int,
) -> list[list[float]]:
    import optuna

    optuna.logging.disable_default_handler()
    distributions = {str(number): _distribution(axis) for number, axis in enumerate(axes)}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True)
    study = optuna.create_study(sampler=sampler, direction="minimize" if minimize else "maximize")
    # In the order of the trials, whoever of them ended first.
    study.add_trials([_past_trial(distributions, at, value) for at, value in past])
    asked = [study.ask(distributions).params for _ in range(count)]
    return [[float(params[name]) for name in distributions] for params in asked]


def _distribution(axis: dict[str, Any]) -> Any:
    from optuna import distributions

    if axis["kind"] == "line":
        return distributions.FloatDistribution(0.0, 1.0)
    if axis["kind"] == "steps":
        return distributions.IntDistribution(0, axis["count"] - 1)
    return distributions.CategoricalDistribution(range(axis["count"]))


def _past_trial(distributions: dict[str, Any], at: list[float], value: float | None) -> Any:
    from optuna import trial

    params = {
        name: position if "Float" in type(distribution).__name__ else int(position)
        for (name, distribution), position in zip(distributions.items(), at, strict=True)
    }
    if value is None:
        state = trial.TrialState.FAIL
        return trial.create_trial(params=params, distributions=distributions, state=state)
    return trial.create_trial(params=params, distributions=distributions, value=value)


def _bayes(
    axes: list[dict[str, Any]],
    past: list[tuple[list[float], float | None]],
    minimize: bool,
    seed: int,
    count: int,
) -> list[list[float]]:
    from bayes_opt import BayesianOptimization, acquisition
    from threadpoolctl import threadpool_limits

    # A batch is asked one by one, each as if those before it had given the least so far.
    liar = acquisition.ConstantLiar(acquisition.ExpectedImprovement(xi=0.01))
    bounds = dict.fromkeys(_cube(axes, [0.0] * len(axes)), (0.0, 1.0))
    optimizer = BayesianOptimization(
        f=None,
        pbounds=bounds,
        acquisition_function=liar,
        random_state=seed,
        allow_duplicate_points=True,
        verbose=0,
    )
    # One thread: what several add up together differs from one time to the next.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Of a model that could be fitted better: what it suggests is still a point.
        warnings.simplefilter("ignore")
        for at, value in past:
            if value is not None:
                optimizer.register(_cube(axes, at), -value if minimize else value)
        return [_positions(axes, optimizer.suggest()) for _ in range(count)]


def _cube(axes: list[dict[str, Any]], at: list[float]) -> dict[str, float]:
    """A place with all coordinates from 0 to 1; of choices, one for each."""
    cube: dict[str, float] = {}
    for number, (axis, position) in enumerate(zip(axes, at, strict=True)):
        if axis["kind"] == "line":
            cube[f"{number}"] = position
        elif axis["kind"] == "steps":
            cube[f"{number}"] = position / max(axis["count"] - 1, 1)
        else:
            choices = range(axis["count"])
            cube |= {f"{number}.{choice}": float(choice == position) for choice in choices}
    return cube


def _positions(axes: list[dict[str, Any]], cube: Mapping[str, Any]) -> list[float]:
    at: list[float] = []
    for number, axis in enumerate(axes):
        if axis["kind"] == "line":
            at.append(float(cube[f"{number}"]))
        elif axis["kind"] == "steps":
            at.append(float(round(cube[f"{number}"] * (axis["count"] - 1))))
        else:
            choices = range(axis["count"])
            at.append(float(max(choices, key=lambda choice: cube[f"{number}.{choice}"])))
    return at
