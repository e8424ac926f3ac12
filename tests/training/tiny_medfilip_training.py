"""A MedFILIP training of seconds on the bars of tiny_training; as a script with so many processes."""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

sys.path.extend([str(Path(__file__).parent), str(Path(__file__).parents[1])])

import numpy as np
import tiny_medfilip as tiny
import tiny_training
import torch

from pipeline.losses.medfilip import ITMConfig
from pipeline.networks.medfilip import MedFILIP
from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples
from pipeline.training.medfilip import LabelTexts, MedFILIPMethod

# The categories alone, then what lies where; plain, mirror.
TEXTS = (
    ("edema", 0, 0), ("mass", 1, 1), ("normal", 2, 2), ("left lung edema", 0, 4), ("right lung edema", 0, 3),
    ("left lung mass", 1, 6), ("right lung mass", 1, 5), ("mild left lung edema", 0, 8),
    ("mild right lung edema", 0, 7),
)  # fmt: skip
LOSS = ITMConfig(itm="bce", ssm_same_category=True, plain=0.3)
STILL = AugmentConfig("laterality", (0.9, 1.0), 1.0, "bilinear", 0)
TRAIN = dataclasses.replace(tiny_training.TRAIN, batch=12)


def texts():
    tokens = tiny.tokenizer()([text for text, _, _ in TEXTS], padding=True, return_tensors="pt")
    vectors = torch.nn.functional.normalize(torch.rand(len(TEXTS), 8, generator=torch.Generator().manual_seed(0)))
    plain, mirror = (torch.tensor([row[column] for row in TEXTS]) for column in (1, 2))
    ids, lengths = tokens["input_ids"], tokens["attention_mask"].sum(1)
    return LabelTexts(("edema", "mass", "normal"), ids, lengths, vectors, plain, mirror)


def examples(n, seed):
    """A bar that lies upright is edema, a flat one a mass; on the left or right; some are mild, some have neither."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 50, (n, 32, 32), dtype=np.uint8)
    labels = np.full((n, 5, 2), -1, dtype=np.int64)
    for image, label in zip(images, labels, strict=True):
        kind, side, mild = rng.integers(3), int(rng.integers(2)), bool(rng.integers(2))
        label[2, 0] = kind
        label[4] = [other for other in range(3) if other != kind]
        if kind == 2:
            label[0, 0] = 2
            continue
        label[0, 0] = (7 + side) if kind == 0 and mild else 3 + 2 * kind + side
        place = image[4:28, 18:30] if side else image[4:28, 2:14]
        place[np.s_[:, 4:7] if kind == 0 else np.s_[10:13, :]] = 140 if mild else 220
    rows = np.arange(n)
    table = tiny_training.Table
    return Examples(table(torch.from_numpy(images)), rows, table(torch.from_numpy(labels)), rows)


def method(loss=LOSS, augment=STILL):
    folder = Path(tempfile.mkdtemp())
    tiny.tokenizer().save_pretrained(folder)
    torch.manual_seed(1)
    weights = MedFILIP(tiny.CONFIG).text.state_dict()
    return MedFILIPMethod(tiny.CONFIG, loss, texts(), augment, weights, folder)


def train(folder, log=lambda metrics, step: None, loss=LOSS, **changes):
    config = dataclasses.replace(TRAIN, **changes)
    splits = examples(60, 1), examples(23, 2)
    return tiny_training.train_method(method(loss), folder, log, splits, config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = train(Path(sys.argv[1]), devices=int(sys.argv[2]))
    if found.leader:
        (Path(sys.argv[1]) / "curves.json").write_text(json.dumps(found.curves))
