"""The summary of a score table against the metrics taken one by one, and the findings that cannot be scored."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation.classification import summarise
from pipeline.evaluation.score_table import tabulate

FINDINGS = ["edema", "mass"]


def tables(seed=0, n=160, findings=FINDINGS, share=0.3):
    """Scores and images: two images a patient, the first half validation, severities on the positives."""
    rng = np.random.default_rng(seed)
    images = pl.DataFrame({
        "image_id": [f"i{k:03}" for k in range(n)],
        "study_id": [f"i{k:03}" for k in range(n)],
        "patient_id": [f"p{k // 2}" for k in range(n)],
        "split": ["validate"] * (n // 2) + ["test"] * (n // 2),
        "path": ["x.png"] * n,
        "bytes": [1] * n,
        "view": rng.choice(["PA", "AP"], n).tolist(),
        "sex": [None] * n,
        "age": rng.integers(20, 95, n).tolist(),
    }, schema_overrides={"sex": pl.String, "age": pl.Float32})  # fmt: skip
    rows = images.select("image_id", "patient_id", "split").join(pl.DataFrame({"finding": findings}), how="cross")
    labels = rng.random(rows.height) < share
    scores = np.clip(0.3 * labels + rng.random(rows.height) * 0.7, 0, 1).round(2)
    severities = np.where(labels, rng.choice(["subtle", "mild", "severe"], rows.height), None)
    return rows.with_columns(
        label=pl.Series(labels).cast(pl.Int8),
        score=pl.Series(scores, dtype=pl.Float32),
        severity=pl.Series(severities.tolist(), dtype=pl.String),
    ).select(schemas.SCORES.names), images


def columns(scores, split, finding):
    rows = scores.filter(split=split, finding=finding)
    return rows["label"].to_numpy(), rows["score"].to_numpy(), rows["severity"].to_list()


def test_every_figure_against_scikit_learn():
    scores, images = tables()
    summary = summarise(scores, images, "demo", resamples=50)
    for finding in FINDINGS:
        labels, values, _ = columns(scores, "test", finding)
        one = summary["per_class"][finding]
        assert one["auroc"] == pytest.approx(roc_auc_score(labels, values))
        assert one["average_precision"] == pytest.approx(average_precision_score(labels, values))
        assert (one["positives"], one["negatives"]) == (labels.sum(), 80 - labels.sum())
        assert one["prevalence"] == pytest.approx(labels.mean())
        for suffix, split in (("", "validate"), ("_oracle", "test")):
            truth, chosen_on, _ = columns(scores, split, finding)
            threshold = one[f"threshold{suffix}"]
            best = max(f1_score(truth, chosen_on >= value) for value in chosen_on)
            assert f1_score(truth, chosen_on >= threshold) == pytest.approx(best)
            assert one[f"f1{suffix}"] == pytest.approx(f1_score(labels, values >= threshold))
            assert one[f"accuracy{suffix}"] == pytest.approx(accuracy_score(labels, values >= threshold))
    for metric in ("auroc", "f1", "accuracy", "f1_oracle", "accuracy_oracle"):
        assert summary[metric] == pytest.approx(np.mean([summary["per_class"][name][metric] for name in FINDINGS]))
        low, high = summary["intervals"][metric]
        assert low < summary[metric] < high
    assert summary["f1_oracle"] >= summary["f1"]


def test_severities_are_set_against_all_negatives():
    scores, images = tables()
    summary = summarise(scores, images, "demo", resamples=50)
    by_severity = summary["by_severity"]
    assert list(by_severity) == ["subtle", "mild", "severe"]
    for severity, found in by_severity.items():
        expected = []
        for finding in FINDINGS:
            labels, values, severities = columns(scores, "test", finding)
            keep = (labels == 0) | np.array([one == severity for one in severities])
            expected.append(roc_auc_score(labels[keep], values[keep]))
            assert found[finding] == pytest.approx(expected[-1])
        assert found["macro"] == pytest.approx(np.mean(expected))
        positives = scores.filter(split="test", severity=severity).height
        assert summary["severity_counts"][severity]["positives"] == positives
        low, high = summary["severity_counts"][severity]["macro_interval"]
        assert low <= found["macro"] <= high


def test_subgroups_only_where_known():
    scores, images = tables()
    summary = summarise(scores, images, "demo", resamples=10)
    assert set(summary["subgroups"]) == {"age", "view"}
    assert sum(group["n"] for group in summary["subgroups"]["age"].values()) == 80
    of_view = images.filter(view="PA", split="test")["image_id"]
    rows = scores.filter(pl.col("image_id").is_in(of_view.to_list()))
    expected = [roc_auc_score(part["label"], part["score"]) for _, part in rows.group_by("finding")]
    found = summary["subgroups"]["view"]["PA"]
    assert (found["n"], found["findings"]) == (len(of_view), 2)
    assert found["auroc"] == pytest.approx(np.mean(expected))


def test_age_groups_meet_at_their_lower_bound():
    scores, images = tables(n=8, share=0.5)
    images = images.with_columns(age=pl.Series([30, 30, 30, 30, 39.9, 40, 60, 80], dtype=pl.Float32))
    groups = summarise(scores, images, "demo", resamples=5)["subgroups"]["age"]
    assert {name: group["n"] for name, group in groups.items()} == dict.fromkeys(
        ["under 40", "40 to 59", "60 to 79", "80 and over"], 1
    )
    assert all(group["auroc"] is None for group in groups.values())


def test_the_order_of_rows_does_not_matter():
    scores, images = tables()
    first = summarise(scores, images, "demo", resamples=20)
    shuffled = scores.sample(fraction=1.0, shuffle=True, seed=1)
    again = summarise(shuffled, images, "demo", resamples=20)
    assert again["intervals"]["auroc"] == pytest.approx(first["intervals"]["auroc"])
    assert again["per_class"]["mass"] == first["per_class"]["mass"]


def test_a_missing_label_leaves_only_that_pair_out():
    scores, images = tables()
    gone = scores.filter(~((pl.col("finding") == "mass") & pl.col("image_id").is_in(["i081", "i090"])))
    summary = summarise(gone, images, "demo", resamples=10)
    labels, values, _ = columns(gone, "test", "mass")
    assert len(labels) == 78
    assert summary["per_class"]["mass"]["auroc"] == pytest.approx(roc_auc_score(labels, values))
    assert summary["per_class"]["edema"] == summarise(scores, images, "demo", resamples=10)["per_class"]["edema"]


def all_labels(scores, finding, split, label):
    where = (pl.col("finding") == finding) & (pl.col("split") == split)
    return scores.with_columns(label=pl.when(where).then(pl.lit(label, pl.Int8)).otherwise("label"))


@pytest.mark.parametrize(("label", "reason"), [(0, "no positive test image"), (1, "no negative test image")])
def test_a_finding_of_one_class_is_left_out_of_the_macro(label, reason):
    scores, images = tables()
    summary = summarise(all_labels(scores, "mass", "test", label), images, "demo", resamples=10)
    assert summary["not_scored"] == {"mass": reason}
    assert summary["auroc"] == summary["per_class"]["edema"]["auroc"]
    assert "mass" not in summary["per_class"]
    assert any("mass" in note for note in summary["notes"])


def test_a_benchmark_without_positives_is_an_error():
    scores, images = tables(findings=["pneumonia"])
    with pytest.raises(EvaluationError, match="demo cannot be scored"):
        summarise(all_labels(scores, "pneumonia", "test", 0), images, "demo", resamples=10)


def test_no_positive_validation_image_means_no_honest_threshold():
    scores, images = tables()
    summary = summarise(all_labels(scores, "mass", "validate", 0), images, "demo", resamples=10)
    mass = summary["per_class"]["mass"]
    assert mass["threshold"] is mass["f1"] is mass["accuracy"] is None
    assert mass["f1_oracle"] is mass["accuracy_oracle"] is None  # the means of both kinds are over the same findings
    assert summary["f1"] == summary["per_class"]["edema"]["f1"]
    assert summary["f1_oracle"] == summary["per_class"]["edema"]["f1_oracle"]
    assert any("No positive validation image" in note for note in summary["notes"])
    for finding in FINDINGS:
        scores = all_labels(scores, finding, "validate", 0)
    summary = summarise(scores, images, "demo", resamples=10)
    assert summary["f1"] is summary["intervals"]["f1"] is None
    assert summary["auroc"] > 0.5


@pytest.mark.parametrize("split", ["validate", "test"])
def test_an_empty_split_is_an_error(split):
    scores, images = tables()
    with pytest.raises(EvaluationError, match=f"demo has no labelled images in its {split} split"):
        summarise(scores.filter(pl.col("split") != split), images, "demo")


def test_broken_tables_are_errors():
    scores, images = tables()
    with pytest.raises(EvaluationError, match="i000 has more than one score for edema"):
        tabulate(pl.concat([scores, scores.head(1)]), "validate", "demo")
    broken = pl.when(pl.int_range(pl.len()) == 0).then(float("nan")).otherwise("score")
    with pytest.raises(EvaluationError, match="1 scores are not finite, first for edema"):
        summarise(scores.with_columns(score=broken), images, "demo")


def test_constant_scores_give_half_and_no_width():
    scores, images = tables()
    summary = summarise(scores.with_columns(score=pl.lit(0.5, pl.Float32)), images, "demo", resamples=50)
    assert summary["auroc"] == 0.5
    assert summary["intervals"]["auroc"] == [0.5, 0.5]


def test_small_samples_are_pointed_out():
    scores, images = tables(n=40)
    assert any("mean little" in note for note in summarise(scores, images, "demo", resamples=10)["notes"])
    scores, images = tables(n=400, share=0.5)
    assert summarise(scores, images, "demo", resamples=10)["notes"] == []


def test_calibration_of_a_calibrated_scorer_is_small():
    rng = np.random.default_rng(0)
    scores, images = tables(n=2000)
    chance = rng.random(scores.height)
    label = pl.Series(rng.random(scores.height) < chance).cast(pl.Int8)
    calibrated = scores.with_columns(score=pl.Series(chance, dtype=pl.Float32), label=label)
    found = summarise(calibrated, images, "demo", resamples=5)["calibration"]
    assert found["ece"] < 0.05
    assert sum(row["count"] for row in found["reliability"]) == 2000
    assert set(found["per_class"]) == set(FINDINGS)
