"""Curves and points of a report, each a function of plain results that returns an image.

Knows no files and no page.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.reporting.drawing import BLUE, GREY, LINES, MARKERS, Estimate, Image, errors, new, styled, svg
from pipeline.schemas import SEVERITIES

Curves = dict[str, NDArray[np.float64]]  # finding -> values on _GRID
_GRID = np.linspace(0, 1, 201)


@styled
def loss_curves(curves: pl.DataFrame) -> Image:
    """Training and validation loss by epoch; the columns are those of reports/pretrain/curves.csv."""
    figure, axes = new(2.7, "Loss")
    axes.plot(curves["epoch"], curves["loss"], marker="o", markersize=3, label="training")
    axes.plot(curves["epoch"], curves["validation_loss"], marker="s", markersize=3, linestyle="--", label="validation")
    axes.set(xlabel="epoch", ylabel="total loss")
    axes.legend()
    return svg(figure)


@styled
def auroc_curves(curves: pl.DataFrame) -> Image:
    """Validation AUROC by epoch, one line per column `validation_auroc` or `validation_auroc_<of what>`."""
    figure, axes = new(2.7, "Validation AUROC")
    for place, column in enumerate(name for name in curves.columns if name.startswith("validation_auroc")):
        label = column.removeprefix("validation_auroc").strip("_") or "all findings"
        marker, style = MARKERS[place % len(MARKERS)], LINES[place % len(LINES)]
        axes.plot(curves["epoch"], curves[column], marker=marker, markersize=3, linestyle=style, label=label)
    axes.set(xlabel="epoch", ylabel="macro AUROC")
    axes.legend()
    return svg(figure)


@styled
def roc(scores: pl.DataFrame, title: str) -> Image:
    """ROC curves of the test images: one thin line per finding, the mean of all in bold.

    Args:
        scores: `schemas.SCORES` of one benchmark's test images.
        title: of the figure.
    """
    figure, axes = new(3.9, title)
    _thin_and_mean(axes, _roc_curves(scores))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(loc="lower right")
    return svg(figure)


@styled
def precision_recall(scores: pl.DataFrame, title: str) -> Image:
    """Precision-recall curves of the test images, as in `roc`; the dotted line is the mean prevalence."""
    figure, axes = new(3.9, title)
    _thin_and_mean(axes, _precision_curves(scores))
    prevalence = float(np.mean([labels.mean() for _, labels, _ in _scored(scores)]))
    axes.axhline(prevalence, color=GREY, linestyle=":", linewidth=1, label="prevalence")
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), aspect="equal")
    figure.legend(loc="outside lower center", ncols=3)
    return svg(figure)


def false_alarms(scores: pl.DataFrame, found: float) -> float:
    """The false positive rate, in the mean over findings, where a share of the positives is found."""
    curves = [roc_curve(labels, values) for _, labels, values in _scored(scores)]
    return float(np.mean([false[np.argmax(true >= found)] for false, true, _ in curves]))


def precision_at(scores: pl.DataFrame, found: float) -> float:
    """The precision, in the mean over findings, where a share of the positives is found."""
    curves = [precision_recall_curve(labels, values) for _, labels, values in _scored(scores)]
    return float(np.mean([precision[recall >= found].max() for precision, recall, _ in curves]))


@styled
def severity_points(severities: Mapping[str, Mapping[str, Estimate]]) -> Image:
    """AUROC of each benchmark's positives of one severity against all negatives, with 95 % intervals.

    Args:
        severities: benchmark -> severity -> macro AUROC and its interval; a severity may be missing.
    """
    figure, axes = new(3.4 + 0.1 * len(severities), "By severity of the finding")
    count = len(severities)
    for place, (benchmark, rows) in enumerate(severities.items()):
        found = [name for name in SEVERITIES if name in rows]
        values = np.array([rows[name][0] for name in found])
        where = np.array([SEVERITIES.index(name) for name in found]) + 0.6 / count * (place - (count - 1) / 2)
        bars = errors(values, [rows[name][1] for name in found])
        marker = MARKERS[place % len(MARKERS)]
        axes.errorbar(where, values, bars, marker=marker, linestyle="", capsize=2, label=benchmark)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set_xticks(range(len(SEVERITIES)), SEVERITIES)
    axes.set(ylabel="macro AUROC")
    figure.legend(loc="outside lower center", ncols=2)
    return svg(figure)


@styled
def reliability(bins: Mapping[str, Sequence[Mapping[str, float]]]) -> Image:
    """How often a finding is there that was scored p: on the diagonal when the scores are probabilities.

    Args:
        bins: benchmark -> rows of confidence (mean score) and frequency (share of positives), both in [0, 1].
    """
    figure, axes = new(4.2 + 0.1 * len(bins), "Reliability")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="perfect")
    for place, (benchmark, rows) in enumerate(bins.items()):
        marker = MARKERS[place % len(MARKERS)]
        points = [[row["confidence"] for row in rows], [row["frequency"] for row in rows]]
        axes.plot(*points, marker=marker, markersize=4, label=benchmark)
    axes.set(xlabel="mean score", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2)
    return svg(figure)


@styled
def efficiency(runs: Mapping[str, Mapping[str, Estimate]], title: str) -> Image:
    """Figures of merit by how much of the training data was used, with 95 % intervals; a line per initialisation.

    Args:
        runs: initialisation -> percent of the training images ("1", "10", ...) -> AUROC and its interval.
        title: of the figure.
    """
    figure, axes = new(3.2, title)
    for place, (init, rows) in enumerate(runs.items()):
        percents = np.array([float(percent) for percent in rows]) * 1.06 ** (place - (len(runs) - 1) / 2)
        values = np.array([value for value, _ in rows.values()])
        bars = errors(values, [interval for _, interval in rows.values()])
        marker, style = MARKERS[place % len(MARKERS)], LINES[place % len(LINES)]
        axes.errorbar(percents, values, bars, marker=marker, linestyle=style, capsize=2, label=init)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="training images used", ylabel="macro AUROC")
    ticks = [float(percent) for percent in dict.fromkeys(percent for rows in runs.values() for percent in rows)]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return svg(figure)


@styled
def subgroup_points(groups: Mapping[str, Estimate], overall: float, title: str) -> Image:
    """AUROC within parts of the test images, with 95 % intervals; the dashed line is that of all.

    Args:
        groups: name of the part -> AUROC and its interval.
        overall: AUROC of all images.
        title: of the figure.
    """
    figure, axes = new(1.1 + 0.3 * len(groups), title)
    rows = np.arange(len(groups))[::-1]
    values = np.array([value for value, _ in groups.values()])
    bars = errors(values, [interval for _, interval in groups.values()])
    axes.errorbar(values, rows, xerr=bars, marker="o", linestyle="", capsize=2)
    axes.axvline(overall, color=GREY, linestyle="--", linewidth=1, label="all images")
    axes.set_yticks(rows, list(groups))
    axes.set(xlabel="macro AUROC", ylim=(-0.6, len(groups) - 0.4))
    figure.legend(loc="outside lower center")
    return svg(figure)


def _scored(scores: pl.DataFrame) -> list[tuple[str, NDArray[np.int8], NDArray[np.float32]]]:
    """Finding, labels and scores of every finding with both positive and negative images."""
    groups = scores.filter(pl.col("label") >= 0).group_by("finding", maintain_order=True)
    found = [(str(name), rows["label"].to_numpy(), rows["score"].to_numpy()) for (name,), rows in groups]
    return [(name, labels, values) for name, labels, values in found if 0 < labels.sum() < len(labels)]


def _roc_curves(scores: pl.DataFrame) -> Curves:
    curves = {name: roc_curve(labels, values) for name, labels, values in _scored(scores)}
    return {name: np.interp(_GRID, false, true) for name, (false, true, _) in curves.items()}


def _precision_curves(scores: pl.DataFrame) -> Curves:
    curves = {name: precision_recall_curve(labels, values) for name, labels, values in _scored(scores)}
    return {name: np.interp(_GRID, recall[::-1], precision[::-1]) for name, (precision, recall, _) in curves.items()}


def _thin_and_mean(axes: Axes, curves: Curves) -> None:
    """One thin line per finding and the mean in bold; a single finding is bold itself."""
    if len(curves) > 1:
        for number, curve in enumerate(curves.values()):
            label = f"each of {len(curves)} findings" if number == 0 else None
            axes.plot(_GRID, curve, color=GREY, linewidth=0.7, alpha=0.7, label=label)
    name = "mean" if len(curves) > 1 else next(iter(curves))
    axes.plot(_GRID, np.mean(list(curves.values()), axis=0), color=BLUE, linewidth=2.4, label=name)
