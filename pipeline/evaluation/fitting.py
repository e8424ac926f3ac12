"""A small training loop for fine-tuning: so many steps or epochs, and the weights that validate best."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import TrainingError
from pipeline.evaluation.subsets import Rows

VALIDATIONS = 4  # over a training, evenly spaced


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to train.

    Attributes:
        steps: of AdamW at least; its learning rate falls to 0 along half a cosine.
        batch: images per step at most; a subset that is smaller is one batch.
        lr: learning rate at the start.
        weight_decay: of AdamW.
        epochs: passes over the training images at least: a large subset takes more steps than a small one.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-4
    weight_decay: float = 0.01
    epochs: int = 0

    def steps_for(self, images: int) -> int:
        """How many steps a training on so many images takes."""
        return max(self.steps, math.ceil(self.epochs * images / min(self.batch, images)))


def fit(
    module: nn.Module,
    loss: Callable[[Rows], Tensor],
    places: Rows,
    validate: Callable[[], float],
    config: FitConfig,
    seed: int,
) -> float:
    """Train in place; the module ends in evaluation mode with its best weights.

    Args:
        module: whose parameters to train.
        loss: of a batch of places, a scalar.
        places: the training images.
        validate: what is to be high on validation images.
        config: how.
        seed: of the order of the images.

    Returns:
        The best validation value.

    Raises:
        TrainingError: the loss is not finite.
    """
    optimiser = torch.optim.AdamW(module.parameters(), config.lr, weight_decay=config.weight_decay)
    steps = config.steps_for(len(places))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, weights = -np.inf, module.state_dict()
    module.train()
    looks = {round(steps * (look + 1) / VALIDATIONS) for look in range(VALIDATIONS)}
    for step, batch in zip(range(1, steps + 1), _batches(places, config.batch, seed), strict=False):
        _step(optimiser, loss(batch), step)
        schedule.step()
        if step in looks:
            module.eval()
            with torch.no_grad():
                value = validate()
            module.train()
            if value > best:
                best, weights = value, copy.deepcopy(module.state_dict())
    module.load_state_dict(weights)
    module.eval()
    return float(best)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            f"The loss of fine-tuning is {loss.item()} at step {step}: lower the learning rate in params `finetune`."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _batches(places: Rows, size: int, seed: int) -> Iterator[Rows]:
    """Batches without end, epoch after epoch in a new order; what does not fill a batch waits for the next epoch."""
    rng, waiting = np.random.default_rng(seed), places[:0]
    size = min(size, len(places))
    while True:
        waiting = np.concatenate([waiting, rng.permutation(places)])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
