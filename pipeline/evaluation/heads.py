"""The models that fine-tuned classification trains: linear heads on frozen features, and an encoder with its head.

Both give the probability of each finding for every image, and see test images only to score them.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.evaluation.encoders import BATCH, as_rows
from pipeline.evaluation.fitting import FitConfig, fit
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.scorer import ImageSource, batches
from pipeline.evaluation.subsets import LabelledImages, Rows
from pipeline.networks.backbone import PatchEncoder
from pipeline.training.augmentation import DRAWS, AugmentConfig, Mirror, augment, plain

# Candidates for C, the inverse strength of the L2 penalty, the strongest first.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
ITERATIONS = 500
UNSIDED = Mirror((0,), ())  # one row of labels, which a mirrored image keeps


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
    scaled = (features.double() - own.mean(0)) / (own.std(0, correction=0) + 1e-6)
    heads = fit_linear_heads(scaled[as_rows(train).to(features.device)], torch.from_numpy(labels[train]), STRENGTHS)
    probabilities = torch.sigmoid(scaled @ heads.weights + heads.biases).float().cpu().numpy()  # [G, n, C]
    worth = [macro_auroc(labels[validation], candidate[validation]) for candidate in probabilities]
    # of equals the strongest penalty, whatever rounding says
    best: NDArray[np.float32] = probabilities[int(np.argmax(np.round(worth, 9)))]
    return best


class Heads(nn.Module):
    """Linear heads for G strengths and C findings: weights [G, d, C] and biases [G, 1, C]."""

    def __init__(self, strengths: int, features: int, findings: int, like: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(like.new_zeros(strengths, features, findings))
        self.biases = nn.Parameter(like.new_zeros(strengths, 1, findings))


def fit_linear_heads(features: Tensor, labels: Tensor, strengths: tuple[float, ...]) -> Heads:
    """L2-penalised logistic regression of every finding at every strength, as one convex problem.

    Each minimises sum of the log losses + |w|^2 / (2 C), as scikit-learn's LogisticRegression does; the bias is free.

    Args:
        features: float64 [n, d], standardised.
        labels: [n, C]: 1, 0, or -1 for none; a finding without both kinds of label keeps a head of zeros.
        strengths: G values of C.
    """
    labels = labels.to(features)
    known = labels >= 0
    known &= ((labels == 1).any(0)) & ((labels == 0).any(0))
    heads = Heads(len(strengths), features.shape[1], labels.shape[1], features)
    inverse = 1 / (2 * features.new_tensor(strengths).view(-1, 1, 1))
    targets = labels.clamp(min=0).expand(len(strengths), -1, -1)
    solver = torch.optim.LBFGS(
        heads.parameters(), max_iter=ITERATIONS, tolerance_grad=1e-7, tolerance_change=1e-12, history_size=20,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        solver.zero_grad()
        logits = features @ heads.weights + heads.biases  # [G, n, C]
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * known
        total = losses.sum() + (inverse * heads.weights.square()).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(closure)  # type: ignore[no-untyped-call]
    return heads.requires_grad_(False)


def macro_auroc(labels: NDArray[np.int8], scores: NDArray[np.float32]) -> float:
    """Mean AUROC over the findings [n, C] with both kinds of label; at least one has them."""
    values = []
    for truth, own in zip(labels.T, scores.T, strict=True):
        known = truth >= 0
        if (truth == 1).any() and (truth == 0).any():
            values.append(auroc(truth[known], own[known]))
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
        images, sides = augment(images, truth[:, None], uniform, variation, UNSIDED)  # truth as one row [B, 1, C]
        truth, logits = sides[:, 0].float(), model(images)
        return F.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), weight=(truth >= 0).float())

    def predict(places: Rows) -> NDArray[np.float32]:
        parts = [model(plain(images.to(device))).cpu() for images in batches(source, rows[places], BATCH)]
        return torch.sigmoid(torch.cat(parts)).numpy()

    fit(model, loss, train, lambda: macro_auroc(labelled.labels[validation], predict(validation)), config, seed)
    with torch.no_grad():
        return predict(np.arange(len(rows)))
