"""The figures of a report, each a function of plain results that returns an image.

Colours are Okabe and Ito's, which people with any colour vision tell apart, and no figure relies on colour alone.
Widths suit a telephone. Knows no files and no page; the same results give the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.style
import numpy as np
import polars as pl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
GREY = "#767676"
WIDTH = 4.8  # inches
Curves = dict[str, NDArray[np.float64]]  # finding -> values on _GRID
_GRID = np.linspace(0, 1, 201)
SEVERITIES = ("subtle", "mild", "moderate", "severe")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cxr",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY]),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


_styled = matplotlib.style.context(("default", _STYLE))  # whatever the user's matplotlibrc says


@dataclass(frozen=True)
class Image:
    """An encoded figure."""

    content: bytes
    kind: Literal["svg", "png"]


@_styled
def loss_curves(curves: pl.DataFrame) -> Image:
    """Training and validation loss by epoch; the columns are those of reports/pretrain/curves.csv."""
    figure, axes = _new(2.7)
    axes.plot(curves["epoch"], curves["loss"], marker="o", markersize=3, label="training")
    axes.plot(curves["epoch"], curves["validation_loss"], marker="s", markersize=3, linestyle="--", label="validation")
    axes.set(xlabel="epoch", ylabel="total loss", title="Loss")
    axes.legend()
    return _svg(figure)


@_styled
def auroc_curves(curves: pl.DataFrame) -> Image:
    """Validation AUROC of the two streams' own queries by epoch."""
    figure, axes = _new(2.7)
    for stream, marker, style in (("pathology", "o", "-"), ("anatomy", "s", "--")):
        column = f"validation_auroc_{stream}"
        if column in curves.columns:
            axes.plot(curves["epoch"], curves[column], marker=marker, markersize=3, linestyle=style, label=stream)
    axes.set(xlabel="epoch", ylabel="macro AUROC", title="Validation AUROC of the queries")
    axes.legend()
    return _svg(figure)


@_styled
def roc(scores: pl.DataFrame, title: str) -> Image:
    """ROC curves of the test images: one thin line per finding, the mean of all in bold.

    Args:
        scores: `schemas.SCORES` of one benchmark's test images.
        title: of the figure.
    """
    figure, axes = _new(3.9)
    _thin_and_mean(axes, _roc_curves(scores))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=title, aspect="equal")
    axes.legend(loc="lower right")
    return _svg(figure)


@_styled
def precision_recall(scores: pl.DataFrame, title: str) -> Image:
    """Precision-recall curves of the test images, as in `roc`; the dotted line is the mean prevalence."""
    figure, axes = _new(3.9)
    _thin_and_mean(axes, _precision_curves(scores))
    prevalence = float(np.mean([labels.mean() for _, labels, _ in _scored(scores)]))
    axes.axhline(prevalence, color=GREY, linestyle=":", linewidth=1, label="prevalence")
    axes.set(xlabel="recall", ylabel="precision", title=title, ylim=(0, 1.02), aspect="equal")
    axes.legend(loc="best")
    return _svg(figure)


def false_alarms(scores: pl.DataFrame, found: float) -> float:
    """The false positive rate, in the mean over findings, where a share of the positives is found."""
    curves = [roc_curve(labels, values) for _, labels, values in _scored(scores)]
    return float(np.mean([false[np.argmax(true >= found)] for false, true, _ in curves]))


def precision_at(scores: pl.DataFrame, found: float) -> float:
    """The precision, in the mean over findings, where a share of the positives is found."""
    curves = [precision_recall_curve(labels, values) for _, labels, values in _scored(scores)]
    return float(np.mean([precision[recall >= found].max() for precision, recall, _ in curves]))


@_styled
def auroc_bars(per_class: Mapping[str, Mapping[str, Any]], title: str) -> Image:
    """AUROC of each finding with its 95 % interval, highest first.

    Args:
        per_class: finding -> auroc, auroc_interval [low, high], positives.
        title: of the figure.
    """
    rows = sorted(per_class.items(), key=lambda item: (item[1]["auroc"], item[0]))
    figure, axes = _new(1.1 + 0.27 * len(rows))
    values = np.array([row["auroc"] for _, row in rows])
    labels = [f"{name} ({row['positives']})" for name, row in rows]
    axes.barh(labels, values, color=BLUE, height=0.7, xerr=_errors(values, [row["auroc_interval"] for _, row in rows]),
              error_kw={"ecolor": "black", "capsize": 2, "linewidth": 1})  # fmt: skip
    _chance_line(axes)
    axes.set(xlabel="AUROC (positive test images in brackets)", title=title, xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    return _svg(figure)


@_styled
def severity_points(severities: Mapping[str, Mapping[str, tuple[float, Sequence[float] | None]]]) -> Image:
    """AUROC of each benchmark's positives of one severity against all negatives, with 95 % intervals.

    Args:
        severities: benchmark -> severity -> macro AUROC and its interval; a severity may be missing.
    """
    figure, axes = _new(3.2)
    count = len(severities)
    for place, (benchmark, rows) in enumerate(severities.items()):
        found = [name for name in SEVERITIES if name in rows]
        values = np.array([rows[name][0] for name in found])
        where = np.array([SEVERITIES.index(name) for name in found]) + 0.15 * (place - (count - 1) / 2)
        errors = _errors(values, [rows[name][1] for name in found])
        marker = _MARKERS[place % len(_MARKERS)]
        axes.errorbar(where, values, errors, marker=marker, linestyle="", capsize=2, label=benchmark)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set_xticks(range(len(SEVERITIES)), SEVERITIES)
    axes.set(ylabel="macro AUROC", title="By severity of the finding", ylim=(0.3, 1.02))
    axes.legend(loc="lower right", ncols=2)
    return _svg(figure)


@_styled
def reliability(bins: Mapping[str, Sequence[Mapping[str, float]]]) -> Image:
    """How often a finding is there that was scored p: on the diagonal when the scores are probabilities.

    Args:
        bins: benchmark -> rows of confidence (mean score) and frequency (share of positives), both in [0, 1].
    """
    figure, axes = _new(3.9)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="perfect")
    for place, (benchmark, rows) in enumerate(bins.items()):
        marker = _MARKERS[place % len(_MARKERS)]
        points = [[row["confidence"] for row in rows], [row["frequency"] for row in rows]]
        axes.plot(*points, marker=marker, markersize=4, label=benchmark)
    axes.set(
        xlabel="mean score", ylabel="share of positives", title="Reliability", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
    axes.legend(loc="upper left")
    return _svg(figure)


@_styled
def grounding_bars(results: Mapping[str, Any], title: str) -> Image:
    """Pointing game, IoU and Dice with 95 % intervals, beside what chance gives."""
    figure, axes = _new(2.2)
    names = {"pointing_game": "pointing game", "iou": "IoU", "dice": "Dice"}
    rows = np.arange(len(names))[::-1]
    values = np.array([results[name] for name in names])
    errors = _errors(values, [results["intervals"][name] for name in names])
    axes.barh(rows + 0.2, values, 0.38, color=BLUE, label="this run", xerr=errors,
              error_kw={"ecolor": "black", "capsize": 2, "linewidth": 1})  # fmt: skip
    chance = [results["chance"][name] for name in names]
    axes.barh(rows - 0.2, chance, 0.38, color="white", edgecolor=GREY, hatch="///", label="chance")
    axes.set_yticks(rows, list(names.values()))
    axes.set(title=title, xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
    return _svg(figure)


@_styled
def heat_map(film: NDArray[np.uint8], heat: NDArray[np.float32], boxes: NDArray[np.float64]) -> Image:
    """A film with its boxes, and the same under the model's heat map.

    Args:
        film: [S, S].
        heat: [g, g], not negative; shown as shares of its maximum.
        boxes: [boxes, 4] of x, y, width, height in pixels of the film.
    """
    size = film.shape[0]
    figure = Figure(figsize=(3.6, 1.8), dpi=120)
    for place in range(2):
        axes = figure.add_axes((place / 2, 0, 0.495, 1))
        axes.set_axis_off()
        axes.imshow(film, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0))
        for x, y, width, height in boxes:
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=SKY, linewidth=1.4))
    extent, top = (0, size, size, 0), float(heat.max())
    figure.axes[1].imshow(heat, cmap="inferno", vmin=0, vmax=top, alpha=0.55, extent=extent, interpolation="bilinear")
    return _png(figure)


def peaks_inside(heat: NDArray[np.float32], boxes: NDArray[np.float64], size: int) -> bool:
    """Whether the centre of the brightest cell [g, g] of a film of size x size pixels lies in one of the boxes."""
    row, column = np.unravel_index(np.argmax(heat), heat.shape)
    y, x = (row + 0.5) * size / heat.shape[0], (column + 0.5) * size / heat.shape[1]
    left, top, width, height = boxes.T
    return bool(((left <= x) & (x <= left + width) & (top <= y) & (y <= top + height)).any())


@_styled
def streams(points: pl.DataFrame) -> Image:
    """t-SNE of the queried embeddings of both streams (`schemas.POINTS`)."""
    figure, axes = _new(3.9)
    for stream, colour, marker in (("pathology", BLUE, "o"), ("anatomy", ORANGE, "^")):
        shown = points.filter(pl.col("stream") == stream)
        axes.scatter(shown["x"], shown["y"], s=9, c=colour, marker=marker, alpha=0.6, linewidths=0, label=stream)
    axes.set(title="t-SNE of both streams", xticks=[], yticks=[])
    axes.legend(markerscale=2)
    return _svg(figure)


@_styled
def extraction_bars(scores: Mapping[str, Mapping[str, float]]) -> Image:
    """Precision, recall and F1 of the extracted triplets.

    Args:
        scores: what was compared -> precision, recall, f1.
    """
    figure, axes = _new(0.8 + 0.75 * len(scores))
    rows = np.arange(len(scores))[::-1]
    inks = {"precision": (BLUE, "white"), "recall": (ORANGE, "black"), "f1": (SKY, "black")}
    for place, (name, (fill, ink)) in enumerate(inks.items()):
        for y, row in zip(rows + 0.27 * (1 - place), scores.values(), strict=True):
            axes.barh(y, row[name], 0.25, color=fill)
            axes.text(0.02, y, f"{name.replace('f1', 'F1')} {row[name]:.2f}", color=ink, fontsize=8, va="center")
    axes.set_yticks(rows, list(scores))
    axes.set(title="Extracted triplets against the truth", xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    return _svg(figure)


def _new(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> Image:
    """Encode without date and maker, the ids of its elements drawn from a fixed salt."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Image(buffer.getvalue(), "svg")


def _png(figure: Figure) -> Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Image(buffer.getvalue(), "png")


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


def _errors(values: NDArray[np.float64], intervals: Sequence[Sequence[float] | None]) -> NDArray[np.float64]:
    """Distances of interval ends from values, as matplotlib wants them: [2, n]; 0 where there is no interval."""
    pairs = [interval or (value, value) for value, interval in zip(values, intervals, strict=True)]
    low, high = np.array(pairs, dtype=float).reshape(-1, 2).T
    return np.stack([np.maximum(values - low, 0), np.maximum(high - values, 0)])


def _chance_line(axes: Axes) -> None:
    axes.axvline(0.5, color=VERMILION, linestyle="--", linewidth=1)
