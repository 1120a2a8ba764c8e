"""Fits one model: its kind, its setting, the rows, and where it goes."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pandas as pd

import features
import models

if __name__ == "__main__":
    kind, setting, rows, target = sys.argv[1:]
    training = features.days(pd.read_pickle(rows), test=False)
    model = models.fitted(models.Candidate(kind, float(setting)), training)
    Path(target).write_bytes(pickle.dumps(model))
