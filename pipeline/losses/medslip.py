"""The losses of MeDSLIP, equations (2) to (7): pure functions of tensors, without state and without randomness.

Randomness comes in as a tensor of uniform draws. A loss without anything to learn from is 0 and keeps its graph.
`count` replaces the batch's own number of terms in a mean: with several processes or accumulated batches it is their
mean number, so that averaged gradients equal those of one large batch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.networks.medslip import MeDSLIPOutput

PRESENT, ABSENT, UNCERTAIN, UNMENTIONED = 1, 0, 2, -1  # values of the existence matrix
TERMS = ("existence_pathology", "existence_anatomy", "proto_pathology", "proto_anatomy", "icl")


@dataclass(frozen=True)
class LossConfig:
    """What is learned from a batch; the defaults are the paper's.

    Attributes:
        protocl: contrast with the mean of an image's positives; without, with one positive drawn at random.
        proto_weight: lambda_1, at least 0.
        proto_similarity: "dot" as in the released code, or "cosine".
        negatives: K, how many negatives are drawn, at least 1.
        icl_weight: lambda_2, at least 0; counts where the model has intra-image logits.
        unmentioned: what an entry means that no report sentence mentions.
        uncertain: what an entry means that the report is not sure of.
    """

    protocl: bool = True
    proto_weight: float = 1.0
    proto_similarity: Literal["dot", "cosine"] = "dot"
    negatives: int = 7
    icl_weight: float = 1.0
    unmentioned: Literal["negative", "ignore"] = "negative"
    uncertain: Literal["ignore", "positive", "negative"] = "ignore"


def pool_labels(existence: Tensor, dim: int) -> Tensor:
    """Pool existence values over one axis: present if any is, else uncertain if any is, absent if only ever denied.

    Args:
        existence: values -1, 0, 1 or 2 of any shape.
        dim: the axis that disappears; of [B, N_a, N_p], 1 gives the pathologies' labels and 2 the anatomies'.
    """
    pooled = torch.where((existence == ABSENT).any(dim), ABSENT, UNMENTIONED)
    pooled = torch.where((existence == UNCERTAIN).any(dim), UNCERTAIN, pooled)
    return torch.where((existence == PRESENT).any(dim), PRESENT, pooled)


@dataclass(frozen=True)
class Targets:
    """What a batch of existence matrices says to the losses; all bool. Positive entries are always labelled.

    Attributes:
        positive: pairs that exist [B, N_a, N_p].
        labelled: pairs that count [B, N_a, N_p].
        negative: pairs that may be drawn as negatives of the prototypical loss [B, N_a, N_p].
        pathology: positive and labelled pathologies [B, N_p] each.
        anatomy: positive and labelled anatomies [B, N_a] each.
    """

    positive: Tensor
    labelled: Tensor
    negative: Tensor
    pathology: tuple[Tensor, Tensor]
    anatomy: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, existence: Tensor, config: LossConfig) -> "Targets":
        """Apply the label policies to existence matrices, int8 [B, N_a, N_p]."""
        positive, labelled = _judge(existence, config)
        unsure = (existence == UNCERTAIN) & (config.uncertain == "ignore")
        pathology, anatomy = (_judge(pool_labels(existence, dim), config) for dim in (1, 2))
        return cls(positive, labelled, ~(positive | unsure), pathology, anatomy)

    def counts(self) -> Tensor:
        """How many entries each term averages over, in the order of TERMS: float32 [5]."""
        existing = (self.positive.any(1), self.positive.any(2))
        counted = (self.pathology[1], self.anatomy[1], *existing, self.labelled)
        return torch.stack([entries.sum() for entries in counted]).float()


def existence_loss(logits: Tensor, positive: Tensor, labelled: Tensor, count: Tensor | None = None) -> Tensor:
    """Binary cross-entropy averaged over the labelled entries: equations (2) and (6).

    With logits that are differences of two class scores it is the softmax cross-entropy of those scores.

    Args:
        logits: of any shape.
        positive: bool, same shape.
        labelled: bool, same shape; the others do not count.
        count: the number to divide by, instead of that of labelled entries.
    """
    each = F.binary_cross_entropy_with_logits(logits.float(), positive.float(), reduction="none")
    return _mean(each, labelled, count)


icl_loss = existence_loss  # equation (6) on logits [B, N_a, N_p] of equation (5)


def proto_loss(
    aligned: Tensor,
    texts: Tensor,
    positive: Tensor,
    negative: Tensor,
    draws: Tensor,
    scale: Tensor,
    config: LossConfig,
    count: Tensor | None = None,
) -> Tensor:
    """Prototypical contrastive loss of one stream, averaged over its existing queries: equations (3) and (4).

    Args:
        aligned: v, the stream's outputs in the text space [B, N, h].
        texts: t, the other stream's prompt vectors [M, h].
        positive: bool [B, N, M], which of the other stream's queries are present with each query.
        negative: bool [B, N, M], which may be drawn as negatives; never a positive one.
        draws: uniform in [0, 1) [B, N, M]; the negatives with the largest are taken, and the random positive likewise.
        scale: 1 / tau, a scalar.
        config: similarity, number of negatives, and whether the positive is the prototype or one drawn at random.
        count: the number to divide by, instead of that of existing queries.
    """
    aligned, texts = aligned.float(), texts.float()
    weights = positive.float() if config.protocl else _largest(draws, positive, 1).float()
    exists = positive.any(-1)  # [B, N]
    prototypes = weights @ texts / weights.sum(-1, keepdim=True).clamp(min=1)  # c, [B, N, h]
    if config.proto_similarity == "cosine":
        aligned, texts, prototypes = (F.normalize(x, dim=-1) for x in (aligned, texts, prototypes))
    towards = scale * (aligned * prototypes).sum(-1, keepdim=True)  # [B, N, 1]
    away = scale * aligned @ texts.T  # [B, N, M]
    away = away.masked_fill(~_largest(draws, negative, config.negatives), -torch.inf)
    each = torch.cat([towards, away], dim=-1).logsumexp(-1) - towards.squeeze(-1)
    return _mean(each, exists, count)


def medslip_terms(
    output: MeDSLIPOutput,
    prompts: tuple[Tensor, Tensor],
    targets: Targets,
    draws: Tensor,
    config: LossConfig,
    counts: Tensor | None = None,
) -> Tensor:
    """Every term of the loss, unweighted, in the order of TERMS: float32 [5].

    Args:
        output: of the model.
        prompts: vectors of pathologies [N_p, h] and anatomies [N_a, h].
        targets: of the batch.
        draws: uniform in [0, 1) [B, N_a, N_p].
        config: the settings.
        counts: [5], what to divide each term by; by default `targets.counts()`.
    """
    n = (targets.counts() if counts is None else counts).unbind()
    pathology, anatomy, scale = output.pathology, output.anatomy, output.proto_scale
    pathology_texts, anatomy_texts = prompts
    by_anatomy = (targets.positive, targets.negative, draws)
    by_pathology = (targets.positive.mT, targets.negative.mT, draws.mT)
    terms = [
        existence_loss(pathology.logits, *targets.pathology, n[0]),
        existence_loss(anatomy.logits, *targets.anatomy, n[1]),
        proto_loss(pathology.aligned, anatomy_texts, *by_pathology, scale, config, n[2]),
        proto_loss(anatomy.aligned, pathology_texts, *by_anatomy, scale, config, n[3]),
    ]
    logits = output.icl_logits
    nothing = torch.zeros_like(terms[0])
    terms.append(nothing if logits is None else icl_loss(logits, targets.positive, targets.labelled, n[4]))
    return torch.stack(terms)


def term_weights(config: LossConfig) -> Tensor:
    """Equation (7) is `terms @ term_weights(config)`: float32 [5]; existence and prototypes sum over the streams."""
    return torch.tensor([1.0, 1.0, config.proto_weight, config.proto_weight, config.icl_weight])


def _judge(labels: Tensor, config: LossConfig) -> tuple[Tensor, Tensor]:
    """What the label policies make of existence values: which are positive and which are labelled."""
    positive, labelled = labels == PRESENT, labels != UNCERTAIN
    if config.uncertain == "positive":
        positive = positive | (labels == UNCERTAIN)
    if config.uncertain != "ignore":
        labelled = torch.ones_like(labelled)
    if config.unmentioned == "ignore":
        labelled = labelled & (labels != UNMENTIONED)
    return positive, labelled


def _largest(draws: Tensor, among: Tensor, k: int) -> Tensor:
    """Bool, the k entries of each row of `among` that drew the largest numbers, or all of them where they are fewer."""
    taken = draws.masked_fill(~among, -1.0).topk(min(k, draws.shape[-1]), dim=-1).indices
    return torch.zeros_like(among).scatter(-1, taken, True) & among


def _mean(each: Tensor, counted: Tensor, count: Tensor | None) -> Tensor:
    total = torch.where(counted, each, 0.0).sum()
    number = counted.sum() if count is None else count
    return total / torch.where(number > 0, number, 1)
