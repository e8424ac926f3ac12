"""How sure a figure is: bootstrap by patient, percentile intervals, DeLong's test, paired bootstrap, Holm's correction.

Patients are resampled, never images, because images of one patient are not independent. A resample is a row of
counts, how often each image is drawn, so that metrics are computed on counts without copying an image's score.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from pipeline.errors import EvaluationError
from pipeline.evaluation.metrics import checked

Counts = NDArray[np.int16]  # [R, n]
Values = NDArray[np.float64]  # [R]

RESAMPLES = 1000
LEVEL = 0.95
_CHUNK = 4_000_000  # counts handled at once: 32 MB as float64


def resample_patients(patients: ArrayLike, resamples: int, seed: int) -> Counts:
    """Draw as many patients as there are, with replacement, and count how often each image comes along.

    Args:
        patients: [n] the patient of each image.
        resamples: R.
        seed: of the draws; the same seed and patients give the same counts.

    Returns:
        [R, n] counts; all images of a patient have the same count.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if not names.size:
        raise EvaluationError("There is no image to resample: the benchmark's test split is empty.")
    draws = np.random.default_rng(seed).integers(0, names.size, (resamples, names.size))
    offsets = np.arange(resamples)[:, None] * names.size
    counts = np.bincount((draws + offsets).ravel(), minlength=resamples * names.size)
    drawn: Counts = counts.reshape(resamples, names.size).astype(np.int16)
    return drawn[:, owner]


def resampled_auroc(labels: ArrayLike, scores: ArrayLike, counts: Counts) -> Values:
    """AUROC in every resample, from one sorting of the scores.

    With w the counts, AUROC = sum over positives i of w_i (N_below(i) + N_at(i) / 2) / (W_pos W_neg), where N_below(i)
    and N_at(i) count the negatives scored below and level with i. The work is R (n + n_pos), after one sort.

    Args:
        labels: [n] in {0, 1}.
        scores: [n].
        counts: [R, n].

    Returns:
        [R] AUROC; NaN where a resample holds no positive or no negative.
    """
    truth, values = checked(labels, scores)
    negatives, positives = np.flatnonzero(~truth), np.flatnonzero(truth)
    negatives = negatives[np.argsort(values[negatives], kind="stable")]
    below = np.searchsorted(values[negatives], values[positives], side="left")  # [n_pos]
    level = np.searchsorted(values[negatives], values[positives], side="right")
    return np.concatenate([
        _auroc_of_counts(chunk[:, positives], chunk[:, negatives], below, level) for chunk in _chunks(counts)
    ])  # fmt: skip


def _auroc_of_counts(positives: Counts, negatives: Counts, below: NDArray[np.intp], level: NDArray[np.intp]) -> Values:
    weights = positives.astype(np.float64)  # [R, n_pos]
    passed = np.zeros((len(negatives), negatives.shape[1] + 1))
    np.cumsum(negatives, axis=1, out=passed[:, 1:])  # [R, n_neg + 1]: negatives drawn among the k lowest
    won = np.einsum("rp,rp->r", weights, passed[:, below] + passed[:, level]) / 2
    return _ratio(won, weights.sum(axis=1) * passed[:, -1])


def resampled_decision(labels: ArrayLike, scores: ArrayLike, threshold: float, counts: Counts) -> tuple[Values, Values]:
    """F1 [R] and accuracy [R] in every resample at one threshold, which is held fixed.

    F1 is 0 in a resample without a positive, called or real; NaN only where nothing is drawn.
    """
    truth, values = checked(labels, scores)
    called = values >= threshold
    parts = np.stack([called & truth, called != truth, np.ones_like(truth)], axis=1).astype(np.float64)  # [n, 3]
    hits, errors, total = np.concatenate([chunk.astype(np.float64) @ parts for chunk in _chunks(counts)]).T
    # where only true negatives are drawn, F1 is 0 / 1; where nothing is, both are 0 / 0
    return _ratio(2 * hits, np.where(total > 0, np.maximum(2 * hits + errors, 1), 0)), _ratio(total - errors, total)


def resampled_mean(values: ArrayLike, counts: Counts) -> Values:
    """Mean of values [n] in every resample: [R]; NaN where nothing is drawn."""
    weights = counts.astype(np.float64)
    return _ratio(weights @ np.asarray(values, np.float64), weights.sum(axis=1))


def macro(values: list[Values]) -> Values:
    """Mean over the findings in every resample: [R]; a finding that a resample cannot score is left out of it."""
    stacked = np.stack(values)  # [C, R]
    known = np.isfinite(stacked)
    return _ratio(np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0))


def known_mean(values: list[float | None]) -> float | None:
    """The mean of the values that are known; None when none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def percentile_interval(values: Values, level: float = LEVEL) -> list[float] | None:
    """The central percentile interval [low, high] of resampled values; None when no resample could be scored."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    return [float(bound) for bound in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same images: first minus second, its 95 % interval, and the two-sided p value."""

    difference: float
    low: float
    high: float
    p_value: float


def delong_test(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    units: ArrayLike | None = None,
    trials: ArrayLike | None = None,
) -> PairedTest:
    """DeLong's test of two correlated AUROCs, or of their means over trials such as training seeds.

    An image's placement is the share of the other class that it is ranked right of, by midranks (Sun and Xu, 2014).
    Differences of placements are summed within a unit and over the trials, so that the images of a patient, and a
    patient in several trials, do not count as independent (Obuchowski, 1997).

    Args:
        labels: [n] in {0, 1}.
        first: [n] scores of one model.
        second: [n] scores of the other, on the same images.
        units: [n] what is independent of each other, such as patients; the images themselves when None.
        trials: [n] the trial of each image and its scores; all are of one when None.

    Raises:
        EvaluationError: a trial has fewer than two positives or negatives, or a score is not finite.
    """
    truth, values = checked(labels, first)
    others = checked(labels, second)[1]
    unit = np.arange(truth.size) if units is None else np.unique(units, return_inverse=True)[1]
    trial = np.zeros(truth.size, np.intp) if trials is None else np.unique(trials, return_inverse=True)[1]
    differences, influence = np.empty(trial.max() + 1), np.empty(truth.size)
    for number in range(differences.size):
        own = trial == number
        differences[number], influence[own] = _influences(truth[own], values[own], others[own])
    shares = np.bincount(unit, influence) / differences.size
    return _normal_test(float(differences.mean()), float(np.sqrt(np.sum(shares**2))))


def _influences(truth: NDArray[np.bool_], first: Values, second: Values) -> tuple[float, Values]:
    """The difference of the AUROCs, and each image's share in it [n]: their squares sum to DeLong's variance."""
    if min(truth.sum(), (~truth).sum()) < 2:
        raise EvaluationError(
            f"DeLong's test needs two positives and two negatives: {truth.sum()} of {truth.size} are positive."
        )
    above, below = (
        one - other for one, other in zip(_placements(truth, first), _placements(truth, second), strict=True)
    )
    influence = np.empty(truth.size)
    for group, gains in ((truth, above), (~truth, below)):
        influence[group] = (gains - gains.mean()) / np.sqrt(gains.size * (gains.size - 1))
    return float(above.mean()), influence


def _placements(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Values, Values]:
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    ranks, positives, negatives = rankdata(scores), scores[truth], scores[~truth]
    above = (ranks[truth] - rankdata(positives)) / negatives.size
    below = 1 - (ranks[~truth] - rankdata(negatives)) / positives.size
    return above, below


def _normal_test(difference: float, deviation: float) -> PairedTest:
    # rounding leaves differences of about 1e-17 between equal models: those are no evidence
    if deviation < 1e-12:
        return PairedTest(difference, difference, difference, 1.0 if abs(difference) < 1e-12 else 0.0)
    reach = float(norm.ppf((1 + LEVEL) / 2)) * deviation
    return PairedTest(
        difference, difference - reach, difference + reach, float(2 * norm.sf(abs(difference) / deviation))
    )


def paired_bootstrap(difference: float, first: Values, second: Values) -> PairedTest:
    """Compare two models by any metric, computed for both on the same resamples.

    Args:
        difference: first minus second on the images themselves.
        first: [R] the metric of one model in each resample.
        second: [R] that of the other.

    Returns:
        The percentile interval of the differences and p = 2 min(share <= 0, share >= 0), each share counted with the
        images themselves as one more resample, so that p is never 0.

    Raises:
        EvaluationError: no resample could be scored for both.
    """
    differences = np.asarray(first) - np.asarray(second)
    known = differences[np.isfinite(differences)]
    bounds = percentile_interval(known)
    if bounds is None:
        raise EvaluationError("No resample could be scored for both models: the finding has too few positive patients.")
    shares = [(1 + np.sum(known <= 0)) / (1 + known.size), (1 + np.sum(known >= 0)) / (1 + known.size)]
    return PairedTest(difference, bounds[0], bounds[1], float(min(1.0, 2 * min(shares))))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction of p values [m] for their number, in their order; controls the family-wise error."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _ratio(above: Values, below: NDArray[Any]) -> Values:
    """above / below, NaN where below is 0."""
    ratio: Values = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return ratio


def _chunks(counts: Counts) -> Iterator[Counts]:
    """Resamples a few at a time, so that memory does not grow with a benchmark of tens of thousands of images."""
    rows = max(1, _CHUNK // max(counts.shape[1], 1))
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows]
