"""Fine-tuned segmentation: Dice against MONAI's, the decoder's shapes, and the whole on squares with their masks."""

import numpy as np
import polars as pl
import pytest
import torch
from finetuning_squares import SIZE, SPLITS, squares
from monai.metrics import compute_dice

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation import unet
from pipeline.evaluation.encoders import encoders_of
from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.results import write_results
from pipeline.evaluation.segmentation import (
    SMALLEST,
    THRESHOLDS,
    Rule,
    SegmentationConfig,
    choose_rule,
    dice,
    draw_masks,
    evaluate_segmentation,
)
from pipeline.evaluation.unet import Decoder, FrozenPyramid
from pipeline.networks.backbone import PatchEncoder

CONFIG = SegmentationConfig(draws=2, fit=FitConfig(40, 16, 0.02, 0.0), resamples=100, seed=0)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    return PatchEncoder("basic", (1, 1), (8, 16), 8, 1).eval()


def evaluate(encoder, masks=None, config=CONFIG, inits=("pretrained", "random")):
    source, images, labels, own, _ = squares()
    given = own if masks is None else masks
    return evaluate_segmentation(encoders_of(inits, encoder, "", 0), source, images, labels, given, config, "demo")


@pytest.fixture(scope="module")
def result(encoder):
    return evaluate(encoder)


def test_dice_is_monais():
    rng = np.random.default_rng(0)
    called, truth = (torch.from_numpy(rng.random((20, 8, 8)) < share) for share in (0.3, 0.5))
    expected = compute_dice(called[:, None].float(), truth[:, None].float(), ignore_empty=False)
    np.testing.assert_allclose(dice(called, truth), expected[:, 0], rtol=1e-6)


def test_dice_of_empty_masks_by_hand():
    empty, full, half = torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.ones(1, 4, 4)
    half[:, :2] = 0
    cases = [(empty, empty, 1), (empty, full, 0), (full, empty, 0), (full, full, 1), (half, full, 2 / 3)]
    for called, truth, expected in cases:
        assert dice(called.bool(), truth.bool()) == pytest.approx([expected])


def test_a_mask_smaller_than_the_rule_allows_is_none():
    probabilities = torch.zeros(3, 10, 10)
    probabilities[0, 0, :3] = probabilities[1, 0, :2] = 0.9
    probabilities[2] = 0.4
    found = Rule(0.5, 0.03).masks(probabilities)
    assert found.flatten(1).sum(1).tolist() == [3, 0, 0]
    assert Rule(0.5, 0.0).masks(probabilities).flatten(1).sum(1).tolist() == [3, 2, 0]


@pytest.mark.parametrize("seed", range(5))
def test_the_chosen_rule_is_the_best_of_all_tried_one_by_one(seed):
    rng = np.random.default_rng(seed)
    truth = torch.from_numpy(rng.random((12, 8, 8)) < rng.choice([0, 0.02, 0.3], (12, 1, 1)))
    truth[0, 0, 0] = True
    probabilities = torch.from_numpy(rng.random((12, 8, 8)) * rng.random((12, 1, 1))) / 2 + truth * rng.random() / 2
    positive = truth.flatten(1).any(1).numpy()

    def worth(rule):
        values = dice(rule.masks(probabilities), truth)
        return (values.mean() + values[positive].mean()) / 2

    rules = [Rule(float(threshold), float(smallest)) for threshold in THRESHOLDS for smallest in SMALLEST]
    best = max(rules, key=lambda rule: round(worth(rule), 9))  # the first of equals
    assert choose_rule(probabilities, truth) == (best, pytest.approx(worth(best)))


def test_masks_are_unions_and_empty_where_there_are_none():
    *_, table, drawn = squares()
    twice = pl.concat([table, table.head(1).with_columns(runs=pl.lit([0, 1], pl.List(pl.Int32)))])
    ids = pl.Series([f"i{k:03}" for k in range(4)])
    found = draw_masks(ids, twice, SIZE).numpy()
    np.testing.assert_array_equal(found[1:], drawn[1:4])
    expected = drawn[0].copy()
    expected[0, 0] = True
    np.testing.assert_array_equal(found[0], expected)
    assert not draw_masks(ids, table.clear(), SIZE).any()


@pytest.mark.parametrize("size", [32, 36, 112])
def test_the_decoder_ends_at_the_size_of_the_image(size):
    torch.manual_seed(0)
    deep = PatchEncoder("bottleneck", (1, 1, 1, 1), (8, 16, 32, 64), 8, 3).eval()
    levels = deep.pyramid(torch.rand(2, 1, size, size))
    decoder = Decoder([level.shape[1] for level in levels])
    logits = decoder(levels)
    assert logits.shape == (2, size, size)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_features_are_the_same_kept_or_computed_anew(encoder, monkeypatch):
    source, *_ = squares()
    rows = np.arange(100)[::-1].copy()
    kept = FrozenPyramid(encoder, source, rows)
    monkeypatch.setattr(unet, "CACHE", 0)
    anew = FrozenPyramid(encoder, source, rows)
    before = source.gathered.sum()
    places = np.array([3, 70, 3])
    for first, second in zip(kept(places), anew(places), strict=True):
        torch.testing.assert_close(first, second)
    assert source.gathered.sum() == before + len(places)
    assert kept.widths == [8, 8, 16]


def test_squares_are_found_and_more_data_helps(result):
    assert result.metrics["dice_positive_100"] > 0.6
    assert result.metrics["dice_positive_100"] > result.metrics["dice_positive_1"]


def test_the_figures_are_those_of_the_stored_dice(result, tmp_path):
    schemas.write_table(result.dice, tmp_path / "dice.parquet", schemas.DICE)
    schemas.write_table(result.subsets, tmp_path / "subsets.parquet", schemas.SUBSETS)
    write_results(result.metrics, tmp_path / "metrics.json")
    assert result.dice.height == SPLITS["test"] * 2 * (2 + 2 + 1)
    for init, prefix in (("pretrained", ""), ("random", "random_")):
        for percent in (1, 10, 100):
            own = result.dice.filter(init=init, percent=percent)
            run = result.metrics["runs"][init][str(percent)]
            assert run["dice"] == result.metrics[f"{prefix}dice_{percent}"] == pytest.approx(own["dice"].mean())
            positive = own.filter("positive")["dice"].mean()
            assert run["dice_positive"] == result.metrics[f"{prefix}dice_positive_{percent}"] == pytest.approx(positive)
            assert run["dice_interval"][0] <= run["dice"] <= run["dice_interval"][1]
    found = result.metrics["differences"]["random"]["10"]["dice"]
    assert found == pytest.approx(result.metrics["dice_10"] - result.metrics["random_dice_10"])
    assert result.metrics["dice_without_any_mask"] == 0.5
    assert "0 where only one" in result.metrics["empty_mask_rule"]


def test_examples_are_test_images_with_their_masks(result):
    source, *_, drawn = squares()
    shown = result.examples
    assert shown.images.shape == shown.truth.shape == shown.predicted.shape == (8, SIZE, SIZE)
    places = [next(k for k, own in enumerate(source.pixels) if np.array_equal(own, image)) for image in shown.images]
    assert min(places) >= SPLITS["train"] + SPLITS["validate"]
    np.testing.assert_array_equal(shown.truth, drawn[places])
    measured = dice(torch.from_numpy(shown.predicted), torch.from_numpy(shown.truth))
    kinds = ["mask"] * 6 + ["no mask"] * 2
    assert shown.captions == [f"{kind}, Dice {value:.2f}" for kind, value in zip(kinds, measured, strict=True)]


def test_the_same_again(encoder, result):
    again = evaluate(encoder)
    assert again.metrics == result.metrics
    assert again.dice.equals(result.dice)


def test_all_masks_empty_is_an_error(encoder):
    *_, table, _ = squares()
    with pytest.raises(EvaluationError, match="demo has no validate image with a mask"):
        evaluate(encoder, masks=table.clear())


def test_constant_scores_call_every_pixel_alike(encoder):
    """All is called where nothing can be told apart: images with a mask count a little, those without nothing."""
    config = SegmentationConfig(draws=1, fit=FitConfig(1, 4, 1e-9, 0.0), resamples=50)
    constant = PatchEncoder("basic", (1,), (8,), 8, 1).eval()
    for parameter in constant.parameters():
        torch.nn.init.zeros_(parameter)
    found = evaluate(constant, config=config, inits=("pretrained",))
    assert set(found.dice.filter(~pl.col("positive"))["dice"].unique()) <= {0.0, 1.0}
    assert found.metrics["dice_positive_100"] < 0.35
