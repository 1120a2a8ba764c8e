"""What is known about a flight before it leaves, as columns for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame, Series

from cleaning import WEATHER

RUSH_HOURS = (7, 8, 16, 17, 18, 19)
"""Hours of the scheduled departure at which the airports are busiest."""

BACKLOG_LAG_HOURS = 2
"""How far back an airport's backlog is looked at; at least 2."""

TEST_EVERY_DAYS = 4
"""Every so many days, one whole day is kept for testing."""

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["month", "weekday", "hour", "rush", "distance", "backlog", "age", "seats", *WEATHER]
TARGET = "late"


def describe(table: DataFrame, late_after: int) -> DataFrame:
    """The columns a model may see, the date to split by, and the truth: late or not."""
    described = table.assign(
        date=table["time_hour"].dt.dayofyear,
        weekday=table["time_hour"].dt.dayofweek,
        rush=table["hour"].isin(RUSH_HOURS),
        backlog=backlog(table),
        age=table["year"] - table["built"],
        late=table["arr_delay"] > late_after,
    )
    return described[["date", *CATEGORIES, *NUMBERS, TARGET]]


def backlog(table: DataFrame) -> Series:
    """Mean departure delay of the flights due from the same airport some hours earlier.

    A flight due in that hour is at least ``BACKLOG_LAG_HOURS - 1`` hours past its time when
    this one is due, so a delay cut off there is known and nothing leaks from the future.
    """
    import pandas as pd

    known = table["dep_delay"].clip(upper=60 * (BACKLOG_LAG_HOURS - 1))
    hourly = known.groupby([table["origin"], table["time_hour"]]).mean()
    before = table["time_hour"] - pd.Timedelta(hours=BACKLOG_LAG_HOURS)
    wanted = pd.MultiIndex.from_arrays([table["origin"], before])
    return pd.Series(hourly.reindex(wanted).to_numpy(), index=table.index)


def days(table: DataFrame, *, test: bool) -> DataFrame:
    """The rows of the test days, or of all others: no day is on both sides."""
    kept_for_testing = table["date"] % TEST_EVERY_DAYS == 0
    rows = table[kept_for_testing if test else ~kept_for_testing]
    return rows.drop(columns="date").reset_index(drop=True)
