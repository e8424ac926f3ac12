"""What datasets publish of a mask: boxes and run lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.phantom.scene import Finding


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; x and y are its left upper corner."""

    x: int
    y: int
    width: int
    height: int


def boxes_of(mask: NDArray[np.bool_], finding: Finding) -> list[Box]:
    """The boxes that enclose a mask [S, S]: one, or one per half of the image for a bilateral finding."""
    if finding.side != "both":
        return _enclose(mask, 0)
    middle = _midline(mask)
    return _enclose(mask[:, :middle], 0) + _enclose(mask[:, middle:], middle)


def _midline(mask: NDArray[np.bool_]) -> int:
    """The emptiest column of the image's middle third, the one nearest the centre."""
    size = mask.shape[1]
    columns = np.arange(size // 3, 2 * size // 3)
    filled = mask[:, columns].sum(axis=0)
    return int(columns[np.lexsort((np.abs(columns - size / 2), filled))[0]])


def _enclose(mask: NDArray[np.bool_], left: int) -> list[Box]:
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return []
    x, y = int(xs.min()), int(ys.min())
    return [Box(left + x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1)]


def runs_of(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, length) of each run over the pixels of [S, S] numbered column by column from 0."""
    flat = np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(flat))
    return [(int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def relative_code(runs: Sequence[tuple[int, int]]) -> str:
    """Pairs "offset length" where each offset counts from the end of the run before."""
    ends = [0, *(start + length for start, length in runs)]
    return " ".join(f"{start - end} {length}" for (start, length), end in zip(runs, ends, strict=False))
