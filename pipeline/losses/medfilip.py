"""The loss of MedFILIP, equations (4), (5) and (9): the semantic similarity matrix, and images matched with texts.

A batch of N images has M structured labels in all. A prediction P and a target A are N x M; `counted` says which pairs
enter. `counts` replace the batch's own numbers in means: with several processes or accumulated batches they are the
mean numbers, so that averaged gradients equal those of one large batch.

Equation (9) adds MSE(P, A) and CE(P, A) and leaves open what P is to each. Here MSE compares A, which is a cosine cut
to 0..1, with the cosine of image and text, the "similarity" of equation (8). CE takes the scaled logits: each image's
softmax over the texts against its row of A divided by its sum. That is one direction, image to text; images without a
label of their own have no such row and do not count. The released code's BCE takes the scaled logits too, pair by pair.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.networks.medfilip import MedFILIPOutput

TERMS = ("itm_mse", "itm_ce")  # the second is "itm_ce" for BCE too: the part that is a cross-entropy
NOTHING = -1  # in place of a label's index


@dataclass(frozen=True)
class ITMConfig:
    """What is learned from a batch; the defaults are the paper's.

    Attributes:
        itm: "ce", softmax cross-entropy over soft targets as in the paper, or "bce" as in the released code.
        mse_weight: of the mean squared error, at least 0.
        ssm: targets are the semantic similarity matrix; without, 1 where an image has the label, else 0.
        ssm_same_category: labels of different categories are not similar at all, as in the released code.
        plain: how often a label is trained as its category alone, without severity and location, 0 to 1: prompts
            usually name categories alone.
        texts: how many of a batch's distinct labels are matched at most, drawn anew for every step; 0 matches all.
        every_category: each category alone is matched too in every step, as the label of the images that show it.
        unmentioned: whether a category that a report does not mention counts as absent, or not at all.
        uncertain: whether a finding that a report is not sure of counts not at all, as present, or as absent.
    """

    itm: Literal["ce", "bce"] = "ce"
    mse_weight: float = 1.0
    ssm: bool = True
    ssm_same_category: bool = False
    plain: float = 0.0
    texts: int = 0
    every_category: bool = False
    unmentioned: Literal["negative", "ignore"] = "negative"
    uncertain: Literal["ignore", "positive", "negative"] = "ignore"


@dataclass(frozen=True)
class Pairs:
    """N images against M structured labels.

    Attributes:
        target: A, in 0..1 [N, M].
        counted: bool [N, M].
    """

    target: Tensor
    counted: Tensor

    def rows(self) -> Tensor:
        """Images whose target is a distribution, bool [N]."""
        return (self.target * self.counted).sum(1) > 0


def similarity_matrix(
    owned: Tensor, labels: Tensor, vectors: Tensor, categories: Tensor, same_category: bool
) -> Tensor:
    """The semantic similarity matrix, equations (4) and (5): the best cosine of an image's labels with each label.

    The maximum runs over padded rows of labels instead of segments: on a device the shapes stay the same.

    Args:
        owned: indices of each image's labels, padded with NOTHING [N, K].
        labels: indices of the batch's labels [M].
        vectors: of every label text, from the frozen text encoder, of length 1 [D, h].
        categories: of every label [D].
        same_category: labels of different categories have similarity 0.

    Returns:
        A in 0..1 [N, M]; an image without labels has zeros.
    """
    cosines = vectors[owned.clamp(min=0)] @ vectors[labels].T  # [N, K, M]
    usable = (owned != NOTHING).unsqueeze(-1)
    if same_category:
        usable = usable & _same(owned, labels, categories)
    return torch.where(usable, cosines, 0.0).amax(1).clamp(0, 1)


def ownership_matrix(owned: Tensor, labels: Tensor) -> Tensor:
    """A without semantic similarity: 1 where an image has the label itself, else 0 [N, M]."""
    return (owned.unsqueeze(-1) == labels).any(1).float()


def counted_pairs(
    owned: Tensor, unsure: Tensor, denied: Tensor, labels: Tensor, categories: Tensor, config: ITMConfig
) -> Tensor:
    """Which pairs say something, bool [N, M].

    Args:
        owned: labels of the findings that count as present, padded with NOTHING [N, K].
        unsure: labels of the uncertain findings [N, K'].
        denied: labels of the absent findings [N, K''].
        labels: the batch's labels, padded with NOTHING [M].
        categories: of every label [D].
        config: the policies.
    """
    present, doubted, absent = (_same(each, labels, categories).any(1) for each in (owned, unsure, denied))
    counted = (labels != NOTHING).expand(len(owned), -1)
    if config.uncertain == "ignore":
        counted = counted & (present | ~doubted)
    if config.unmentioned == "ignore":
        counted = counted & (present | doubted | absent)
    return counted


def term_counts(pairs: Pairs, config: ITMConfig) -> Tensor:
    """How many entries each term averages over, in the order of TERMS: pairs, or images with a label; float32 [2]."""
    number = pairs.counted.sum()
    return torch.stack([number, pairs.rows().sum() if config.itm == "ce" else number]).float()


def itm_terms(output: MedFILIPOutput, pairs: Pairs, config: ITMConfig, counts: Tensor | None = None) -> Tensor:
    """Equation (9) term by term, unweighted, in the order of TERMS: float32 [2].

    Args:
        output: of the model for the same N images and M labels.
        pairs: their targets.
        config: the settings.
        counts: [2], what to divide by; by default `term_counts`.
    """
    target, counted = pairs.target, pairs.counted
    squared = torch.where(counted, (output.cosines.float() - target).square(), 0.0)
    logits = output.logits.float()
    if config.itm == "bce":
        entropy = torch.where(counted, F.binary_cross_entropy_with_logits(logits, target, reduction="none"), 0.0)
    else:
        entropy = _soft_cross_entropy(logits, pairs)
    numbers = term_counts(pairs, config) if counts is None else counts
    return torch.stack([squared.sum(), entropy.sum()]) / numbers.clamp(min=1)


def term_weights(config: ITMConfig) -> Tensor:
    """Equation (9) is `terms @ term_weights(config)`: float32 [2]."""
    return torch.tensor([config.mse_weight, 1.0])


def _soft_cross_entropy(logits: Tensor, pairs: Pairs) -> Tensor:
    """Cross-entropy of each image's softmax over the counted texts with its row of A; 0 without such a row [N]."""
    target = pairs.target * pairs.counted
    target = target / target.sum(1, keepdim=True).clamp(min=torch.finfo(target.dtype).tiny)
    log_p = logits.masked_fill(~pairs.counted, torch.finfo(logits.dtype).min).log_softmax(1)
    return -torch.where(pairs.counted & (target > 0), target * log_p, 0.0).sum(1)


def _same(some: Tensor, labels: Tensor, categories: Tensor) -> Tensor:
    """Whether labels [N, K] and labels [M], both padded with NOTHING, have the same category: bool [N, K, M]."""
    equal = categories[some.clamp(min=0)].unsqueeze(-1) == categories[labels.clamp(min=0)]
    return equal & (some != NOTHING).unsqueeze(-1) & (labels != NOTHING)
