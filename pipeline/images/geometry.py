"""Where a stored image lies in its S x S square, and how boxes and masks of the stored image get there.

The image keeps its shape: its longer side becomes S, and it is centred between bars of zeros. Nothing here reads files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

IntArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

MASKS_AT_ONCE = 16  # a 1,024 x 1,024 mask takes some 6 MB on its way to 224 x 224


@dataclass(frozen=True)
class Letterbox:
    """Place of stored images in their squares; every array has one entry per image.

    Attributes:
        left: columns of zeros before the image.
        top: rows of zeros above the image.
        width: of the image within the square, pixels.
        height: of the image within the square, pixels.
    """

    left: IntArray
    top: IntArray
    width: IntArray
    height: IntArray


def letterbox(widths: Sequence[int] | IntArray, heights: Sequence[int] | IntArray, size: int) -> Letterbox:
    """Fit stored images into size x size: sides are size * side / longer side, rounded half up, at least 1."""
    stored = np.array([widths, heights], np.int64)  # [2, N]
    longer = stored.max(axis=0)
    width, height = np.maximum(1, (2 * size * stored + longer) // (2 * longer))
    return Letterbox((size - width) // 2, (size - height) // 2, width, height)


def boxes_to_square(boxes: pl.DataFrame, sizes: pl.DataFrame, size: int) -> pl.DataFrame:
    """Move boxes from stored pixels to the square.

    Args:
        boxes: schemas.BOXES.
        sizes: image_id, width, height of the stored images, such as schemas.IMAGE_INDEX.
        size: S.

    Returns:
        The boxes of images that have a size, in order, with x, y, width, height in pixels of the square.
    """
    stored = sizes.select("image_id", stored_width="width", stored_height="height")
    joined = boxes.join(stored, on="image_id", how="inner", maintain_order="left")
    across, down = joined["stored_width"].to_numpy(), joined["stored_height"].to_numpy()
    place = letterbox(across, down, size)
    return joined.select(
        "image_id",
        "finding",
        x=pl.Series(place.left + joined["x"].to_numpy() * place.width / across, dtype=pl.Float32),
        y=pl.Series(place.top + joined["y"].to_numpy() * place.height / down, dtype=pl.Float32),
        width=pl.Series(joined["width"].to_numpy() * place.width / across, dtype=pl.Float32),
        height=pl.Series(joined["height"].to_numpy() * place.height / down, dtype=pl.Float32),
    )


def masks_to_square(masks: pl.DataFrame, size: int) -> BoolArray:
    """Move run-length masks from stored pixels to the square.

    Args:
        masks: schemas.MASKS, N rows; the runs of a mask are sorted and do not overlap.
        size: S.

    Returns:
        bool [N, S, S]: pixels that the mask covers by half or more.
    """
    squares = np.zeros((masks.height, size, size), np.bool_)
    numbered = masks.select("height", "width", "runs", row=pl.int_range(pl.len()))
    for same in numbered.partition_by("height", "width", maintain_order=True):
        for batch in same.iter_slices(MASKS_AT_ONCE):
            squares[batch["row"].to_numpy()] = _same_size_to_square(batch, size)
    return squares


def _same_size_to_square(batch: pl.DataFrame, size: int) -> BoolArray:
    height, width = batch["height"][0], batch["width"][0]
    place = letterbox([width], [height], size)
    inner_height, inner_width = int(place.height[0]), int(place.width[0])
    painted = _painted_below(batch, height, width, inner_height)  # [n, w, inner_h]
    across = _bin_widths(width, inner_width)  # [inner_w, w]
    area = np.einsum("xw,nwy->nyx", across, painted, optimize=True)  # stored pixels covered
    whole = (height / inner_height) * (width / inner_width)
    square = np.zeros((batch.height, size, size), np.bool_)
    top, left = int(place.top[0]), int(place.left[0])
    square[:, top : top + inner_height, left : left + inner_width] = area >= whole / 2 - 1e-6
    return square


def _painted_below(batch: pl.DataFrame, height: int, width: int, inner_height: int) -> FloatArray:
    """How much of each stored column the masks paint within each target row, [n, w, inner_h] in stored pixels.

    The number of painted pixels before position t of the column-by-column numbering is piecewise linear in t, so its
    differences between fractional row edges are exact areas.
    """
    pairs = batch["runs"].explode(empty_as_null=False).to_numpy().astype(np.float64).reshape(-1, 2)
    mask = np.repeat(np.arange(batch.height), batch["runs"].list.len().to_numpy() // 2)
    start = pairs[:, 0] + mask * (height * width)
    corners = np.stack([start, start + pairs[:, 1]], axis=1).ravel()
    before = np.cumsum(np.stack([np.zeros(len(pairs)), pairs[:, 1]], axis=1).ravel())
    edges = np.linspace(0, height, inner_height + 1)
    columns = np.arange(batch.height * width)[:, None] * height
    painted = np.interp(columns + edges, corners, before) if len(pairs) else np.zeros((len(columns), len(edges)))
    return np.diff(painted).reshape(batch.height, width, inner_height)


def _bin_widths(stored: int, inner: int) -> FloatArray:
    """How much of each stored pixel lies in each target pixel along one axis, [inner, stored]."""
    edges = np.linspace(0, stored, inner + 1)
    pixels = np.arange(stored)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: FloatArray = np.clip(overlap, 0, None)
    return weights
