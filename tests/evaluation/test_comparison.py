"""Means, intervals and paired differences over subsets, against slow references."""

import numpy as np
import pytest

from pipeline.evaluation.comparison import Figures, differences, headline, means


def figures(values, noise=0.01, resamples=4000, seed=0):
    """Metrics of k subsets whose resamples scatter around them, alike for all subsets as patients are shared."""
    shift = np.random.default_rng(seed).normal(0, noise, resamples)
    return Figures(np.array(values), np.array(values)[:, None] + shift)


def test_flat_names():
    table = {
        "pretrained": {1: figures([0.5, 0.7]), 100: figures([0.9])},
        "random": {1: figures([0.4]), 100: figures([0.6])},
    }
    assert headline(means(table), "auroc") == pytest.approx(
        {"auroc_1": 0.6, "auroc_100": 0.9, "random_auroc_1": 0.4, "random_auroc_100": 0.6}
    )


def test_an_interval_covers_patients_and_subsets():
    low, high = figures([0.8]).interval(0)
    assert (low, high) == pytest.approx((0.8 - 0.0196, 0.8 + 0.0196), abs=0.002)
    values = [0.5, 0.6, 0.7, 0.8, 0.9]
    low, high = figures(values).interval(0)
    rng = np.random.default_rng(1)
    means = [rng.choice(values, 5).mean() + rng.normal(0, 0.01) for _ in range(20_000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)


def test_differences_are_paired():
    first, second = figures([0.6, 0.9], 0.1), figures([0.55, 0.85], 0.1)
    found = differences({"pretrained": {10: first}, "random": {10: second}}, "auroc", 0)
    assert set(found) == {"random"}
    assert found["random"]["10"]["auroc"] == pytest.approx(0.05)
    assert found["random"]["10"]["interval"] == pytest.approx([0.05, 0.05])  # subsets and patients cancel
    assert found["random"]["10"]["p"] < 0.001
    same = differences({"pretrained": {10: first}, "random": {10: first}}, "auroc", 0)
    assert same["random"]["10"]["p"] == 1.0
