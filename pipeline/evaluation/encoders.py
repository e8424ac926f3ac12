"""The image encoders whose worth fine-tuning compares: the pre-trained one, and those it is measured against."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluation.scorer import ImageSource, batches
from pipeline.evaluation.subsets import Rows
from pipeline.networks.backbone import PatchEncoder
from pipeline.networks.imagenet import load_imagenet
from pipeline.training.augmentation import plain

PRETRAINED = "pretrained"
BATCH = 64


def encoders_of(inits: Sequence[str], pretrained: PatchEncoder, imagenet: str, seed: int) -> dict[str, PatchEncoder]:
    """One encoder for each way to start.

    Args:
        inits: pretrained | random (the same architecture with fresh weights) | imagenet.
        pretrained: the encoder of the trained model.
        imagenet: hub id or folder of a ResNet with ImageNet weights; it keeps its own architecture, cut after as many
            stages as the pre-trained one has.
        seed: of the fresh weights.

    Raises:
        ModelError: the ResNet cannot be loaded.
    """
    make = {
        PRETRAINED: lambda: pretrained,
        "random": lambda: _fresh(pretrained, seed),
        "imagenet": lambda: load_imagenet(imagenet, stages=len(pretrained.architecture[1])),
    }
    device = next(pretrained.parameters()).device
    return {init: make[init]().to(device).eval() for init in inits}


def _fresh(encoder: PatchEncoder, seed: int) -> PatchEncoder:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return PatchEncoder(*encoder.architecture)


@torch.inference_mode()
def pooled_features(encoder: PatchEncoder, source: ImageSource, rows: Rows) -> Tensor:
    """Patch features averaged over the patches, each image encoded once: [n, C] where the encoder lies."""
    return torch.cat([encode(encoder, images).mean(dim=(2, 3)) for images in batches(source, rows, BATCH)])


def encode(encoder: PatchEncoder, images: Tensor) -> Tensor:
    """Images uint8 [B, S, S] to patch features [B, C, g, g]."""
    features: Tensor = encoder(plain(images.to(next(encoder.parameters()).device)))
    return features


def as_rows(places: Rows) -> Tensor:
    """Places as an index of tensors."""
    return torch.from_numpy(np.ascontiguousarray(places))
