"""How well a model does on the validation split: what a validation finds, and what any method needs to find it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from pipeline.training.data import Examples, prefetch
from pipeline.training.processes import over_processes


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        loss: the weighted total.
        terms: each term of the loss.
        auroc: per query [N] of each kind, NaN where positives or negatives are missing; the first kind chooses epochs.
    """

    loss: float
    terms: dict[str, float]
    auroc: dict[str, Tensor]

    def macro(self, kind: str) -> float:
        """Mean AUROC over the queries that have both positives and negatives; NaN where none has."""
        return float(self.auroc[kind].nanmean())

    def aurocs(self) -> dict[str, float]:
        """The macro means by name, as in the curves; an undefined one is left out."""
        means = {kind: self.macro(kind) for kind in self.auroc}
        return {f"validation_auroc_{kind}": value for kind, value in means.items() if not math.isnan(value)}


def auroc(scores: Tensor, positive: Tensor, labelled: Tensor) -> Tensor:
    """Area under the ROC curve per column, ties counting half: the normalised Mann-Whitney statistic.

    Args:
        scores: [n, N].
        positive: bool [n, N].
        labelled: bool [n, N], the entries that count.

    Returns:
        [N] in 0..1, NaN where a column has no positives or no negatives, or a labelled score is NaN.
    """
    unordered = (scores.isnan() & labelled).any(0)
    scores = scores.masked_fill(~labelled, torch.inf).T.contiguous()  # [N, n]; the others rank above all that count
    ordered = scores.sort(dim=1).values
    below = torch.searchsorted(ordered, scores)
    rank = (below + torch.searchsorted(ordered, scores, right=True) + 1) / 2  # mean rank of ties, from 1
    positives, negatives = (positive & labelled).T, (~positive & labelled).T
    n_positive, n_negative = positives.sum(1), negatives.sum(1)
    above = (rank.double() * positives).sum(1) - n_positive * (n_positive + 1) / 2
    return (above / (n_positive * n_negative)).masked_fill(unordered, torch.nan)  # 0 / 0 is NaN


def by_name(names: Sequence[str], values: Tensor) -> dict[str, float | None]:
    """The AUROC of each query, None where it is not defined."""
    return {name: None if math.isnan(value) else value for name, value in zip(names, values.tolist(), strict=True)}


def term_means(sums: Tensor, counts: Tensor, fabric: Fabric) -> Tensor:
    """Each term's mean over all processes' entries, from every process's sums and numbers of them; on the CPU."""
    total, number = over_processes(fabric, torch.stack([sums, counts]), "sum")
    means: Tensor = total / number.clamp(min=1)
    return means.cpu()


def shares(examples: Examples, batch: int, fabric: Fabric) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's images and labels on the device: every so-manieth example."""
    own = np.arange(fabric.global_rank, len(examples), fabric.world_size)
    parts = (own[start : start + batch] for start in range(0, len(own), batch))
    for images, existence in prefetch(map(examples.gather, parts)):
        yield images.to(fabric.device), existence.to(fabric.device)


def gathered(shares: list[Tensor], number: int, fabric: Fabric) -> Tensor:
    """All processes' rows in the order of the examples [number, ...]."""
    own = torch.cat(shares)
    missing = -(-number // fabric.world_size) - len(own)  # processes may differ by one row
    own = torch.cat([own, own[:missing]])
    everything = fabric.all_gather(own)
    assert isinstance(everything, Tensor)
    return everything.view(fabric.world_size, *own.shape).transpose(0, 1).flatten(0, 1)[:number]
