"""The models that fine-tuned classification trains: linear heads on frozen features, and an encoder with its head.

Both give the probability of each finding for every image, and see test images only to score them.
"""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.evaluation.encoders import BATCH, as_rows
from pipeline.evaluation.fitting import FitConfig, fit
from pipeline.evaluation.scorer import ImageSource, batches
from pipeline.evaluation.subsets import LabelledImages, Rows
from pipeline.networks.backbone import PatchEncoder
from pipeline.training.augmentation import DRAWS, AugmentConfig, augment, plain

# Candidates for C, the inverse strength of the L2 penalty, the strongest first.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
ITERATIONS = 80  # probabilities are then right to about four digits


def best_linear_head(features: Tensor, labels: NDArray[np.int8], train: Rows, validation: Rows) -> NDArray[np.float32]:
    """Logistic regression on frozen features, its penalty chosen by the macro AUROC of the validation images.

    Args:
        features: [n, d] of all images; standardised here by the training images.
        labels: [n, C]: 1, 0, or -1 for none.
        train: places of the training images.
        validation: places of the validation images.

    Returns:
        Probabilities of all images, [n, C].
    """
    own = features[as_rows(train).to(features.device)].double()
    centre, scale = own.mean(0), own.std(0, correction=0) + 1e-6
    heads = fit_linear_heads((own - centre) / scale, torch.from_numpy(labels[train]), STRENGTHS)
    logits = (features.double() - centre) / scale @ heads.weights + heads.biases  # [G, n, C]
    probabilities = torch.sigmoid(logits).float().cpu().numpy()
    worth = [macro_auroc(labels[validation], candidate[validation]) for candidate in probabilities]
    # of equals the strongest penalty, whatever rounding says
    best: NDArray[np.float32] = probabilities[int(np.argmax(np.round(worth, 9)))]
    return best


class LinearHeads(NamedTuple):
    """Linear heads for G strengths and C findings."""

    weights: Tensor  # [G, d, C]
    biases: Tensor  # [G, 1, C]


def fit_linear_heads(features: Tensor, labels: Tensor, strengths: Sequence[float]) -> LinearHeads:
    """L2-penalised logistic regression of every finding at every strength, as one convex problem.

    Each minimises the sum of its log losses + |w|^2 / (2 C), as scikit-learn's LogisticRegression does. L-BFGS sees the
    weights along the features' principal axes, scaled so that the curvature is about 1 in every direction; without
    that it needs many times the steps.

    Args:
        features: float64 [n, d], standardised.
        labels: [n, C]: 1, 0, or -1 for none; a finding without both kinds of label keeps a head of zeros.
        strengths: G values of C.
    """
    labels = labels.to(features)
    known = (labels >= 0) & (labels == 1).any(0) & (labels == 0).any(0)
    targets = labels.clamp(min=0).expand(len(strengths), -1, -1)  # [G, n, C]
    _, spread, axes = torch.linalg.svd(features, full_matrices=False)  # [r] and [r, d]
    penalties = 1 / features.new_tensor(strengths)[:, None, None]  # [G, 1, 1]
    steps = (spread.square()[:, None] / 4 + penalties).rsqrt()  # [G, r, 1]: 1/4 is the largest curvature of a log loss
    along, bias_step = features @ axes.T, 2 / len(features) ** 0.5  # [n, r]
    along_axes = (len(strengths), len(axes), labels.shape[1])  # shape of the weights; those of the biases follow
    cut, size = math.prod(along_axes), len(strengths) * (len(axes) + 1) * labels.shape[1]

    def unpacked(flat: Tensor) -> tuple[Tensor, Tensor]:
        biases = flat[cut:].view(len(strengths), 1, -1)
        return flat[:cut].view(along_axes) * steps, biases * bias_step  # [G, r, C] along the axes and [G, 1, C]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The sum over strengths and findings, and its gradient."""
        weights, biases = unpacked(torch.from_numpy(values).to(features))
        logits = along @ weights + biases  # [G, n, C]
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * known
        residuals = (torch.sigmoid(logits) - targets) * known
        by_weights = (along.T @ residuals + penalties * weights) * steps
        by_biases = residuals.sum(1) * bias_step
        total = losses.sum() + (penalties * weights.square()).sum() / 2
        return float(total), torch.cat([by_weights.flatten(), by_biases.flatten()]).cpu().numpy()

    options = {"maxiter": ITERATIONS, "maxcor": 20, "gtol": 1e-4, "ftol": 0.0}
    found = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options=options)
    weights, biases = unpacked(torch.from_numpy(found.x).to(features))
    return LinearHeads(axes.T @ weights, biases)


def macro_auroc(labels: NDArray[np.int8], scores: NDArray[np.float32]) -> float:
    """Mean AUROC over the findings [n, C] with both kinds of label, of which there is one at least; by midranks.

    It is as `metrics.auroc`, but many times as fast: every candidate of every run is judged by it.
    """
    values = []
    for truth, own in zip(labels.T, scores.T, strict=True):
        positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
        if positives and negatives:
            ranks = rankdata(own[truth >= 0])[truth[truth >= 0] == 1]
            values.append((ranks.sum() - positives * (positives + 1) / 2) / (positives * negatives))
    return float(np.mean(values))


class Classifier(nn.Module):
    """An encoder, pooling over its patches, and a linear head."""

    def __init__(self, encoder: PatchEncoder, findings: int) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.head = nn.Linear(encoder.architecture[2][-1], findings)

    def forward(self, images: Tensor) -> Tensor:
        """Grey images in 0..1 [B, 1, S, S] to logits [B, C]."""
        logits: Tensor = self.head(self.encoder(images).mean(dim=(2, 3)))
        return logits


def tune_encoder(
    encoder: PatchEncoder,
    source: ImageSource,
    labelled: LabelledImages,
    train: Rows,
    validation: Rows,
    config: FitConfig,
    variation: AugmentConfig,
    seed: int,
) -> NDArray[np.float32]:
    """Train a copy of an encoder with a fresh head; the best step by the macro AUROC of the validation images counts.

    Returns:
        Probabilities of all images, [n, C].

    Raises:
        TrainingError: the loss is not finite.
    """
    device = next(encoder.parameters()).device
    rows, labels = labelled.images["row"].to_numpy(), torch.from_numpy(labelled.labels)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = Classifier(encoder, len(labelled.findings)).to(device).requires_grad_(True)
    draws = torch.Generator().manual_seed(seed)

    def loss(batch: Rows) -> Tensor:
        uniform = torch.rand(len(batch), DRAWS, generator=draws).to(device)
        images, truth = source.gather(rows[batch]).to(device), labels[as_rows(batch)].to(device)
        truth, logits = truth.float(), model(augment(images, uniform, variation))
        return F.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), weight=(truth >= 0).float())

    def predict(places: Rows) -> NDArray[np.float32]:
        parts = [model(plain(images.to(device))).cpu() for images in batches(source, rows[places], BATCH)]
        return torch.sigmoid(torch.cat(parts)).numpy()

    fit(model, loss, train, lambda: macro_auroc(labelled.labels[validation], predict(validation)), config, seed)
    with torch.no_grad():
        return predict(np.arange(len(rows)))
