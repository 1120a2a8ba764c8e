"""Describes each flight for a model: the table, minutes that count as late, and the target."""

from __future__ import annotations

import sys

import pandas as pd

import features

if __name__ == "__main__":
    table, late_after, target = sys.argv[1:]
    features.describe(pd.read_pickle(table), int(late_after)).to_pickle(target)
