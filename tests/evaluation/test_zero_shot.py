"""Zero-shot scoring with a scorer whose answers are written into the images."""

import numpy as np
import polars as pl
import pytest
import torch

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation.scorer import Prompts
from pipeline.evaluation.zero_shot import evaluate_zero_shot, style_sensitivity

FINDINGS = ["edema", "mass", "nodule"]


class PixelScorer:
    """Pixel (0, k) of an image is its score for the prompt whose largest entry is k."""

    def __init__(self):
        self.batches = []

    def score(self, images, prompts):
        self.batches.append(len(images))
        return images[:, 0, prompts.vectors.argmax(dim=1)].float() / 255


class Pictures:
    """Images in memory."""

    def __init__(self, ids, pixels):
        self.ids, self.pixels = ids, pixels

    def gather(self, rows):
        return torch.from_numpy(self.pixels[rows])


@pytest.fixture
def benchmark():
    rng = np.random.default_rng(0)
    n = 90
    pixels = rng.integers(0, 256, (n, 8, 8)).astype(np.uint8)
    images = pl.DataFrame({
        "image_id": [f"i{k:02}" for k in range(n)],
        "study_id": [f"i{k:02}" for k in range(n)],
        "patient_id": [f"p{k // 3}" for k in range(n)],
        "split": ["train"] * 10 + ["validate"] * 30 + ["test"] * 50,
        "path": ["x.png"] * n,
        "bytes": [1] * n,
        "view": ["PA"] * n,
        "sex": ["F", "M"] * 45,
        "age": [50.0] * n,
    }, schema_overrides={"age": pl.Float32})  # fmt: skip
    chance = pixels[:, 0, :3] / 255
    labels = pl.DataFrame({
        "image_id": images["image_id"].to_numpy().repeat(3),
        "finding": FINDINGS * n,
        "label": (rng.random((n, 3)) < chance).flatten().astype(np.int8),
        "severity": [None] * 3 * n,
    }, schema_overrides={"severity": pl.String})  # fmt: skip
    order = rng.permutation(n)
    return Pictures([f"i{k:02}" for k in order], pixels[order]), images, labels, chance


def asked(vectors):
    return Prompts(tuple(f"prompt {number}" for number in range(len(vectors))), vectors)


def evaluate(source, images, labels, vectors=None, **options):
    vectors = torch.eye(3, 5) if vectors is None else vectors
    prompts = {"name": asked(vectors), "template": asked(vectors), "explanation": asked(vectors.flip(0))}
    return evaluate_zero_shot(
        PixelScorer(), source, images, labels, prompts, FINDINGS,
        benchmark="demo", **{"prompt_style": "name", "resamples": 20, "batch": 16, **options},
    )  # fmt: skip


def test_each_score_goes_to_its_image_and_finding(benchmark):
    source, images, labels, chance = benchmark
    result = evaluate(source, images, labels)
    assert result.scores.columns == schemas.SCORES.names
    assert result.scores.height == 80 * 3
    assert set(result.scores["split"]) == {"validate", "test"}
    for image, finding, score in result.scores.select("image_id", "finding", "score").iter_rows():
        assert score == pytest.approx(chance[int(image[1:]), FINDINGS.index(finding)])
    joined = result.scores.join(labels, on=["image_id", "finding"])
    assert (joined["label"] == joined["label_right"]).all()
    assert result.metrics["prompt_style"] == "name"
    assert result.metrics["auroc"] > 0.7
    assert result.metrics["counts"]["images"] == 50


def test_scores_pass_their_schema(benchmark, tmp_path):
    scores, path = evaluate(*benchmark[:3]).scores, tmp_path / "scores.parquet"
    schemas.write_table(scores, path, schemas.SCORES)
    assert schemas.read_table(path, schemas.SCORES).equals(scores)


def test_batch_size_changes_nothing(benchmark):
    first, second = (evaluate(*benchmark[:3], batch=size) for size in (7, 64))
    assert first.scores.equals(second.scores)
    assert first.metrics == second.metrics


def test_every_style_is_scored_as_if_it_were_the_headline(benchmark):
    """The explanations ask for the findings in reverse order, so edema's question gets mass' scores."""
    results = {style: evaluate(*benchmark[:3], prompt_style=style) for style in ("name", "template", "explanation")}
    for result in results.values():
        assert result.metrics["by_prompt_style"] == {
            style: {
                **{metric: other.metrics[metric] for metric in ("auroc", "f1", "accuracy")},
                "auroc_interval": other.metrics["intervals"]["auroc"],
            }
            for style, other in results.items()
        }
    right, wrong = results["name"].metrics, results["explanation"].metrics
    assert right["prompt_sensitivity"]["auroc_range"] == pytest.approx(right["auroc"] - wrong["auroc"])
    for finding, difference in right["prompt_sensitivity"]["per_class"].items():
        aurocs = [metrics["per_class"][finding]["auroc"] for metrics in (right, wrong)]
        assert difference == pytest.approx(abs(aurocs[0] - aurocs[1]))
    assert right["prompt_sensitivity"]["per_class"]["mass"] == 0  # in the middle, so asked for in its own words
    assert right["prompt_sensitivity"]["per_class"]["edema"] > 0.1


def test_sensitivity_by_hand():
    aurocs = {"name": {"a": 0.5, "b": 0.9}, "template": {"a": 0.8, "b": 0.7}, "explanation": {"a": 0.6, "b": 0.7}}
    assert style_sensitivity(aurocs) == {
        "auroc_range": pytest.approx(0.1), "per_class": {"a": pytest.approx(0.3), "b": pytest.approx(0.2)},
    }  # fmt: skip
    assert style_sensitivity({"name": {"a": 0.5}}) == {"auroc_range": 0, "per_class": {"a": 0}}


def test_an_image_that_was_not_decoded_is_counted(benchmark):
    source, images, labels, _ = benchmark
    keep = [k for k, name in enumerate(source.ids) if name not in ("i50", "i60")]
    result = evaluate(Pictures([source.ids[k] for k in keep], source.pixels[keep]), images, labels)
    assert result.metrics["counts"]["images"] == 48
    assert result.metrics["counts"]["images_not_decoded"] == 2


def test_labels_of_other_findings_are_not_scored(benchmark):
    source, images, labels, _ = benchmark
    other = labels.with_columns(finding=pl.lit("hernia"))
    result = evaluate(source, images, pl.concat([labels, other]))
    assert set(result.metrics["per_class"]) == set(FINDINGS)


def test_a_finding_without_labels_is_an_error(benchmark):
    source, images, labels, _ = benchmark
    with pytest.raises(EvaluationError, match="demo has no label for mass, nodule"):
        evaluate(source, images, labels.filter(finding="edema"))


def test_unusable_prompts(benchmark):
    source, images, labels, _ = benchmark
    with pytest.raises(EvaluationError, match="3 findings but 2 prompts"):
        evaluate(source, images, labels, vectors=torch.eye(2, 5))
    with pytest.raises(EvaluationError, match="not finite"):
        evaluate(source, images, labels, vectors=torch.full((3, 5), float("nan")))


def test_no_decoded_image_is_an_error(benchmark):
    _, images, labels, _ = benchmark
    with pytest.raises(EvaluationError, match="None of 80 images"):
        evaluate(Pictures([], np.zeros((0, 8, 8), np.uint8)), images, labels)


def test_a_benchmark_without_validation_images_is_an_error(benchmark):
    source, images, labels, _ = benchmark
    with pytest.raises(EvaluationError, match="validate split"):
        evaluate(source, images.filter(pl.col("split") == "test"), labels)


def test_a_benchmark_without_positives_is_an_error(benchmark):
    source, images, labels, _ = benchmark
    with pytest.raises(EvaluationError, match="edema: no positive test image; mass"):
        evaluate(source, images, labels.with_columns(label=pl.lit(0, pl.Int8)))
