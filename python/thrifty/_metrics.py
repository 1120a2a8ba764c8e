"""What tasks measure."""

from __future__ import annotations

from thrifty import _native


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Keeps a measurement with the result of the task that runs.

    It is there where the result is a hit, too: ``thrifty metrics`` shows it. It is no part of the
    result. Of very many, the last thousand are kept. Outside of tasks, and in one that is not
    cached, there is no result that it could stay with, and nothing happens.

    Args:
        name: What was measured.
        value: The number.
        step: At which step of a series, if it is one.

    >>> from thrifty import log_metric, task, testing
    >>> @task
    ... def train(epochs: int) -> str:
    ...     for epoch in range(epochs):
    ...         log_metric("loss", 1 / (epoch + 1), step=epoch)
    ...     return "model"
    >>> with testing.memory_cache():
    ...     train(3)
    'model'
    """
    _native.log_metric(name, value, step)
