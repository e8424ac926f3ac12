"""A training of seconds: bright bars say which finding is where, so that there is something to learn.

Run as a script it trains with some changes: `python tiny_training.py FOLDER '{"devices": 2}'`.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch

from pipeline.losses.medslip import LossConfig
from pipeline.networks.medslip import MeDSLIPConfig
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.loop import TrainConfig, pretrain
from pipeline.training.medslip import MeDSLIPMethod, Queries
from pipeline.training.processes import launch

MODEL = MeDSLIPConfig(
    block="basic", depths=(1, 1), widths=(8, 16), stem=8, channels=1, text_size=12, hidden_size=16, heads=2,
    layers=1, feed_forward=16, dropout=0.0,
)  # fmt: skip
TRAIN = TrainConfig(
    epochs=3, batch=16, lr=3e-3, min_lr=1e-4, warmup_epochs=0.5, clip=1.0, devices=1, log_every=2, checkpoint_every=2,
    seed=4,
)  # fmt: skip
AUGMENT = AugmentConfig("laterality", (0.9, 1.0), 1.0, "bilinear", 0)


class Table:
    def __init__(self, tensor):
        self.tensor = tensor

    def gather(self, rows):
        return self.tensor[torch.from_numpy(rows)]


def examples(n, seed):
    """Pathology 0 is a vertical bar, 1 a horizontal one, 2 a checkerboard; the anatomy is the side it lies on."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 50, (n, 32, 32), dtype=np.uint8)
    labels = np.full((n, 3, 3), -1, dtype=np.int8)
    for image, label in zip(images, labels, strict=True):
        side = int(rng.integers(2))
        place = image[4:28, 18:30] if side else image[4:28, 2:14]
        kind = int(rng.integers(4))
        if kind < 3:
            pattern = [np.s_[:, 4:7], np.s_[10:13, :], np.s_[::2, ::2]][kind]
            place[pattern] = 220
            label[side, kind] = 1
            label[side, (kind + 1) % 3] = rng.choice([0, 2, -1])
        else:
            label[2, :] = 0
    rows = np.arange(n)
    return Examples(Table(torch.from_numpy(images)), rows, Table(torch.from_numpy(labels)), rows)


def queries():
    g = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 12, generator=g), torch.randn(3, 12, generator=g)
    return Queries(("bar", "beam", "board"), ("left lung", "right lung", "other"), *vectors)


def train(
    folder, log=lambda *_: None, model=MODEL, loss=None, augment=AUGMENT, data=None, validation=31, apart=False,
    **changes,
):  # fmt: skip
    config = dataclasses.replace(TRAIN, **changes)
    method = MeDSLIPMethod(model, loss or LossConfig(), queries(), augment, config.seed)
    return train_method(method, folder, log, data or (examples(90, 1), examples(validation, 2)), config, apart)


def train_method(method, folder, log, splits, config, apart=False):
    """Processes that are apart do not see the leader's checkpoints."""
    fabric = launch(config.devices, 1, config.precision)
    checkpoints = folder / ("elsewhere" if apart and fabric.global_rank else "checkpoints")
    return pretrain(method, config, *splits, folder / "out", checkpoints, log, fabric)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = train(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    if found.leader:  # a second one would be refused: the processes would each have trained alone
        with (Path(sys.argv[1]) / "curves.json").open("x") as file:
            json.dump(found.curves, file)
