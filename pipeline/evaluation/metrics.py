"""The figures of merit for one finding: AUROC, average precision, F1, accuracy, thresholds and calibration.

Every function takes labels [n] in {0, 1} and scores [n], and refuses what it cannot score. What is computed
over many findings or resamples is not here (`classification`, `statistics`).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from pipeline.errors import EvaluationError

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]

RELIABILITY_BINS = 10


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Labels, Scores]:
    """Labels [n] as booleans and scores [n] as float64.

    Raises:
        EvaluationError: the lengths differ, there is nothing to score, a label is not 0 or 1, or a score is not finite.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1 or not truth.size:
        raise EvaluationError(
            f"{truth.shape} labels do not match {values.shape} scores: give one score per image, at least one."
        )
    if not np.isin(truth, (0, 1)).all():
        raise EvaluationError("A label is neither 0 nor 1: leave images without a label out of the labels table.")
    if not np.isfinite(values).all():
        raise EvaluationError(
            f"{np.sum(~np.isfinite(values))} of {values.size} scores are not finite: the model diverged; train it anew."
        )
    return truth.astype(np.bool_), values


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve in [0, 1]: the chance that a positive outscores a negative, ties counting half.

    Raises:
        EvaluationError: there is no positive or no negative, or a score is not finite.
    """
    truth, values = _with_both_classes(labels, scores)
    return float(roc_auc_score(truth, values))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall steps in [0, 1]; a scorer that knows nothing gets the prevalence.

    Raises:
        EvaluationError: there is no positive or no negative, or a score is not finite.
    """
    truth, values = _with_both_classes(labels, scores)
    return float(average_precision_score(truth, values))


@dataclass(frozen=True)
class Decision:
    """What calling every score at or above a threshold positive gives."""

    f1: float  # 2 TP / (2 TP + FP + FN); 0 where nothing is called and nothing is there
    accuracy: float  # (TP + TN) / n


def decide(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Decision:
    """F1 and accuracy when a score >= threshold is called positive.

    Raises:
        EvaluationError: a label or score is unusable, or the threshold is not a number.
    """
    truth, values = checked(labels, scores)
    if np.isnan(threshold):
        raise EvaluationError("The threshold is not a number: choose it on images with at least one positive.")
    called = values >= threshold
    hits, errors = np.sum(called & truth), np.sum(called != truth)
    return Decision(float(2 * hits / max(2 * hits + errors, 1)), float(np.mean(called == truth)))


def best_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The score that, used as threshold (score >= threshold), maximises F1; of equals, the lowest.

    On validation images it is the honest threshold; on test images the `_oracle` one of the papers.

    Raises:
        EvaluationError: there is no positive, or a score is not finite.
    """
    truth, values = checked(labels, scores)
    if not truth.any():
        raise EvaluationError("No positive image to choose a threshold on: F1 is 0 at any.")
    precision, recall, thresholds = precision_recall_curve(truth, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    # equal F1 may differ in its last bits: the rounding makes the choice among equals independent of them
    return float(thresholds[np.argmax(np.round(f1[:-1], 12))])


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose score falls into [low, high); the last bin includes 1."""

    low: float
    high: float
    count: int
    confidence: float  # mean score
    frequency: float  # share of positives


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = RELIABILITY_BINS) -> list[ReliabilityBin]:
    """The reliability diagram: how often what is scored p is present, over equal-width bins; empty bins are left out.

    Raises:
        EvaluationError: a label is unusable, or a score is outside [0, 1].
    """
    truth, values = checked(labels, probabilities)
    if values.min() < 0 or values.max() > 1:
        raise EvaluationError(
            f"Scores run from {values.min():g} to {values.max():g}: calibration needs probabilities in [0, 1]."
        )
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)  # [n]
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, values, bins), np.bincount(place, truth, bins)
    return [
        ReliabilityBin(float(edges[i]), float(edges[i + 1]), int(counts[i]), *(float(s[i] / counts[i]) for s in sums))
        for i in np.flatnonzero(counts)
    ]


def calibration_error(bins: list[ReliabilityBin]) -> float:
    """Expected calibration error: |confidence - frequency| averaged over the bins, weighted by their counts."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.frequency) for one in bins) / total


def as_rows(bins: list[ReliabilityBin]) -> list[dict[str, Any]]:
    """The bins as plain values for JSON."""
    return [asdict(one) for one in bins]


def _with_both_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[Labels, Scores]:
    truth, values = checked(labels, scores)
    if truth.all() or not truth.any():
        lacking = "negative" if truth.all() else "positive"
        raise EvaluationError(f"None of {truth.size} images is {lacking}: AUROC and average precision need both kinds.")
    return truth, values
