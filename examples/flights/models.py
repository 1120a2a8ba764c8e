"""The models that compete, and how they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features import CATEGORIES, NUMBERS, TARGET

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.base import ClassifierMixin, TransformerMixin
    from sklearn.pipeline import Pipeline

FOREST_TREES = 40
"""Trees in each random forest."""

BOOSTING_ROUNDS = 200
"""Trees in each boosted model."""

ALERT_SHARE = 0.2
"""An alert is raised for this share of the flights, those most likely to be late."""

SEED = 2013


@dataclass(frozen=True)
class Candidate:
    """One point of the grid: a kind of model and its setting."""

    kind: str
    setting: float

    def __str__(self) -> str:
        """As the report calls it."""
        return f"{self.kind} {self.setting:g}"


GRID = [
    Candidate("linear", 0.01),
    Candidate("linear", 1.0),
    Candidate("forest", 10),
    Candidate("forest", 16),
    Candidate("boosting", 0.05),
    Candidate("boosting", 0.15),
]


@dataclass(frozen=True)
class Score:
    """How well one candidate foresees the test days."""

    candidate: Candidate
    auc: float
    log_loss: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Winner:
    """The model with the highest AUC, and the scores of all."""

    model: Pipeline
    score: Score
    scores: list[Score]


def fitted(candidate: Candidate, rows: DataFrame) -> Pipeline:
    """The candidate's model, fitted to the rows.

    On one thread: candidates are trained side by side, and then the number of cores cannot
    show in the result.
    """
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    model = make_pipeline(encoder(candidate.kind), classifier(candidate))
    with threadpool_limits(1):
        return model.fit(rows[CATEGORIES + NUMBERS], rows[TARGET])


def encoder(kind: str) -> TransformerMixin:
    """Columns as the kind wants them: scaled and one-hot for the linear, plain for trees."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    if kind == "linear":
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        names = OneHotEncoder(handle_unknown="ignore")
        return make_column_transformer((numbers, NUMBERS), (names, CATEGORIES))
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer((codes, CATEGORIES), ("passthrough", NUMBERS))


def classifier(candidate: Candidate) -> ClassifierMixin:
    """The untrained classifier of a candidate."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    match candidate.kind:
        case "linear":
            return LogisticRegression(C=candidate.setting, max_iter=500)
        case "forest":
            depth = int(candidate.setting)
            return RandomForestClassifier(
                FOREST_TREES, max_depth=depth, min_samples_leaf=20, random_state=SEED
            )
        case "boosting":
            return HistGradientBoostingClassifier(
                learning_rate=candidate.setting, max_iter=BOOSTING_ROUNDS, random_state=SEED
            )
        case kind:
            raise ValueError(f"unknown kind of model {kind!r}: use linear, forest or boosting")


def risk(model: Pipeline, rows: DataFrame) -> Any:
    """The probability of being late, one for each row."""
    return model.predict_proba(rows[CATEGORIES + NUMBERS])[:, 1]


def judged(candidate: Candidate, model: Pipeline, rows: DataFrame) -> Score:
    """The candidate's score on rows it has not seen."""
    import numpy as np
    from sklearn.metrics import log_loss, precision_score, recall_score, roc_auc_score

    truth, foreseen = rows[TARGET], risk(model, rows)
    alert = foreseen >= np.quantile(foreseen, 1 - ALERT_SHARE)
    return Score(
        candidate,
        auc=float(roc_auc_score(truth, foreseen)),
        log_loss=float(log_loss(truth, foreseen)),
        precision=float(precision_score(truth, alert)),
        recall=float(recall_score(truth, alert)),
    )


def best(models: list[Pipeline], scores: list[Score]) -> Winner:
    """The model whose score has the highest AUC; the first one if several do."""
    place = max(range(len(scores)), key=lambda i: scores[i].auc)
    return Winner(models[place], scores[place], scores)


def importances(model: Pipeline, rows: DataFrame) -> dict[str, float]:
    """How much AUC is lost when one column is shuffled, for each column, largest first."""
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits

    sample = rows.sample(min(len(rows), 10_000), random_state=SEED)
    columns = CATEGORIES + NUMBERS
    with threadpool_limits(1):
        lost = permutation_importance(
            model,
            sample[columns],
            sample[TARGET],
            scoring="roc_auc",
            n_repeats=1,
            random_state=SEED,
        )
    ranked = sorted(zip(columns, lost["importances_mean"], strict=True), key=lambda pair: -pair[1])
    return {name: float(loss) for name, loss in ranked}
