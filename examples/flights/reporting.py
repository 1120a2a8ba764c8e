"""The report: one Markdown page and its plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features import TARGET
from models import ALERT_SHARE, risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from models import Score, Winner

PAGE = """# Which flights will be late?

The best of {count} models is **{best}**. Warning about the {share:.0%} of flights it holds most
at risk catches {recall:.0%} of the late ones, and {precision:.0%} of the warnings are right.
Of all flights, {rate:.0%} are late.

| model | AUC | log loss | precision | recall |
|---|---|---|---|---|
{table}

![AUC of each model](scores.png)
![Foreseen and true share of late flights, by hour](hours.png)
![Foreseen against true share](calibration.png)
![What the best model looks at](importance.png)
"""


def write(folder: Path, winner: Winner, weights: dict[str, float], rows: DataFrame) -> None:
    """Writes ``report.md`` and its plots into the folder."""
    seen = rows.assign(risk=risk(winner.model, rows))
    plot_scores(winner.scores, folder / "scores.png")
    plot_hours(seen, folder / "hours.png")
    plot_calibration(seen, folder / "calibration.png")
    plot_importance(weights, folder / "importance.png")
    (folder / "report.md").write_text(page(winner, rows), encoding="utf-8")


def page(winner: Winner, rows: DataFrame) -> str:
    """The text of the report."""
    return PAGE.format(
        count=len(winner.scores),
        best=winner.score.candidate,
        share=ALERT_SHARE,
        recall=winner.score.recall,
        precision=winner.score.precision,
        rate=rows[TARGET].mean(),
        table="\n".join(map(line, winner.scores)),
    )


def line(score: Score) -> str:
    """One score as a line of the table."""
    figures = (score.auc, score.log_loss, score.precision, score.recall)
    return f"| {score.candidate} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def canvas(title: str) -> tuple[Figure, Axes]:
    """An empty plot; made without pyplot, whose global state is not for threads."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot(title=title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_scores(scores: list[Score], target: Path) -> None:
    """A bar for the AUC of each candidate."""
    figure, axes = canvas("AUC on the test days")
    bars = axes.barh([str(score.candidate) for score in scores], [score.auc for score in scores])
    axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.set_xlim(0.5, 0.85)
    figure.savefig(target)


def plot_hours(seen: DataFrame, target: Path) -> None:
    """Foreseen and true share of late flights by hour of departure."""
    figure, axes = canvas("Share of late flights, by scheduled hour of departure")
    hourly = seen.groupby("hour")[[TARGET, "risk"]].mean()
    axes.bar(hourly.index, hourly[TARGET], color="lightgray", label="true")
    axes.plot(hourly.index, hourly["risk"], marker="o", label="foreseen")
    axes.legend(frameon=False)
    figure.savefig(target)


def plot_calibration(seen: DataFrame, target: Path) -> None:
    """True share of late flights in twenty equal groups of rising risk."""
    figure, axes = canvas("Foreseen risk against what happened")
    group = seen["risk"].rank(pct=True).mul(20).clip(upper=19.999).astype(int)
    points = seen.groupby(group)[["risk", TARGET]].mean()
    axes.plot([0, 1], [0, 1], color="lightgray")
    axes.plot(points["risk"], points[TARGET], marker="o")
    axes.set(xlabel="foreseen", ylabel="true", xlim=(0, 1), ylim=(0, 1))
    figure.savefig(target)


def plot_importance(weights: dict[str, float], target: Path) -> None:
    """A bar for what each column is worth to the best model, the largest on top."""
    figure, axes = canvas("AUC lost when one column is shuffled")
    axes.barh(list(weights)[::-1], list(weights.values())[::-1])
    figure.savefig(target)
