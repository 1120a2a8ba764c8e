"""Judges a model on days it has not seen: the model, the rows, and the file for the score."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

import features
from models import risk

DIGITS = 4

if __name__ == "__main__":
    model, rows, target = sys.argv[1:]
    testing = features.days(pd.read_pickle(rows), test=True)
    fitted = pickle.loads(Path(model).read_bytes())
    auc = roc_auc_score(testing[features.TARGET], risk(fitted, testing))
    Path(target).write_text(json.dumps({"auc": round(auc, DIGITS)}))
