"""How well a model does on the validation split: loss terms and AUROC per query, without augmentation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from pipeline.losses import TERMS, LossConfig, Targets, medslip_terms, term_weights
from pipeline.networks.medslip import MeDSLIP
from pipeline.training.augmentation import plain
from pipeline.training.data import Examples, prefetch
from pipeline.training.processes import over_processes


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        loss: the weighted total.
        terms: each term of losses.TERMS.
        pathology_auroc: per pathology query [N_p], NaN where positives or negatives are missing.
        anatomy_auroc: per anatomy query [N_a].
    """

    loss: float
    terms: dict[str, float]
    pathology_auroc: Tensor
    anatomy_auroc: Tensor

    @property
    def pathology_macro(self) -> float:
        """Mean AUROC over the pathologies that have both positives and negatives; NaN where none has."""
        return float(self.pathology_auroc.nanmean())

    @property
    def anatomy_macro(self) -> float:
        """Mean AUROC over the anatomies that have both."""
        return float(self.anatomy_auroc.nanmean())

    def aurocs(self) -> dict[str, float]:
        """The macro means by name, as in the curves; an undefined one is left out."""
        means = {"pathology": self.pathology_macro, "anatomy": self.anatomy_macro}
        return {f"validation_auroc_{name}": value for name, value in means.items() if not math.isnan(value)}


@torch.no_grad()
def validate(
    model: MeDSLIP,
    examples: Examples,
    prompts: tuple[Tensor, Tensor],
    config: LossConfig,
    batch: int,
    seed: int,
    fabric: Fabric,
) -> Validation:
    """Score a model on all examples, each process taking a share.

    Args:
        model: set to evaluation and back to training; as fabric set it up, so that its precision applies.
        examples: of the validation split, at least one.
        prompts: pathology and anatomy vectors on the device.
        config: of the losses.
        batch: images at a time.
        seed: of the drawn negatives, so that losses of different epochs compare.
        fabric: the processes.
    """
    model.eval()
    sums, counts, one = torch.zeros(3, len(TERMS), device=fabric.device)
    one += 1
    logits, labels = [], []
    draws = _draws(prompts, seed)  # the same for every image, so that they depend on neither batch nor process
    for images, existence in _shares(examples, batch, fabric):
        output = model(plain(images), *prompts)
        targets = Targets.of(existence, config)
        sums += medslip_terms(output, prompts, targets, draws.expand_as(existence), config, one)
        counts += targets.counts()
        logits.append(torch.cat([output.pathology.logits, output.anatomy.logits], dim=1).float())
        both = zip(targets.pathology, targets.anatomy, strict=True)  # positive ones, labelled ones
        labels.append(torch.stack([torch.cat(streams, dim=1) for streams in both], dim=-1).to(torch.uint8))
    model.train()
    terms = over_processes(fabric, torch.stack([sums, counts]), "sum")
    terms = terms[0] / terms[1].clamp(min=1)
    positive, labelled = _gathered(labels, len(examples), fabric).bool().unbind(-1)
    aurocs = auroc(_gathered(logits, len(examples), fabric), positive, labelled)
    named = dict(zip(TERMS, terms.tolist(), strict=True))
    split = len(prompts[0])
    return Validation(float(terms.cpu() @ term_weights(config)), named, aurocs[:split].cpu(), aurocs[split:].cpu())


def auroc(scores: Tensor, positive: Tensor, labelled: Tensor) -> Tensor:
    """Area under the ROC curve per column, ties counting half: the normalised Mann-Whitney statistic.

    Args:
        scores: [n, N].
        positive: bool [n, N].
        labelled: bool [n, N], the entries that count.

    Returns:
        [N] in 0..1, NaN where a column has no positives or no negatives.
    """
    scores = scores.masked_fill(~labelled, torch.inf).T.contiguous()  # [N, n]; the others rank above all that count
    ordered = scores.sort(dim=1).values
    below = torch.searchsorted(ordered, scores)
    rank = (below + torch.searchsorted(ordered, scores, right=True) + 1) / 2  # mean rank of ties, from 1
    positives, negatives = (positive & labelled).T, (~positive & labelled).T
    n_positive, n_negative = positives.sum(1), negatives.sum(1)
    above = (rank.double() * positives).sum(1) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)  # 0 / 0 is NaN


def by_name(names: Sequence[str], values: Tensor) -> dict[str, float | None]:
    """The AUROC of each query, None where it is not defined."""
    return {name: None if math.isnan(value) else value for name, value in zip(names, values.tolist(), strict=True)}


def _draws(prompts: tuple[Tensor, Tensor], seed: int) -> Tensor:
    """Uniform draws [N_a, N_p]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(prompts[1]), len(prompts[0]), generator=generator).to(prompts[0].device)


def _shares(examples: Examples, batch: int, fabric: Fabric) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's images and labels on the device: every so-manieth example."""
    own = np.arange(fabric.global_rank, len(examples), fabric.world_size)
    parts = (own[start : start + batch] for start in range(0, len(own), batch))
    for images, existence in prefetch(map(examples.gather, parts)):
        yield images.to(fabric.device), existence.to(fabric.device)


def _gathered(shares: list[Tensor], number: int, fabric: Fabric) -> Tensor:
    """All processes' rows in the order of the examples [number, ...]."""
    own = torch.cat(shares)
    missing = -(-number // fabric.world_size) - len(own)  # processes may differ by one row
    own = torch.cat([own, own[:missing]])
    everything = fabric.all_gather(own)
    assert isinstance(everything, Tensor)
    return everything.view(fabric.world_size, *own.shape).transpose(0, 1).flatten(0, 1)[:number]
