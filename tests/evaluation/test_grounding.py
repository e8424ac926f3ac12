"""Grounding end to end with maps that are known, thresholds from validation, and findings that cannot be grounded."""

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.grounding import BoxedImages, evaluate_grounding, summarise
from pipeline.evaluation.overlap import THRESHOLDS, Overlaps
from pipeline.evaluation.scorer import Prompts

SIZE, GRID = 32, 8


class BrightestScorer:
    """The heat map is the image itself, averaged over patches; the second prompt sees it upside down."""

    def heat_maps(self, images, prompts):
        patches = images.reshape(len(images), GRID, SIZE // GRID, GRID, SIZE // GRID).float().mean((2, 4)) / 255
        return torch.stack([patches, patches.flip(1)], dim=1)[:, : len(prompts)]


class Pictures:
    def __init__(self, ids, pixels):
        self.ids, self.pixels = ids, pixels

    def gather(self, rows):
        return torch.from_numpy(self.pixels[rows])


def bright_boxes(n=24, validation=8, severity="mild"):
    """A bright square of 8 x 8 pixels somewhere; stored at twice the size, with the box around it."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 7, (n, 2)) * 4
    pixels = np.full((n, SIZE, SIZE), 20, np.uint8)
    for image, (x, y) in zip(pixels, corners, strict=True):
        image[y : y + 8, x : x + 8] = 220
    ids = [f"i{k:02}" for k in range(n)]
    images = pl.DataFrame({
        "image_id": ids,
        "study_id": ids,
        "patient_id": [f"p{k // 2}" for k in range(n)],
        "split": ["validate"] * validation + ["test"] * (n - validation),
    })  # fmt: skip
    boxes = pl.DataFrame({
        "image_id": ids,
        "finding": ["mass"] * n,
        "x": corners[:, 0] * 2.0,
        "y": corners[:, 1] * 2.0,
        "width": [16.0] * n,
        "height": [16.0] * n,
    })  # fmt: skip
    labels = boxes.select("image_id", "finding", label=pl.lit(1), severity=pl.lit(severity, pl.String))
    index = pl.DataFrame({"image_id": ids, "width": [64] * n, "height": [64] * n})
    return Pictures(ids[::-1], pixels[::-1]), BoxedImages(images, labels, boxes, index)


def evaluate(source, boxed, findings=("mass",), **options):
    return evaluate_grounding(
        BrightestScorer(), source, boxed, Prompts(tuple(findings), torch.eye(len(findings), 4)), list(findings),
        benchmark="demo", prompt_style="name", **{"resamples": 50, "batch": 5, **options},
    )  # fmt: skip


def test_maps_on_the_boxes_score_high():
    result = evaluate(*bright_boxes())
    metrics = result.metrics
    assert metrics["pointing_game"] == 1.0
    assert metrics["iou"] > 0.75
    assert metrics["iou"] <= metrics["iou_oracle"]
    assert metrics["dice"] > metrics["iou"]
    assert metrics["released"]["iou"] == pytest.approx(1.0)
    assert metrics["chance"] == {
        "pointing_game": pytest.approx(1 / 16),
        "iou": pytest.approx(1 / 16),
        "dice": pytest.approx(2 / 17),
    }
    assert metrics["counts"] == {"pairs": 16, "images": 16, "patients": 8, "validation_pairs": 8, "resamples": 50}
    assert metrics["by_severity"]["mild"]["pairs"] == 16
    low, high = metrics["intervals"]["iou"]
    assert low <= metrics["iou"] <= high
    assert result.maps.shape == (24, GRID, GRID)
    assert result.pairs.filter(split="test")["iou"].mean() == pytest.approx(metrics["iou"])


def test_batches_change_nothing():
    first, second = (evaluate(*bright_boxes(), batch=size) for size in (1, 100))
    assert first.pairs.equals(second.pairs)
    assert first.metrics == second.metrics


def test_each_finding_has_its_own_map():
    source, boxed = bright_boxes()
    flipped = boxed.boxes.with_columns(finding=pl.lit("edema"), y=64 - pl.col("y") - pl.col("height"))
    both = BoxedImages(boxed.images, boxed.labels, pl.concat([boxed.boxes, flipped]), boxed.index)
    result = evaluate(source, both, findings=("mass", "edema"))
    assert result.metrics["per_class"]["edema"]["pointing_game"] == 1.0
    assert result.metrics["pointing_game"] == 1.0
    assert result.metrics["by_severity"]["mild"]["pairs"] == 16  # edema has no labels, so no severity
    wrong = evaluate(source, both, findings=("edema", "mass"))
    assert wrong.metrics["pointing_game"] < 0.5


def test_a_second_box_of_an_image_is_part_of_its_region():
    """Beside the bright square's box lies one of the same size on dark ground, in every image."""
    source, boxed = bright_boxes()
    dark = boxed.boxes.with_columns(x=(pl.col("x") + 24) % 48, y=(pl.col("y") + 24) % 48)
    result = evaluate(source, BoxedImages(boxed.images, boxed.labels, pl.concat([boxed.boxes, dark]), boxed.index))
    metrics = result.metrics
    assert metrics["counts"]["pairs"] == 16  # one region per image and finding
    assert metrics["pointing_game"] == 1.0
    assert metrics["chance"]["iou"] == pytest.approx(2 / 16)
    assert metrics["released"]["iou"] == pytest.approx(1 / 2)


def test_only_some_test_images_with_boxes_and_none_for_validation():
    """As in ChestX-ray14: images without boxes take no part, and the threshold crosses between halves of patients."""
    source, boxed = bright_boxes()
    some = boxed.boxes.filter(pl.col("image_id") >= "i12")
    metrics = evaluate(source, BoxedImages(boxed.images, boxed.labels, some, boxed.index)).metrics
    assert metrics["counts"] == {"pairs": 12, "images": 12, "patients": 6, "validation_pairs": 0, "resamples": 50}
    assert metrics["per_class"]["mass"]["intervals"] == {
        name: metrics["intervals"][name] for name in ("pointing_game", "iou", "dice")
    }
    assert metrics["iou"] > 0.7
    assert any("No validation boxes" in note for note in metrics["notes"])


def test_unboxed_findings_are_listed_and_boxes_of_others_ignored():
    source, boxed = bright_boxes()
    result = evaluate(source, boxed, findings=("mass", "edema"))
    assert result.metrics["not_scored"] == {"edema": "no box on a decoded test image"}
    assert list(result.metrics["per_class"]) == ["mass"]


def test_nothing_to_ground_is_an_error():
    source, boxed = bright_boxes(n=8, validation=8)
    with pytest.raises(EvaluationError, match="demo cannot be grounded"):
        evaluate(source, boxed)
    source, boxed = bright_boxes(n=2, validation=0)
    with pytest.raises(EvaluationError, match="boxes of one patient only"):
        evaluate(source, boxed)


def test_undecoded_images_take_no_part():
    source, boxed = bright_boxes()
    result = evaluate(Pictures(source.ids[1:], source.pixels[1:]), boxed)
    assert result.metrics["counts"]["images"] == 15


def overlaps(iou):
    """Overlaps with given IoU [P, T]; the rest does not matter."""
    pairs = len(iou)
    return Overlaps(np.ones(pairs), iou, iou, np.ones((pairs, 3)), np.zeros((pairs, 3)))


def peaked(*steps):
    """IoU 1 at one threshold each, else 0."""
    return np.eye(len(THRESHOLDS))[list(steps)]


def table(splits, patients, finding="mass"):
    n = len(splits)
    return pl.DataFrame({
        "image_id": [f"i{k}" for k in range(n)],
        "patient_id": patients,
        "split": splits,
        "finding": [finding] * n,
        "severity": pl.Series([None] * n, dtype=pl.String),
    })  # fmt: skip


def test_the_threshold_comes_from_validation_and_the_oracle_from_test():
    pairs = table(["validate", "validate", "test", "test", "test"], list("abcde"))
    metrics, grounded = summarise(pairs, overlaps(peaked(3, 3, 3, 7, 7)), resamples=10)
    assert metrics["iou"] == pytest.approx(1 / 3)
    assert metrics["iou_oracle"] == pytest.approx(2 / 3)
    assert grounded["threshold"].to_list() == pytest.approx([THRESHOLDS[3]] * 5)
    assert metrics["per_class"]["mass"]["thresholds"] == pytest.approx([0.2])
    assert metrics["by_severity"] == {}


def test_without_validation_each_half_of_the_patients_takes_the_others_threshold():
    pairs = table(["test"] * 4, ["a", "a", "b", "b"])
    metrics, grounded = summarise(pairs, overlaps(peaked(3, 3, 7, 7)), resamples=10)
    assert metrics["iou"] == 0.0
    assert grounded["threshold"].to_list() == pytest.approx(THRESHOLDS[[7, 7, 3, 3]].tolist())
    assert metrics["per_class"]["mass"]["thresholds"] == pytest.approx(THRESHOLDS[[3, 7]].tolist())
    assert any("other's threshold" in note for note in metrics["notes"])


def test_intervals_resample_patients():
    iou = np.repeat(np.arange(6) / 5, 10)[:, None] * np.ones(len(THRESHOLDS))
    pairs = table(["test"] * 60, np.repeat(list("abcdef"), 10).tolist())
    low, high = summarise(pairs, overlaps(iou), resamples=2000)[0]["intervals"]["iou"]
    rng = np.random.default_rng(9)
    means = [rng.choice(np.arange(6) / 5, 6).mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.04)
