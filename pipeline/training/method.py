"""What a method brings to the training loop: its network, what it makes of labels, its loss and its validation.

The loop knows nothing else of a method, and a method nothing of optimisers, processes and checkpoints.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from pipeline.training.augmentation import AugmentConfig
from pipeline.training.data import Examples, Share
from pipeline.training.validation import Validation


class Targets(Protocol):
    """What a batch's labels say to the losses."""

    def counts(self) -> Tensor:
        """How many entries each loss term averages over: float32, in the order of the method's terms."""
        ...


class Method(Protocol):
    """A pre-training method with all its data but the examples."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms."""
        ...

    @property
    def queries(self) -> Mapping[str, tuple[str, ...]]:
        """Names of what it is validated on, by kind; the first kind's macro AUROC chooses the best epoch."""
        ...

    @property
    def augmentation(self) -> AugmentConfig:
        """How training images vary."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """Its settings but the network's, nested dicts of JSON values that are stored beside the weights."""
        ...

    def network(self) -> nn.Module:
        """A new network; its randomness comes from torch's global generator."""
        ...

    def to(self, device: torch.device) -> None:
        """Move what the losses need to the training device."""
        ...

    def weights(self) -> Tensor:
        """Of the loss terms in their sum, on the training device."""
        ...

    def collate(self, share: Share) -> dict[str, Tensor]:
        """A part's labels as tensors of fixed shapes; runs in a background thread, on the CPU."""
        ...

    def targets(self, labels: Mapping[str, Tensor], draws: Tensor, /) -> Targets:
        """What collated labels say of the images as augmented, on the training device."""
        ...

    def loss_terms(self, model: nn.Module, images: Tensor, targets: Any, counts: Tensor) -> Tensor:
        """Every term of the loss, unweighted; `counts` as of `Targets`, the mean over parts and processes."""
        ...

    def validate(self, model: nn.Module, examples: Examples, batch: int, fabric: Fabric) -> Validation:
        """Score a model on all examples, each process taking a share."""
        ...

    def save(self, folder: Path, weights: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Store the network with these weights so that it loads from the folder alone."""
        ...
