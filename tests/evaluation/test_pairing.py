"""Paired tests of two models against resampling and counting by hand."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.errors import EvaluationError
from pipeline.evaluation import statistics
from pipeline.evaluation.pairing import GroundedPairs, ScoredImages, compare

NAMES = ("medfilip", "medslip")


def scores(labels, values, finding="mass", patients=None, prefix="", split="test"):
    """A table of scores with a row per image; images are called by their number."""
    images = [f"{prefix}{number:03d}" for number in range(len(labels))]
    return pl.DataFrame({
        "image_id": images, "patient_id": patients if patients is not None else images, "split": split,
        "finding": finding, "label": np.asarray(labels, np.int8), "score": np.asarray(values, np.float32),
        "severity": pl.Series([None] * len(images), dtype=pl.String),
    })  # fmt: skip


def results(*tables):
    """Results whose validation images are one of each label, so that the threshold is 0.5."""
    validation = [
        scores([0, 1], [0.0, 0.5], table["finding"][0], prefix="v", split="validate") for table in tables
    ]  # fmt: skip
    return ScoredImages(pl.concat([*tables, *validation]), "bench")


LABELS = [0, 0, 0, 0, 1, 1, 1, 1]
GOOD = [0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9]  # one of 16 pairs is wrong
POOR = [0.1, 0.6, 0.5, 0.9, 0.2, 0.4, 0.7, 0.8]  # positives beat 1, 1, 3 and 3 of the 4 negatives


def test_one_findings_auroc_is_tested_by_delong():
    verdict = compare("auroc", [(results(scores(LABELS, GOOD)), results(scores(LABELS, POOR)))], NAMES)
    assert verdict.kind == "DeLong"
    assert verdict.test.difference == pytest.approx(15 / 16 - 8 / 16)
    assert verdict.test == statistics.delong_test(LABELS, np.float32(GOOD), np.float32(POOR))


def test_several_findings_are_tested_by_bootstrap_of_patients():
    rng = np.random.default_rng(0)
    labels, patients = rng.random((2, 60)) < 0.4, rng.integers(0, 25, 60).astype(str)
    values = rng.random((2, 2, 60)) + 0.3 * labels  # [model, finding, image]
    sides = [
        results(*(scores(labels[place], side[place], name, patients) for place, name in enumerate("ab")))
        for side in values
    ]
    verdict = compare("auroc", [(sides[0], sides[1])], NAMES, resamples=200, seed=3)
    counts = statistics.resample_patients(patients, 200, 3)
    slow = [
        np.mean([roc_auc_score(*(np.repeat(part, count) for part in (labels[f], np.float32(side[f])))) for f in (0, 1)])
        for side in values for count in counts
    ]  # fmt: skip
    differences = np.subtract(*np.reshape(slow, (2, 200)))
    assert verdict.kind == "bootstrap"
    assert (verdict.test.low, verdict.test.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))
    below, above = (1 + np.sum(differences <= 0)) / 201, (1 + np.sum(differences >= 0)) / 201
    assert verdict.test.p_value == pytest.approx(min(1, 2 * min(below, above)))


def test_f1_is_tested_at_each_models_own_threshold():
    verdict = compare("f1", [(results(scores(LABELS, GOOD)), results(scores(LABELS, POOR)))], NAMES)
    assert verdict.kind == "bootstrap"
    # at 0.5: four hits and one false alarm against two hits, two misses and three false alarms
    assert verdict.test.difference == pytest.approx(8 / 9 - 4 / 9)


def test_grounding_is_a_macro_mean_over_findings():
    pairs = pl.DataFrame({
        "image_id": ["1", "2", "3", "4"], "patient_id": ["1", "2", "3", "4"], "split": ["test"] * 3 + ["validate"],
        "finding": ["a", "a", "b", "b"], "severity": [None] * 4, "pointing_game": [1.0, 0.0, 1.0, 0.0],
        "iou": [0.5] * 4, "dice": [0.5] * 4,
    })  # fmt: skip
    worse = pairs.with_columns(pointing_game=pl.lit(0.0))
    verdict = compare("pointing_game", [(GroundedPairs(pairs), GroundedPairs(worse))], NAMES)
    assert verdict.test.difference == pytest.approx((0.5 + 1) / 2)
    assert verdict.kind == "bootstrap"


def test_the_same_model_twice_is_no_difference():
    for metric in ("auroc", "f1"):
        same = results(scores(LABELS, GOOD))
        test = compare(metric, [(same, same)], NAMES).test
        assert (test.difference, test.low, test.high, test.p_value) == (0, 0, 0, 1)


def test_constant_scores_are_chance():
    constant = results(scores(LABELS, [0.5] * 8))
    test = compare("auroc", [(results(scores(LABELS, GOOD)), constant)], NAMES).test
    assert test.difference == pytest.approx(15 / 16 - 0.5)
    assert compare("auroc", [(constant, constant)], NAMES).test.p_value == 1


def test_a_finding_of_one_class_is_left_out_and_alone_it_is_an_error():
    with_lone = [results(scores(LABELS, side), scores([0] * 8, side, "nodule")) for side in (GOOD, POOR)]
    assert compare("auroc", [tuple(with_lone)], NAMES).test.difference == pytest.approx(7 / 16)
    lone = results(scores([0] * 8, GOOD))
    with pytest.raises(EvaluationError, match="two positives"):
        compare("auroc", [(lone, lone)], NAMES)
    with pytest.raises(EvaluationError, match="bench cannot be scored"):
        compare("f1", [(lone, lone)], NAMES)


def test_other_images_or_labels_are_an_error_that_names_the_models():
    ours, less = results(scores(LABELS, GOOD)), results(scores(LABELS[1:], GOOD[1:]))
    with pytest.raises(EvaluationError, match=r"medfilip and medslip .* different test images \(8 and 7 .* 7 shared"):
        compare("auroc", [(ours, ours), (ours, less)], NAMES)
    flipped = results(scores(LABELS[::-1], GOOD))
    with pytest.raises(EvaluationError, match="different labels of the same test images"):
        compare("auroc", [(ours, flipped)], NAMES)


@pytest.mark.parametrize("metric", ["auroc", "f1"])
def test_several_trials_are_their_mean(metric):
    first = results(scores(LABELS, GOOD)), results(scores(LABELS, POOR))
    second = tuple(results(scores(LABELS, side, prefix="other")) for side in (POOR, POOR))
    both = compare(metric, [first, second], NAMES).test
    assert both.difference == pytest.approx(compare(metric, [first], NAMES).test.difference / 2)


def test_a_missing_threshold_is_named():
    no_positive = pl.concat([scores(LABELS, GOOD), scores([0, 0], [0.1, 0.2], prefix="v", split="validate")])
    side = ScoredImages(no_positive, "bench")
    with pytest.raises(EvaluationError, match="medfilip has no f1"):
        compare("f1", [(side, side)], NAMES)
