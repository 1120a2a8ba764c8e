"""What counts as a plausible record, and how the three tables meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

LONGEST_DELAY_MINUTES = 1440
"""A delay beyond this is taken for a typing error; the longest of 2013 is 1301."""

STRONGEST_WIND_MPH = 150
"""One weather record of 2013 claims 1048 miles an hour."""

OLDEST_PLANE = 1950
"""Planes registered as built before this year lose their year."""

WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]


def plausible_flights(flights: DataFrame) -> DataFrame:
    """The flights that arrived, without those whose delay is a typing error."""
    arrived = flights.dropna(subset=["dep_delay", "arr_delay"])
    longest = arrived[["dep_delay", "arr_delay"]].max(axis="columns")
    return arrived[longest <= LONGEST_DELAY_MINUTES].reset_index(drop=True)


def plausible_weather(weather: DataFrame) -> DataFrame:
    """One record an airport and hour, impossible winds left blank."""
    hourly = weather.drop_duplicates(["origin", "time_hour"])
    wind = hourly["wind_speed"].where(hourly["wind_speed"] <= STRONGEST_WIND_MPH)
    kept = hourly[["origin", "time_hour", *WEATHER]].assign(wind_speed=wind)
    return kept.reset_index(drop=True)


def plausible_planes(planes: DataFrame) -> DataFrame:
    """Tail number, seats and year built, impossible years left blank."""
    built = planes["year"].where(planes["year"] >= OLDEST_PLANE)
    return planes[["tailnum", "seats"]].assign(built=built)


def with_weather_and_planes(flights: DataFrame, weather: DataFrame, planes: DataFrame) -> DataFrame:
    """Each flight with the weather at its departure hour and the plane that flew it."""
    with_weather = flights.merge(weather, how="left", on=["origin", "time_hour"])
    return with_weather.merge(planes, how="left", on="tailnum")
