"""Each metric against another implementation, and the cases without an answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision, BinaryCalibrationError

from pipeline.errors import EvaluationError
from pipeline.evaluation import metrics

# few distinct scores, so that ties are the rule
tied = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), min_size=1, max_size=12)
tied_both = tied.filter(lambda rows: 0 < sum(label for label, _ in rows) < len(rows))


def split(rows):
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows])


@settings(max_examples=40)
@given(tied_both)
def test_auroc_counts_won_pairs_and_half_the_ties(rows):
    positives = [score for label, score in rows if label]
    negatives = [score for label, score in rows if not label]
    won = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    assert metrics.auroc(*split(rows)) == pytest.approx(won / (len(positives) * len(negatives)))


def test_areas_agree_with_torchmetrics():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.2, rng.random(200).round(2)
    tensors = torch.tensor(scores), torch.tensor(labels)
    assert metrics.auroc(labels, scores) == pytest.approx(BinaryAUROC()(*tensors).item(), abs=1e-6)
    assert metrics.average_precision(labels, scores) == pytest.approx(
        BinaryAveragePrecision()(*tensors).item(), abs=1e-6
    )


def test_constant_scores_know_nothing():
    labels = [1, 0, 0, 0]
    assert metrics.auroc(labels, [0.3] * 4) == 0.5
    assert metrics.average_precision(labels, [0.3] * 4) == 0.25
    assert metrics.best_threshold(labels, [0.3] * 4) == 0.3
    assert metrics.decide(labels, [0.3] * 4, 0.3) == metrics.Decision(f1=pytest.approx(0.4), accuracy=0.25)


@settings(max_examples=40)
@given(tied, st.sampled_from([-1.0, 0.25, 0.5, 2.0]))
def test_decision_agrees_with_scikit_learn(rows, threshold):
    labels, scores = split(rows)
    decision = metrics.decide(labels, scores, threshold)
    assert decision.f1 == pytest.approx(f1_score(labels, scores >= threshold, zero_division=0))
    assert decision.accuracy == pytest.approx(accuracy_score(labels, scores >= threshold))


@settings(max_examples=40)
@given(tied.filter(lambda rows: any(label for label, _ in rows)))
def test_best_threshold_is_the_lowest_of_the_best_scores(rows):
    labels, scores = split(rows)
    f1 = {threshold: round(f1_score(labels, scores >= threshold), 12) for threshold in scores}
    assert metrics.best_threshold(labels, scores) == min(t for t in f1 if f1[t] == max(f1.values()))


def test_calibration_error_agrees_with_torchmetrics():
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.random(300), [0.0, 1.0, 1.0]])
    labels = rng.random(303) < scores**2
    reference = BinaryCalibrationError(n_bins=10, norm="l1")(torch.tensor(scores), torch.tensor(labels).int())
    assert metrics.calibration_error(metrics.reliability(labels, scores)) == pytest.approx(reference.item(), abs=1e-6)


def test_reliability_by_hand():
    bins = metrics.reliability([0, 1, 1, 1], [0.1, 0.3, 0.5, 1.0], bins=2)
    assert metrics.as_rows(bins) == [
        {"low": 0.0, "high": 0.5, "count": 2, "confidence": pytest.approx(0.2), "frequency": 0.5},
        {"low": 0.5, "high": 1.0, "count": 2, "confidence": 0.75, "frequency": 1.0},
    ]
    assert metrics.calibration_error(bins) == pytest.approx((0.3 + 0.25) / 2)


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.average_precision])
@pytest.mark.parametrize(("labels", "lacking"), [([1, 1], "negative"), ([0, 0], "positive")])
def test_one_class_only(metric, labels, lacking):
    with pytest.raises(EvaluationError, match=lacking):
        metric(labels, [0.1, 0.2])


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.1, np.nan], "not finite"),
        ([0, 1], [0.1, np.inf], "not finite"),
        ([0, 2], [0.1, 0.2], "neither 0 nor 1"),
        ([0, 1, 1], [0.1, 0.2], "one score per image"),
        ([], [], "at least one"),
    ],
)
@pytest.mark.parametrize(
    "metric", [metrics.auroc, metrics.average_precision, metrics.best_threshold, metrics.reliability]
)
def test_unusable_input(metric, labels, scores, words):
    with pytest.raises(EvaluationError, match=words):
        metric(labels, scores)


def test_no_threshold_without_a_positive():
    with pytest.raises(EvaluationError, match="No positive"):
        metrics.best_threshold([0, 0], [0.1, 0.2])
    with pytest.raises(EvaluationError, match="threshold"):
        metrics.decide([0, 1], [0.1, 0.2], float("nan"))


def test_calibration_needs_probabilities():
    with pytest.raises(EvaluationError, match="probabilities"):
        metrics.reliability([0, 1], [-0.5, 0.5])
