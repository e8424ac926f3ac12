"""Fine-tuned classification end to end on squares: figures, tables, pairing, and what cannot be fine-tuned."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from finetuning_squares import SPLITS, squares
from sklearn.metrics import f1_score, roc_auc_score

from pipeline import schemas
from pipeline.errors import EvaluationError, ModelError
from pipeline.evaluation.encoders import encoders_of, pooled_features
from pipeline.evaluation.finetune import FinetuneConfig, evaluate_finetuned
from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.results import write_results
from pipeline.networks.backbone import PatchEncoder

CONFIG = FinetuneConfig(draws=3, resamples=200, seed=0)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    return PatchEncoder("basic", (1, 1), (16, 16), 8, 1).eval()


def evaluate(encoder, source=None, images=None, labels=None, config=CONFIG, inits=("pretrained", "random")):
    known = squares()
    given = (source or known[0], known[1] if images is None else images, known[2] if labels is None else labels)
    return evaluate_finetuned(encoders_of(inits, encoder, "", 0), *given, config, "demo")


@pytest.fixture(scope="module")
def result(encoder):
    return evaluate(encoder)


def test_the_figures_are_those_of_the_stored_scores(result):
    for init, prefix in (("pretrained", ""), ("random", "random_")):
        for percent in (1, 10, 100):
            own = result.scores.filter(init=init, percent=percent)
            aurocs = [
                np.mean([roc_auc_score(rows["label"], rows["score"]) for (_,), rows in draw.group_by("finding")])
                for (_,), draw in own.group_by("subset", maintain_order=True)
            ]
            run = result.metrics["runs"][init][str(percent)]
            assert len(aurocs) == (1 if percent == 100 else 3)
            assert run["per_seed"] == pytest.approx(aurocs)
            assert run["auroc"] == result.metrics[f"{prefix}auroc_{percent}"] == pytest.approx(np.mean(aurocs))
            assert np.mean(list(run["per_class"].values())) == pytest.approx(run["auroc"])
            low, high = run["auroc_interval"]
            assert low <= run["auroc"] <= high
            assert set(run["per_class"]) == {"mass", "large"}


def best_f1(rows: pl.DataFrame) -> tuple[float, float]:
    """F1, and accuracy at the lowest threshold that gives it, by trying every score."""
    truth, scores = rows["label"].to_numpy().astype(bool), rows["score"].to_numpy()
    f1, at = max((round(f1_score(truth, scores >= at), 12), -at) for at in np.unique(scores))
    return f1, float(np.mean((scores >= -at) == truth))


def test_oracle_figures_are_means_over_subsets_and_findings(result):
    for init, prefix in (("pretrained", ""), ("random", "random_")):
        for percent in (1, 10, 100):
            parts = result.scores.filter(init=init, percent=percent).group_by("subset", "finding")
            f1, accuracy = np.mean([best_f1(rows) for _, rows in parts], axis=0)
            assert result.metrics[f"{prefix}f1_oracle_{percent}"] == pytest.approx(f1)
            assert result.metrics[f"{prefix}accuracy_oracle_{percent}"] == pytest.approx(accuracy)


def test_differences_are_those_of_the_figures(result):
    for percent in ("1", "10", "100"):
        found = result.metrics["differences"]["random"][percent]
        runs = result.metrics["runs"]
        assert found["auroc"] == pytest.approx(runs["pretrained"][percent]["auroc"] - runs["random"][percent]["auroc"])
        assert found["interval"][0] <= found["auroc"] <= found["interval"][1]
        assert 0 < found["p"] <= 1


def test_tables_and_counts_say_what_was_used(result, tmp_path):
    schemas.write_table(result.scores, tmp_path / "scores.parquet", schemas.FINETUNED_SCORES)
    schemas.write_table(result.subsets, tmp_path / "subsets.parquet", schemas.SUBSETS)
    write_results(result.metrics, tmp_path / "metrics.json")
    assert result.scores.height == SPLITS["test"] * 2 * 2 * (3 + 3 + 1)
    counts = result.metrics["counts"]
    assert [counts[f"{split}_images"] for split in SPLITS] == list(SPLITS.values())
    for percent in (1, 10, 100):
        sizes = result.subsets.filter(pl.col("percent") <= percent).group_by("subset").len()["len"]
        assert result.metrics["runs"]["random"][str(percent)]["images"] == round(sizes.mean())
    assert any("1 % of 60 training images is 0.6" in note for note in result.metrics["notes"])
    assert any("Fewer than 30" in note for note in result.metrics["notes"])


def test_each_image_is_encoded_once_for_all_runs(encoder):
    source, *_ = squares()
    evaluate(encoder, source, inits=("pretrained",))
    assert source.gathered.tolist() == [1] * len(source.ids)


def test_pooled_features_are_means_over_patches(encoder):
    source, *_ = squares()
    rows = np.array([5, 0])
    images = torch.from_numpy(source.pixels[rows])[:, None].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(pooled_features(encoder, source, rows), encoder(images).mean((2, 3)))


def test_the_same_again(encoder, result):
    assert evaluate(encoder).metrics == result.metrics


def test_random_is_the_same_architecture_with_the_seeds_weights(encoder):
    first, second = (encoders_of(["random"], encoder, "", seed)["random"] for seed in (0, 0))
    assert first.architecture == encoder.architecture
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    other = encoders_of(["random"], encoder, "", 1)["random"].resnet.embedder["embedder"].convolution.weight
    assert not torch.equal(first.resnet.embedder["embedder"].convolution.weight, other)
    with pytest.raises(ModelError, match=r"no folder \./none"):
        encoders_of(["imagenet"], encoder, "./none", 0)


def test_full_fine_tuning_goes_the_same_way(encoder):
    config = replace(CONFIG, encoder="full", draws=2, fit=FitConfig(12, 16, 0.01, 0.0))
    found = evaluate(encoder, config=config, inits=("pretrained",))
    assert found.metrics["encoder"] == "full"
    assert found.metrics["auroc_100"] > 0.7
    assert found.metrics["differences"] == {}


def test_a_finding_that_test_images_lack_is_left_out_and_named(encoder):
    _, images, labels, *_ = squares()
    test = images.filter(split="test")["image_id"]
    none = pl.when(pl.col("image_id").is_in(test.implode()), pl.col("finding") == "large").then(0).otherwise("label")
    found = evaluate(encoder, labels=labels.with_columns(label=none.cast(pl.Int8)))
    assert set(found.metrics["runs"]["random"]["1"]["per_class"]) == {"mass"}
    assert "Left out, without a positive or a negative test image: large." in found.metrics["notes"]


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_positives_is_an_error(encoder, split):
    _, images, labels, *_ = squares()
    with pytest.raises(EvaluationError, match=f"demo has no finding with positive and negative images in its {split}"):
        evaluate(encoder, images=images.filter(pl.col("split") != split), labels=labels)
