"""Bars of a report, each a function of plain results that returns an image. Knows no files and no page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pipeline.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    Estimate,
    Image,
    errors,
    new,
    styled,
    svg,
)

CHANCE = "chance"
_FILLS = ((BLUE, ""), (ORANGE, ".."), (SKY, ""), (GREEN, "xx"))


@styled
def auroc_bars(per_class: Mapping[str, Mapping[str, Any]], title: str) -> Image:
    """AUROC of each finding with its 95 % interval, highest first.

    Args:
        per_class: finding -> auroc, auroc_interval [low, high], positives.
        title: of the figure.
    """
    rows = sorted(per_class.items(), key=lambda item: (item[1]["auroc"], item[0]))
    figure, axes = new(1.1 + 0.27 * len(rows), title)
    values = np.array([row["auroc"] for _, row in rows])
    labels = [f"{name} ({row['positives']})" for name, row in rows]
    axes.barh(labels, values, color=BLUE, height=0.7, xerr=errors(values, [row["auroc_interval"] for _, row in rows]),
              error_kw={"ecolor": "black", "capsize": 2, "linewidth": 1})  # fmt: skip
    _chance_line(axes)
    axes.set(xlabel="AUROC (positive test images in brackets)", xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    return svg(figure)


@styled
def grouped_bars(
    groups: Mapping[str, Mapping[str, Estimate]],
    title: str,
    xlabel: str,
    line: tuple[str, float] | None = None,
    highest: float = 1.0,
) -> Image:
    """Figures of merit in [0, 1] in groups of bars, with 95 % intervals where there are any.

    Args:
        groups: group -> what is shown -> value and interval; a series named CHANCE is drawn empty.
        title: of the figure.
        xlabel: what the bars measure.
        line: what to draw a dashed line for, and where.
        highest: where the axis ends.
    """
    series = list(dict.fromkeys(name for row in groups.values() for name in row))
    figure, axes = new(1.2 + (0.16 + 0.2 * len(series)) * len(groups), title)
    rows = np.arange(len(groups))[::-1]
    step = 0.8 / len(series)
    for place, name in enumerate(series):
        shown = [(y, row[name]) for y, row in zip(rows, groups.values(), strict=True) if name in row]
        values = np.array([value for _, (value, _) in shown])
        where = np.array([y for y, _ in shown]) + 0.4 - step * (place + 0.5)
        fill, hatch = ("white", "///") if name == CHANCE else _FILLS[place % len(_FILLS)]
        bars = errors(values, [interval for _, (_, interval) in shown])
        axes.barh(where, values, 0.92 * step, color=fill, edgecolor=GREY, hatch=hatch, linewidth=0.5, label=name,
                  xerr=bars, error_kw={"ecolor": "black", "capsize": 2, "linewidth": 1})  # fmt: skip
    if line:
        axes.axvline(line[1], color=VERMILION, linestyle="--", linewidth=1, label=line[0])
    axes.set_yticks(rows, list(groups))
    axes.set(xlabel=xlabel, xlim=(0, highest), ylim=(-0.55, len(groups) - 0.45))
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=min(len(series), 3))
    return svg(figure)


@styled
def extraction_bars(scores: Mapping[str, Mapping[str, float]]) -> Image:
    """Precision, recall and F1 of the extracted triplets.

    Args:
        scores: what was compared -> precision, recall, f1.
    """
    figure, axes = new(0.8 + 0.75 * len(scores), "Extracted triplets against the truth")
    rows = np.arange(len(scores))[::-1]
    inks = {"precision": (BLUE, "white"), "recall": (ORANGE, "black"), "f1": (SKY, "black")}
    for place, (name, (fill, ink)) in enumerate(inks.items()):
        for y, row in zip(rows + 0.27 * (1 - place), scores.values(), strict=True):
            axes.barh(y, row[name], 0.25, color=fill)
            axes.text(0.02, y, f"{name.replace('f1', 'F1')} {row[name]:.2f}", color=ink, fontsize=8, va="center")
    axes.set_yticks(rows, list(scores))
    axes.set(xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    return svg(figure)


def _chance_line(axes: Axes) -> None:
    axes.axvline(0.5, color=VERMILION, linestyle="--", linewidth=1)
