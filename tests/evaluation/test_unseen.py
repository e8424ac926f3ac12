"""Four namings of one disease, by a scorer whose answers are written into the images."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import f1_score

from pipeline.errors import EvaluationError
from pipeline.evaluation.scorer import Prompts
from pipeline.evaluation.statistics import delong_test
from pipeline.evaluation.unseen import CATEGORY, EXPLANATION, KNOWN, NAME, evaluate_unseen
from pipeline.schemas import SCORES, write_table

NAMINGS = (CATEGORY, KNOWN, NAME, EXPLANATION)


class Pictures:
    """Images in memory, which answer naming k with pixel (0, k); asked for one prompt at a time."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.ids = pixels, [f"i{row}" for row in range(len(pixels))]

    def gather(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.pixels[rows])

    def score(self, images: torch.Tensor, prompts: Prompts) -> torch.Tensor:
        assert len(prompts) == 1, "prompts may see each other"
        return images[:, 0, prompts.vectors[:, 0].long()].float() / 255


def evaluate(pixels: np.ndarray, label: np.ndarray, patients: list[str] | None = None):
    source = Pictures(pixels)
    count = len(pixels)
    images = pl.DataFrame({
        "image_id": source.ids, "patient_id": patients or source.ids, "split": ["train"] * 5 + ["test"] * (count - 5),
    })  # fmt: skip
    labels = pl.DataFrame({
        "image_id": source.ids * 2, "finding": ["covid-19"] * count + ["edema"] * count,
        "label": np.concatenate([label, 1 - label]).astype(np.int8), "severity": None,
    }, schema_overrides={"severity": pl.String})  # fmt: skip
    namings = {naming: Prompts((f"{naming}.",), torch.full((1, 2), float(k))) for k, naming in enumerate(NAMINGS)}
    return evaluate_unseen(source, source, images, labels, "covid-19", namings, benchmark="rahman")


def drawn(count: int = 85) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = (rng.random(count) < 0.4).astype(np.int8)
    pixels = rng.integers(0, 200, (count, 6, 6)).astype(np.uint8)
    pixels[:, 0, 3] += (label * 50).astype(np.uint8)
    return pixels, label


def test_namings_are_compared_on_the_test_images(tmp_path: Path) -> None:
    pixels, label = drawn()
    result = evaluate(pixels, label)
    values = pixels[5:, 0].astype(float)
    for k, naming in enumerate(NAMINGS[:-1]):
        test = delong_test(label[5:], values[:, 3], values[:, k])
        found = result.metrics if naming == CATEGORY else result.metrics["against"][naming]
        assert found["difference"] == pytest.approx(result.metrics[EXPLANATION] - result.metrics[naming])
        assert (found["difference"], found["p"]) == (pytest.approx(test.difference), pytest.approx(test.p_value))
        assert found["interval"] == pytest.approx([test.low, test.high])
    assert result.metrics["counts"] == {"images": 80, "positives": int(label[5:].sum())}
    assert result.metrics["texts"][KNOWN] == "known_explanation."
    write_table(result.scores, tmp_path / "scores.parquet", SCORES)
    assert result.scores.group_by("finding").len()["len"].to_list() == [80] * 4


def test_images_of_one_patient_are_no_independent_evidence() -> None:
    pixels, label = drawn()
    pixels, label = np.concatenate([pixels[:5], *[pixels[5:]] * 3]), np.concatenate([label[:5], *[label[5:]] * 3])
    owners = [f"p{row if row < 5 else 5 + (row - 5) % 80}" for row in range(len(pixels))]
    once, thrice = evaluate(pixels[:85], label[:85]).metrics, evaluate(pixels, label, owners).metrics
    values, truth = pixels[5:, 0].astype(float), label[5:]
    for k, naming in enumerate(NAMINGS[:-1]):
        found = thrice if naming == CATEGORY else thrice["against"][naming]
        test = delong_test(truth, values[:, 3], values[:, k], owners[5:])
        assert (found["p"], found["interval"]) == (pytest.approx(test.p_value), pytest.approx([test.low, test.high]))
    assert thrice["difference"] == pytest.approx(once["difference"])
    width = np.diff(thrice["interval"])[0] / np.diff(once["interval"])[0]
    assert (
        0.98 < width < 1.02
    )  # three copies of each image tell no more than one; as images they would shrink it to 0.58


def test_f1_and_accuracy_are_the_best_over_all_thresholds() -> None:
    pixels, label = drawn()
    metrics, truth = evaluate(pixels, label).metrics, label[5:].astype(bool)
    for k, naming in enumerate(NAMINGS):
        scores = pixels[5:, 0, k]
        f1, threshold = max((f1_score(truth, scores >= at), -int(at)) for at in np.unique(scores))
        assert metrics[f"{naming}_f1_oracle"] == pytest.approx(f1)
        assert metrics[f"{naming}_accuracy_oracle"] == pytest.approx(np.mean((scores >= -threshold) == truth))


@pytest.mark.parametrize(("better", "higher"), [(0, CATEGORY), (3, EXPLANATION), (None, "neither")])
def test_which_is_higher_is_said_plainly(better: int | None, higher: str) -> None:
    pixels, label = drawn()
    pixels[:, 0] = 7
    if better is not None:
        pixels[:, 0, better] = 200 * label.astype(np.uint8)
    metrics = evaluate(pixels, label).metrics
    assert metrics["higher"] == higher
    assert (metrics["p"] == 1) == (better is None)


def test_one_class_alone_is_an_error_that_names_it() -> None:
    pixels, label = drawn()
    with pytest.raises(EvaluationError, match=r"rahman has covid-19 in 0 of 80 test images.*leave it out of `unseen`"):
        evaluate(pixels, 0 * label)
