"""A benchmark small enough to fine-tune on in a second: bright squares on noise, and their masks."""

import numpy as np
import polars as pl
import torch

SIZE = 32
SPLITS = {"train": 60, "validate": 24, "test": 30}


class Pictures:
    """Images in memory, which count how often they are asked for."""

    def __init__(self, pixels):
        self.ids = [f"i{k:03}" for k in range(len(pixels))]
        self.pixels, self.gathered = pixels, np.zeros(len(pixels), int)

    def gather(self, rows):
        np.add.at(self.gathered, rows, 1)
        return torch.from_numpy(self.pixels[rows])


def runs_of(mask):
    """(start, length) pairs, column by column."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(flat) == 1), np.flatnonzero(np.diff(flat) == -1)
    return np.stack([starts, ends - starts], axis=1).ravel().tolist()


def squares(seed=0):
    """Images, their tables and their masks: half show a square (the finding "mass"), some of those a large one."""
    rng = np.random.default_rng(seed)
    n = sum(SPLITS.values())
    pixels = rng.integers(0, 40, (n, SIZE, SIZE)).astype(np.uint8)
    masks = np.zeros((n, SIZE, SIZE), bool)
    large = rng.random(n) < 0.5
    for k in range(0, n, 2):
        x, y, side = *rng.integers(0, 16, 2), 14 if large[k] else 8
        masks[k, y : y + side, x : x + side] = True
    pixels[masks] += 180
    ids = [f"i{k:03}" for k in range(n)]
    images = pl.DataFrame({
        "image_id": ids,
        "patient_id": [f"p{k // 2}" if k < SPLITS["train"] else f"q{k}" for k in range(n)],
        "split": [split for split, count in SPLITS.items() for _ in range(count)],
    })  # fmt: skip
    shown = masks.any((1, 2))
    labels = pl.DataFrame({
        "image_id": ids * 2,
        "finding": ["mass"] * n + ["large"] * n,
        "label": np.concatenate([shown, shown & large]).astype(np.int8),
    })  # fmt: skip
    table = pl.DataFrame({
        "image_id": [name for name, own in zip(ids, shown, strict=True) if own],
        "finding": "mass",
        "height": SIZE,
        "width": SIZE,
        "runs": pl.Series([runs_of(own) for own in masks if own.any()], dtype=pl.List(pl.Int32)),
    })  # fmt: skip
    return Pictures(pixels), images, labels, table, masks
