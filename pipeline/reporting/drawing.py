"""How every figure of a report is drawn: colours, style, and encoding that gives the same bytes each time.

Colours are Okabe and Ito's, which people with any colour vision tell apart, and no figure relies on colour alone.
Widths suit a telephone. What a figure shows is not here (`figures`, `bars`, `maps`).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
GREY = "#767676"
WIDTH = 4.8  # inches
Interval = Sequence[float] | None  # low and high; None where there is none
Estimate = tuple[float, Interval]
LINES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than colours: each pair comes once in 42 lines
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cxr",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": "medium",
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


styled = matplotlib.style.context(("default", _STYLE))  # whatever the user's matplotlibrc says


@dataclass(frozen=True)
class Image:
    """An encoded figure."""

    content: bytes
    kind: Literal["svg", "png"]


def new(height: float, title: str) -> tuple[Figure, Axes]:
    """A titled figure as wide as a telephone shows it, with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize="medium")  # over the whole width: beside long labels the axes are too narrow for it
    return figure, figure.add_subplot()


def svg(figure: Figure) -> Image:
    """Encode without date and maker, the ids of its elements drawn from a fixed salt."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Image(buffer.getvalue(), "svg")


def png(figure: Figure) -> Image:
    """Encode without the maker."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Image(buffer.getvalue(), "png")


def errors(values: NDArray[np.float64], intervals: Sequence[Interval]) -> NDArray[np.float64]:
    """Distances of interval ends from values, as matplotlib wants them: [2, n]; NaN, not drawn, without an interval."""
    low, high = np.array([interval or (np.nan, np.nan) for interval in intervals], float).reshape(-1, 2).T
    return np.stack([np.maximum(values - low, 0), np.maximum(high - values, 0)])
