"""Resampled metrics against resampling by hand, and the tests against slow versions of themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from pipeline.errors import EvaluationError
from pipeline.evaluation import statistics


def draw(seed=0, n=40, patients=15):
    rng = np.random.default_rng(seed)
    return rng.random(n) < 0.3, rng.random(n).round(1), rng.integers(0, patients, n).astype(str)


def test_resamples_keep_patients_whole():
    _, _, patients = draw()
    counts = statistics.resample_patients(patients, 200, seed=3)
    assert counts.shape == (200, 40)
    for patient in np.unique(patients):
        of_patient = counts[:, patients == patient]
        assert (of_patient == of_patient[:, :1]).all()
    first = [np.flatnonzero(patients == patient)[0] for patient in np.unique(patients)]
    assert (counts[:, first].sum(axis=1) == len(first)).all()
    assert counts[:, first].mean(axis=0) == pytest.approx(np.ones(len(first)), abs=0.3)


def test_resamples_are_seeded():
    patients = draw()[2]
    same, again, other = (statistics.resample_patients(patients, 20, seed) for seed in (1, 1, 2))
    assert (same == again).all()
    assert (same != other).any()


def test_no_images_no_resamples():
    with pytest.raises(EvaluationError, match="test split is empty"):
        statistics.resample_patients([], 10, 0)


@pytest.mark.parametrize("chunk", [1, 100, 10**6])
def test_metrics_of_counts_are_metrics_of_the_copied_images(chunk, monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK", chunk)
    labels, scores, patients = draw()
    counts = statistics.resample_patients(patients, 50, seed=5)
    auroc = statistics.resampled_auroc(labels, scores, counts)
    f1, accuracy = statistics.resampled_decision(labels, scores, 0.6, counts)
    mean = statistics.resampled_mean(scores, counts)
    for i, count in enumerate(counts):
        copied, copies = np.repeat(labels, count), np.repeat(scores, count)
        assert auroc[i] == pytest.approx(roc_auc_score(copied, copies))
        assert f1[i] == pytest.approx(f1_score(copied, copies >= 0.6, zero_division=0))
        assert accuracy[i] == pytest.approx(accuracy_score(copied, copies >= 0.6))
        assert mean[i] == pytest.approx(copies.mean())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=10))
def test_weighted_auroc_with_ties(rows):
    labels, scores, counts = (np.array(part) for part in zip(*rows, strict=True))
    (found,) = statistics.resampled_auroc(labels, scores, counts[None].astype(np.int16))
    drawn = np.repeat(labels, counts)
    if 0 < drawn.sum() < len(drawn):
        assert found == pytest.approx(roc_auc_score(drawn, np.repeat(scores, counts)))
    else:
        assert np.isnan(found)


def test_macro_leaves_out_what_a_resample_cannot_score():
    values = statistics.macro([np.array([0.5, np.nan, np.nan]), np.array([0.7, 0.9, np.nan])])
    np.testing.assert_allclose(values, [0.6, 0.9, np.nan])


def test_percentile_interval():
    values = np.append(np.arange(101) / 100, np.nan)
    assert statistics.percentile_interval(values) == pytest.approx([0.025, 0.975])
    assert statistics.percentile_interval(np.array([np.nan])) is None


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, hits = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(100):
        labels = np.arange(80) < 30
        counts = statistics.resample_patients(np.arange(80), 200, seed)
        low, high = statistics.percentile_interval(statistics.resampled_auroc(labels, rng.normal(labels), counts))
        hits += low <= truth <= high
    assert 85 <= hits <= 100


def slow_delong(labels, first, second):
    """DeLong, DeLong and Clarke-Pearson (1988), pair by pair."""
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    above, below = [], []
    for scores in (first, second):
        won = np.array(
            [[float(scores[p] > scores[n]) + 0.5 * (scores[p] == scores[n]) for n in negatives] for p in positives]
        )
        above.append(won.mean(axis=1))
        below.append(won.mean(axis=0))
    difference = above[0] - above[1], below[0] - below[1]
    variance = sum(part.var(ddof=1) / len(part) for part in difference)
    return difference[0].mean(), 2 * norm.sf(abs(difference[0].mean()) / np.sqrt(variance)), np.sqrt(variance)


@pytest.mark.parametrize("seed", range(4))
def test_delong_agrees_with_the_pairwise_one(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < 0.4
    first, second = (labels + rng.normal(size=60)).round(1), (0.5 * labels + rng.normal(size=60)).round(1)
    test = statistics.delong_test(labels, first, second)
    difference, p_value, deviation = slow_delong(labels, first, second)
    assert test.difference == pytest.approx(difference)
    assert test.difference == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
    assert test.p_value == pytest.approx(p_value)
    assert (test.low, test.high) == pytest.approx(
        (difference - 1.959964 * deviation, difference + 1.959964 * deviation)
    )


def test_delong_of_a_model_with_itself():
    labels, scores, _ = draw()
    assert statistics.delong_test(labels, scores, scores).p_value == 1.0
    assert statistics.delong_test(labels, np.full(40, 0.5), np.full(40, 0.2)).p_value == 1.0


def test_delong_of_trials_is_delong_of_their_mean_placements_on_the_same_images():
    """On the same images an image's placements can be averaged over the trials first, and then tested as of one."""
    rng = np.random.default_rng(0)
    labels = rng.random(50) < 0.4
    first, second = labels + rng.normal(size=(2, 50)), 0.5 * labels + rng.normal(size=(2, 50))
    images = np.tile(np.arange(50), 2)
    test = statistics.delong_test(np.tile(labels, 2), first.ravel(), second.ravel(), images, np.repeat([0, 1], 50))
    single = [slow_delong(labels, *pair)[0] for pair in zip(first, second, strict=True)]
    assert test.difference == pytest.approx(np.mean(single))
    above, below = [], []
    for one, other in zip(first, second, strict=True):
        won = [one[labels][:, None] > one[~labels], other[labels][:, None] > other[~labels]]
        above.append(won[0].mean(axis=1) - won[1].mean(axis=1))
        below.append(won[0].mean(axis=0) - won[1].mean(axis=0))
    variance = sum(np.mean(part, axis=0).var(ddof=1) / len(part[0]) for part in (above, below))
    assert (test.high - test.low) / 2 / 1.959964 == pytest.approx(np.sqrt(variance))


def test_delong_of_trials_on_other_images_adds_their_variances():
    parts = [draw(seed) for seed in (1, 2)]
    labels, scores = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    others, trials = np.random.default_rng(5).random(80), np.repeat([0, 1], 40)
    test = statistics.delong_test(labels, scores, others, trials=trials)
    singles = [statistics.delong_test(labels[own], scores[own], others[own]) for own in (trials == 0, trials == 1)]
    assert test.difference == pytest.approx(np.mean([single.difference for single in singles]))
    reaches = np.array([single.high - single.difference for single in singles])
    assert test.high - test.difference == pytest.approx(np.sqrt(np.sum(reaches**2)) / 2)


def test_delong_counts_a_patients_copied_images_once():
    labels, scores, _ = draw(n=200)
    other = np.random.default_rng(1).random(200)
    once = statistics.delong_test(labels, scores, other)
    copied = [np.tile(values, 2) for values in (labels, scores, other, np.arange(200))]
    blind, whole = statistics.delong_test(*copied[:3]), statistics.delong_test(*copied)
    assert whole.high - whole.low == pytest.approx(once.high - once.low, rel=0.02)
    assert blind.high - blind.low == pytest.approx((once.high - once.low) / np.sqrt(2), rel=0.02)


def test_delong_when_each_model_is_certain():
    labels = np.array([0, 0, 1, 1])
    assert statistics.delong_test(labels, labels, 1 - labels).p_value == 0.0


def test_delong_needs_two_of_each():
    with pytest.raises(EvaluationError, match="two positives"):
        statistics.delong_test([1, 0, 0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])


def test_paired_bootstrap_by_hand():
    first, second = np.array([0.6, 0.7, 0.8, np.nan]), np.array([0.5, 0.8, 0.7, 0.7])
    test = statistics.paired_bootstrap(0.05, first, second)
    assert test.p_value == pytest.approx(2 * (1 + 1) / (1 + 3))
    assert test.difference == 0.05
    assert -0.1 <= test.low < test.high <= 0.1 + 1e-9


def test_paired_bootstrap_sees_a_clear_difference_and_no_difference():
    labels, scores, patients = draw(n=200, patients=150)
    counts = statistics.resample_patients(patients, 500, 0)
    good = statistics.resampled_auroc(labels, labels + scores, counts)
    bad = statistics.resampled_auroc(labels, scores, counts)
    assert statistics.paired_bootstrap(0.5, good, bad).p_value == pytest.approx(2 / 501)
    assert statistics.paired_bootstrap(0.0, bad, bad).p_value == 1.0


def test_paired_bootstrap_of_nothing():
    with pytest.raises(EvaluationError, match="both models"):
        statistics.paired_bootstrap(0.0, np.array([np.nan]), np.array([0.5]))


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=0, max_size=8))
def test_holm_step_by_step(p_values):
    expected, floor = dict[int, float](), 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (len(p_values) - step) * p_values[place]))
        expected[place] = floor
    assert statistics.holm(p_values).tolist() == pytest.approx([expected[i] for i in range(len(p_values))])


def test_holm_of_a_textbook_case():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
