"""How heat maps meet regions: pointing game, IoU and Dice of each map, over thresholds, as released, and by chance.

Works on maps and regions of the same square images; which images count and what their mean is worth is `grounding`'s.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.errors import EvaluationError
from pipeline.images.geometry import letterbox

Floats = NDArray[np.float64]

METRICS = ("pointing_game", "iou", "dice")
THRESHOLDS = np.arange(1, 20) / 20  # T shares of a map's maximum
# MedKLIP's released threshold, 0.008 of the attention over 14 x 14 patches, as a multiple of uniform attention
RELEASED_LEVEL = 0.008 * 14 * 14
TIE = 1e-6  # values this close to the maximum, as a share of it, are tied with it: upsampling rounds


@dataclass(frozen=True)
class Overlaps:
    """How P heat maps meet their regions; every figure is in [0, 1]."""

    pointing_game: Floats  # [P] share of the tied maxima that lie in the region
    iou: Floats  # [P, T] at each of THRESHOLDS
    dice: Floats  # [P, T]
    released: Floats  # [P, 3] METRICS as the released code computes them
    chance: Floats  # [P, 3] METRICS of a point, and of a map, that knows nothing


def join_overlaps(parts: list[Overlaps]) -> Overlaps:
    """Overlaps of consecutive pairs as one."""
    names = [field.name for field in fields(Overlaps)]
    return Overlaps(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def draw_regions(pairs: pl.DataFrame, boxes: pl.DataFrame, size: int) -> Tensor:
    """The union of each pair's boxes: bool [P, S, S], every pixel that one of them touches.

    Args:
        pairs: P rows with image_id and finding.
        boxes: `schemas.BOXES`, but in pixels of the square (`images.geometry.boxes_to_square`).
        size: S.
    """
    numbered = pairs.select("image_id", "finding", place=pl.int_range(pl.len()))
    drawn = numbered.join(boxes, on=["image_id", "finding"], maintain_order="left")
    x, y, width, height = drawn.select("x", "y", "width", "height").to_numpy().T[..., None]  # [M, 1] each
    regions = torch.zeros(pairs.height, size, size, dtype=torch.int32)
    regions.index_add_(0, torch.tensor(drawn["place"].to_list()), _rectangles(x, y, width, height, size).int())
    return regions > 0


def draw_contents(widths: NDArray[np.int64], heights: NDArray[np.int64], size: int) -> Tensor:
    """Where each square holds image and not padding, from the stored sizes [P]: bool [P, S, S]."""
    place = letterbox(widths, heights, size)
    return _rectangles(place.left[:, None], place.top[:, None], place.width[:, None], place.height[:, None], size)


def _rectangles(x: NDArray[Any], y: NDArray[Any], width: NDArray[Any], height: NDArray[Any], size: int) -> Tensor:
    """Filled rectangles from columns [M, 1]: bool [M, S, S]."""
    pixels = np.arange(size)
    across = (pixels + 1 > x) & (pixels < x + width)  # [M, S]
    down = (pixels + 1 > y) & (pixels < y + height)
    return torch.from_numpy(down[:, :, None] & across[:, None, :])


def measure(heat: Tensor, regions: Tensor, contents: Tensor) -> Overlaps:
    """Compare heat maps with regions.

    Args:
        heat: [P, g, g], not negative. A map without any contrast is tied everywhere.
        regions: bool [P, S, S], not empty.
        contents: bool [P, S, S], where the square holds image and not padding.

    Raises:
        EvaluationError: a heat map is negative or not finite.
    """
    if not torch.isfinite(heat).all() or (heat < 0).any():
        raise EvaluationError("A heat map holds negative or non-finite values: the model diverged; train it anew.")
    size = regions.shape[-1]
    smooth = interpolate(heat.double()[:, None], size=(size, size), mode="bilinear", antialias=False)[:, 0]  # [P, S, S]
    relative = (smooth / smooth.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)).flatten(1)
    truth = regions.flatten(1)  # [P, S * S]
    tied = relative >= relative.amax(1, keepdim=True) - TIE
    pointing = (tied & truth).sum(1) / tied.sum(1)
    iou, dice = _overlap(*_passing(relative, truth), truth.sum(1, keepdim=True))
    return Overlaps(
        pointing.double().numpy(), iou, dice, _released(heat, truth, size), _chance(truth, contents.flatten(1))
    )


def _passing(relative: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """How many pixels of a map, and of its region, reach each threshold: [P, T] and [P, T]."""
    levels = torch.bucketize(relative, torch.from_numpy(THRESHOLDS), right=True)  # thresholds reached, 0..T
    steps = len(THRESHOLDS) + 1
    cells = levels + torch.arange(len(levels))[:, None] * steps
    counts = [torch.bincount(some.flatten(), minlength=len(levels) * steps) for some in (cells, cells[truth])]
    called, hit = (count.reshape(-1, steps).flip(1).cumsum(1).flip(1)[:, 1:] for count in counts)
    return called, hit


def _overlap(called: Tensor, hit: Tensor, area: Tensor) -> tuple[Floats, Floats]:
    """IoU and Dice from pixel counts; regions are never empty, so neither is a denominator."""
    return (hit / (called + area - hit)).double().numpy(), (2 * hit / (called + area)).double().numpy()


def _released(heat: Tensor, truth: Tensor, size: int) -> Floats:
    """METRICS [P, 3] as released: patches as blocks, a fixed threshold, a hit if any tied maximum is in the region."""
    blocks = interpolate(heat[:, None], size=(size, size), mode="nearest-exact").flatten(1)  # [P, S * S]
    hit_by_any = ((blocks == blocks.amax(1, keepdim=True)) & truth).any(1)
    called = blocks > RELEASED_LEVEL * heat.mean((1, 2))[:, None]
    iou, dice = _overlap(called.sum(1), (called & truth).sum(1), truth.sum(1))
    return np.stack([hit_by_any.double().numpy(), iou, dice], axis=1)


def _chance(truth: Tensor, content: Tensor) -> Floats:
    """METRICS [P, 3] without knowledge: a point anywhere in the image, and a map that marks all of the image.

    A region of share a is hit by a random point with probability a. A random map that marks a share p has an expected
    IoU of at most about p a / (p + a - p a), which grows with p to a; so the full map is the best of them: IoU a, Dice
    2 a / (1 + a).
    """
    share = ((truth & content).sum(1) / content.sum(1)).double().numpy()
    return np.stack([share, share, 2 * share / (1 + share)], axis=1)
