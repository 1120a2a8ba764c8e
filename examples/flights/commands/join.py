"""Cleans the three tables and joins them: flights, weather, planes, and where the result goes."""

from __future__ import annotations

import sys

import pandas as pd

import cleaning

if __name__ == "__main__":
    flights, weather, planes, target = sys.argv[1:]
    table = cleaning.with_weather_and_planes(
        cleaning.plausible_flights(pd.read_csv(flights, parse_dates=["time_hour"])),
        cleaning.plausible_weather(pd.read_csv(weather, parse_dates=["time_hour"])),
        cleaning.plausible_planes(pd.read_csv(planes)),
    )
    table.to_pickle(target)
    print(f"{len(table)} flights")
