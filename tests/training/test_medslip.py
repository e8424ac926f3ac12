"""What MeDSLIP makes of labels when an image is mirrored. The rest is tested through the loop."""

import tiny_training as tiny
import torch

from pipeline.losses.medslip import LossConfig, Targets
from pipeline.training.augmentation import DRAWS, AugmentConfig
from pipeline.training.medslip import MeDSLIPMethod, Mirror

ANATOMIES = ("left lung", "heart", "right lung", "left lower lobe", "right middle lobe", "cleft", "other")
MIRROR = Mirror.of(ANATOMIES)


def random_labels(n=6, anatomies=len(ANATOMIES)):
    return torch.randint(-1, 3, (n, anatomies, 3), generator=torch.Generator().manual_seed(1), dtype=torch.int8)


def test_rows_without_counterpart_go_to_other():
    """A finding in the left lower lobe lies, mirrored, in the right one, which only "other" covers here."""
    labels = torch.full((1, 7, 4), -1, dtype=torch.int8)
    labels[0, 3] = torch.tensor([1, 0, 2, -1])
    labels[0, 6] = torch.tensor([0, 2, 0, 1])
    mirrored = MIRROR.labels(labels)
    assert MIRROR.unpaired == (3, 4)
    assert (mirrored[0, 3] == -1).all()
    assert mirrored[0, 6].tolist() == [1, 2, 2, 1]
    assert (mirrored[0, [0, 1, 2, 4, 5]] == -1).all()


def test_mirroring_twice_gives_back_paired_rows():
    labels = random_labels()
    paired = [0, 1, 2, 5]
    assert torch.equal(MIRROR.labels(MIRROR.labels(labels))[:, paired], labels[:, paired])


def test_only_mirrored_images_have_mirrored_labels():
    """The tiny anatomies are left lung, right lung and other."""
    labels = {"existence": random_labels(8, 3), "draws": torch.rand(8, 3, 3)}
    u = torch.rand(8, DRAWS)
    u[:, 0] = torch.tensor([0.1, 0.9] * 4)
    for flip in ("none", "plain", "laterality"):
        method = MeDSLIPMethod(tiny.MODEL, LossConfig(), tiny.queries(), AugmentConfig(flip), 0)
        found = method.targets(labels, u).existence.positive
        wanted = Targets.of(labels["existence"], LossConfig()).positive
        assert torch.equal(found[1::2], wanted[1::2])
        assert torch.equal(found[::2], wanted[::2][:, [1, 0, 2]] if flip == "laterality" else wanted[::2])


def test_released_names_are_paired():
    names = (
        "left_hilar",
        "right_hilar",
        "lower_left_lobe",
        "lower_right_lobe",
        "left_lung_unspec",
        "right_lung_unspec",
    )
    assert Mirror.of((*names, "other")) == Mirror((1, 0, 3, 2, 5, 4, 6), ())
