"""Pictures of a report that show places: films with what was found in them, and maps of embeddings.

Each is a function of plain arrays and tables that returns an image. Knows no files and no page.
"""

from collections.abc import Sequence
from textwrap import shorten

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.reporting.drawing import BLUE, GREY, ORANGE, SKY, VERMILION, WIDTH, Image, new, png, styled, svg

PRINTED = 12  # texts in a matrix of similarities at most, whose numbers are printed


@styled
def heat_map(film: NDArray[np.uint8], heat: NDArray[np.float32], boxes: NDArray[np.float64]) -> Image:
    """A film with its boxes, and the same under the model's heat map.

    Args:
        film: [S, S].
        heat: [g, g], not negative; shown as shares of its maximum.
        boxes: [boxes, 4] of x, y, width, height in pixels of the film.
    """
    size = film.shape[0]
    figure = _films(film)
    for axes in figure.axes:
        for x, y, width, height in boxes:
            axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=SKY, linewidth=1.4))
    extent, top = (0, size, size, 0), float(heat.max())
    figure.axes[1].imshow(heat, cmap="inferno", vmin=0, vmax=top, alpha=0.55, extent=extent, interpolation="bilinear")
    return png(figure)


def peaks_inside(heat: NDArray[np.float32], boxes: NDArray[np.float64], size: int) -> bool:
    """Whether the centre of the brightest cell [g, g] of a film of size x size pixels lies in one of the boxes."""
    row, column = np.unravel_index(np.argmax(heat), heat.shape)
    y, x = (row + 0.5) * size / heat.shape[0], (column + 0.5) * size / heat.shape[1]
    left, top, width, height = boxes.T
    return bool(((left <= x) & (x <= left + width) & (top <= y) & (y <= top + height)).any())


@styled
def masks(film: NDArray[np.uint8], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Image:
    """A film with the true region outlined (left), and with the predicted one (right, dashed).

    Args:
        film: [S, S].
        truth: [S, S].
        predicted: [S, S].
    """
    figure = _films(film)
    for axes, mask, colour, style in zip(figure.axes, (truth, predicted), (SKY, ORANGE), ("-", "--"), strict=True):
        if mask.any():
            padded = np.pad(mask, 1).astype(float)  # so that a region at the edge is outlined there, too
            places = np.arange(-1, film.shape[0] + 1) + 0.5
            axes.contour(places, places, padded, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.4)
            axes.set(xlim=(0, film.shape[0]), ylim=(film.shape[0], 0))
    return png(figure)


def _films(film: NDArray[np.uint8]) -> Figure:
    """The same film [S, S] twice, side by side; coordinates are its pixels."""
    size = film.shape[0]
    figure = Figure(figsize=(3.6, 1.8), dpi=120)
    for place in range(2):
        axes = figure.add_axes((place / 2, 0, 0.495, 1))
        axes.set_axis_off()
        axes.imshow(film, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0))
    return figure


@styled
def streams(points: pl.DataFrame) -> Image:
    """t-SNE of the queried embeddings of both streams (`schemas.POINTS`)."""
    figure, axes = new(3.9, "t-SNE of both streams")
    for stream, colour, marker in (("pathology", BLUE, "o"), ("anatomy", ORANGE, "^")):
        shown = points.filter(pl.col("stream") == stream)
        axes.scatter(shown["x"], shown["y"], s=9, c=colour, marker=marker, alpha=0.6, linewidths=0, label=stream)
    axes.set(xticks=[], yticks=[])
    axes.legend(markerscale=2)
    return svg(figure)


@styled
def finding_maps(points: pl.DataFrame, titles: Sequence[str]) -> Image:
    """UMAP of diseased beside healthy images, a panel per finding (`schemas.FINDING_POINTS`).

    Args:
        points: of all panels.
        titles: of the panels, in the order in which the findings come.
    """
    parts = points.partition_by("finding", maintain_order=True)
    rows = -(-len(parts) // 2)
    figure = Figure(figsize=(WIDTH, 2.1 * rows + 0.3), dpi=100, layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes in panels[len(parts) :]:
        axes.set_axis_off()
    for axes, part, title in zip(panels, parts, titles, strict=False):
        _groups(axes, part)
        axes.set(title=title, xticks=[], yticks=[])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return svg(figure)


def _groups(axes: Axes, points: pl.DataFrame) -> None:
    for group, colour, marker in (("healthy", GREY, "o"), ("diseased", VERMILION, "^")):
        shown = points.filter(group=group)
        axes.scatter(shown["x"], shown["y"], s=12, c=colour, marker=marker, alpha=0.7, linewidths=0, label=group)


@styled
def similarity(texts: Sequence[str], matrix: NDArray[np.float64], title: str) -> Image:
    """Cosines between texts, numbered down and across.

    Args:
        texts: n of them.
        matrix: [n, n].
        title: of the figure.
    """
    count = len(texts)
    figure, axes = new(1.4 + 0.2 * count, title)
    shown = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(shown, ax=axes, label="cosine", location="bottom", shrink=0.8, aspect=30)
    if count <= PRINTED:
        for (row, column), value in np.ndenumerate(matrix):
            ink = "black" if value > 0.5 else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    axes.set_xticks(range(count), [str(place + 1) for place in range(count)], fontsize=7)
    labels = [f"{shorten(text, 30, placeholder=' …')} ({place + 1})" for place, text in enumerate(texts)]
    axes.set_yticks(range(count), labels)
    axes.grid(visible=False)
    return svg(figure)
