"""Fine-tuned segmentation: a U-Net's decoder on a frozen image encoder, at 1, 10 and 100 % of the training images.

Validation images choose the step of the training, the threshold, and how small a mask counts as none; test images are
scored by the Dice coefficient of each image's mask, over all images and over the positive ones. Intervals are
`comparison`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from monai.losses.dice import DiceCELoss
from numpy.typing import NDArray
from torch import Tensor

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation import statistics
from pipeline.evaluation.comparison import Figures, Table, differences, headline, means
from pipeline.evaluation.encoders import BATCH, PRETRAINED, as_rows
from pipeline.evaluation.finetune import check_splits, images_used, split_counts, subset_notes
from pipeline.evaluation.fitting import FitConfig, fit
from pipeline.evaluation.scorer import ImageSource
from pipeline.evaluation.statistics import RESAMPLES, Values
from pipeline.evaluation.subsets import PERCENTS, LabelledImages, Rows, draw_subsets, draws_at, subset_places
from pipeline.evaluation.unet import Decoder, FrozenPyramid
from pipeline.images.geometry import masks_to_square
from pipeline.networks.backbone import PatchEncoder

THRESHOLDS = np.arange(1, 20) / 20  # of the probability that a pixel belongs to the mask
SMALLEST = np.array((0, 1, 2, 5, 10, 20, 40)) / 1000  # share of the image that a mask has at least: less is none
EMPTY_MASK_RULE = "Dice is 1 where neither the image nor the prediction has a mask, and 0 where only one of them has."
SHOWN_POSITIVE, SHOWN_NEGATIVE = 6, 2  # examples


@dataclass(frozen=True)
class SegmentationConfig:
    """How segmentation is fine-tuned.

    Attributes:
        draws: of each subset, so that its choice enters the intervals.
        fit: the training of the decoder.
        resamples: bootstrap resamples of the test patients.
        seed: of subsets, training and resampling.
    """

    draws: int = 5
    fit: FitConfig = field(default_factory=FitConfig)
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Examples:
    """Test images with their masks, and those predicted by the pre-trained encoder's model of all training images."""

    images: NDArray[np.uint8]  # [n, S, S]
    truth: NDArray[np.bool_]  # [n, S, S]
    predicted: NDArray[np.bool_]  # [n, S, S]
    captions: list[str]


@dataclass(frozen=True)
class SegmentationResult:
    """Metrics as plain values for JSON; `schemas.DICE` of the test images; `schemas.SUBSETS`; examples."""

    metrics: dict[str, Any]
    dice: pl.DataFrame
    subsets: pl.DataFrame
    examples: Examples


@dataclass(frozen=True)
class Rule:
    """How probabilities become a mask.

    Attributes:
        threshold: of a pixel's probability, 0 to 1.
        smallest: share of the image that a mask fills at least, 0 to 1: a smaller one is no mask.
    """

    threshold: float
    smallest: float

    def masks(self, probabilities: Tensor) -> Tensor:
        """Probabilities [n, S, S] to masks, bool [n, S, S]."""
        called = probabilities >= self.threshold
        return called & (_shares(called) >= self.smallest)[:, None, None]


@dataclass(frozen=True)
class Segmented:
    """One trained model on the n test images."""

    rule: Rule
    masks: NDArray[np.bool_]  # [n, S, S]
    dice: NDArray[np.float64]  # [n]


def evaluate_segmentation(
    encoders: Mapping[str, PatchEncoder],
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    masks: pl.DataFrame,
    config: SegmentationConfig,
    benchmark: str,
) -> SegmentationResult:
    """Train a decoder on each encoder and subset, and compare them on the test images.

    Args:
        encoders: by the name of how they start; "pretrained" is compared with each other.
        source: the decoded images.
        images: `schemas.IMAGES` of the benchmark.
        labels: `schemas.LABELS` of the benchmark, which the subsets are stratified by.
        masks: `schemas.MASKS` of the benchmark; an image without one has an empty mask.
        config: how.
        benchmark: its name, for errors.

    Raises:
        EvaluationError: a split lacks positive or negative images, or there is no test image with a mask.
        TrainingError: the loss is not finite.
    """
    labelled = LabelledImages.of(source, images, labels)
    check_splits(labelled, benchmark)
    size = source.gather(labelled.images["row"].head(1).to_numpy()).shape[-1]
    truth = draw_masks(labelled.images["image_id"], masks, size)
    test = labelled.places("test")
    for split in ("validate", "test"):
        if not truth[as_rows(labelled.places(split))].any():
            raise EvaluationError(
                f"{benchmark} has no {split} image with a mask: leave it out of params `finetune.segmentation`."
            )
    subsets = draw_subsets(labelled, config.draws, config.seed)
    runs = {
        (init, percent, draw): _segment(
            pyramid, truth, labelled, subset_places(labelled, subsets, draw, percent), config, config.seed + draw
        )
        for init, encoder in encoders.items()
        for pyramid in [FrozenPyramid(encoder, source, labelled.images["row"].to_numpy())]
        for percent in PERCENTS
        for draw in draws_at(percent, config.draws)
    }
    positive = truth[as_rows(test)].flatten(1).any(1).numpy()
    tested = labelled.images[test].with_columns(positive=pl.Series(positive))
    metrics = _summarise(runs, tested, config, images_used(subsets))
    metrics["counts"] = split_counts(labelled) | {"draws": config.draws, "resamples": config.resamples}
    metrics["counts"]["images_not_decoded"] = images.height - labelled.images.height
    metrics["notes"] = subset_notes(labelled, images_used(subsets)) + _lost(labelled, truth)
    shown = _examples(runs[PRETRAINED, 100, 0], tested, truth[as_rows(test)].numpy(), source)
    return SegmentationResult(metrics, _dice_table(runs, tested), subsets, shown)


def draw_masks(image_ids: pl.Series, masks: pl.DataFrame, size: int) -> Tensor:
    """The union of each image's masks, empty for images without any: bool [n, S, S]."""
    places = pl.DataFrame({"image_id": image_ids, "place": range(len(image_ids))})
    own = masks.join(places, on="image_id", maintain_order="left")
    drawn = torch.zeros(len(image_ids), size, size, dtype=torch.int32)
    drawn.index_add_(0, torch.tensor(own["place"].to_list(), dtype=torch.long), _square(own, size))
    return drawn > 0


def _square(masks: pl.DataFrame, size: int) -> Tensor:
    return torch.from_numpy(masks_to_square(masks, size)).int()


def _segment(
    pyramid: FrozenPyramid,
    truth: Tensor,
    labelled: LabelledImages,
    train: Rows,
    config: SegmentationConfig,
    seed: int,
) -> Segmented:
    """Train a decoder, choose its rule on the validation images, segment the test images."""
    validation, test = labelled.places("validate"), labelled.places("test")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        decoder = Decoder(pyramid.widths).to(pyramid.device)
    criterion = DiceCELoss(sigmoid=True, batch=True)  # over the batch, as most masks are empty

    def loss(batch: Rows) -> Tensor:
        masks = truth[as_rows(batch)].to(pyramid.device).float()
        total: Tensor = criterion(decoder(pyramid(batch))[:, None], masks[:, None])
        return total

    def chosen() -> tuple[Rule, float]:
        return choose_rule(_predict(decoder, pyramid, validation), truth[as_rows(validation)])

    fit(decoder, loss, train, lambda: chosen()[1], config.fit, seed)
    rule, _ = chosen()
    called = rule.masks(_predict(decoder, pyramid, test))
    return Segmented(rule, called.numpy(), dice(called, truth[as_rows(test)]))


@torch.no_grad()
def _predict(decoder: Decoder, pyramid: FrozenPyramid, places: Rows) -> Tensor:
    """Probabilities of the pixels of some images: [B, S, S] on the CPU."""
    starts = range(0, len(places), BATCH)
    return torch.cat([torch.sigmoid(decoder(pyramid(places[start : start + BATCH]))).cpu() for start in starts])


def choose_rule(probabilities: Tensor, truth: Tensor) -> tuple[Rule, float]:
    """The rule of THRESHOLDS and SMALLEST that is worth most on some images, and its worth.

    Its worth is half the mean Dice of all images and half that of the positive ones: by the mean over all images alone,
    a model that is not yet sure is best off with no mask anywhere. Of equals the lowest threshold counts, then the
    smallest mask.

    Args:
        probabilities: [n, S, S].
        truth: bool [n, S, S], not all of them empty.
    """
    positive = truth.flatten(1).any(1).numpy()
    table = np.stack(
        [
            _worth(dice(called, truth), _shares(called).numpy(), positive)
            for called in (probabilities >= threshold for threshold in THRESHOLDS)
        ]
    )  # [T, A]
    row, column = np.unravel_index(int(np.argmax(np.round(table, 9))), table.shape)
    return Rule(float(THRESHOLDS[row]), float(SMALLEST[column])), float(table[row, column])


def _worth(values: Values, shares: Values, positive: NDArray[np.bool_]) -> Values:
    """Worth of each of SMALLEST, where masks give Dice [n] and fill shares [n] of their images: [A]."""
    kept = shares >= SMALLEST[:, None]  # [A, n]
    ruled = np.where(kept, values, 1.0 - positive)  # without a mask Dice is 1 or 0
    worth: Values = (ruled.mean(axis=1) + ruled[:, positive].mean(axis=1)) / 2
    return worth


def _shares(masks: Tensor) -> Tensor:
    """Share of its image that each mask fills: bool [n, S, S] to float64 [n]."""
    return masks.flatten(1).double().mean(1)


def dice(called: Tensor, truth: Tensor) -> NDArray[np.float64]:
    """Dice coefficient of each image's masks, bool [n, S, S], by EMPTY_MASK_RULE: [n] in [0, 1]."""
    called, truth = called.flatten(1), truth.flatten(1)
    hit, area = (called & truth).sum(1).double(), (called.sum(1) + truth.sum(1)).double()
    return torch.where(area > 0, 2 * hit / area.clamp(min=1), 1.0).numpy()


Runs = Mapping[tuple[str, int, int], Segmented]  # (way to start, percentage, draw) -> the model's test masks


def _summarise(runs: Runs, tested: pl.DataFrame, config: SegmentationConfig, used: Mapping[int, int]) -> dict[str, Any]:
    counts = statistics.resample_patients(tested["patient_id"], config.resamples, config.seed)
    positive = tested["positive"].to_numpy()
    everywhere, on_positive = _table(runs, np.ones_like(positive), counts), _table(runs, positive, counts)
    described = {
        init: {
            str(percent): {
                "dice": figures.mean,
                "dice_interval": figures.interval(config.seed),
                "dice_positive": on_positive[init][percent].mean,
                "dice_positive_interval": on_positive[init][percent].interval(config.seed),
                "images": used[percent],
                "per_seed": figures.values.tolist(),
                "threshold": float(np.mean([one.rule.threshold for one in _of(runs, init, percent)])),
                "smallest_mask": float(np.mean([one.rule.smallest for one in _of(runs, init, percent)])),
            }
            for percent, figures in by_percent.items()
        }
        for init, by_percent in everywhere.items()
    }
    return {
        **headline(means(everywhere), "dice"),
        **headline(means(on_positive), "dice_positive"),
        "runs": described,
        "differences": differences(everywhere, "dice", config.seed),
        "differences_positive": differences(on_positive, "dice", config.seed),
        "dice_without_any_mask": float(1 - positive.mean()),
        "empty_mask_rule": EMPTY_MASK_RULE,
    }


def _of(runs: Runs, init: str, percent: int) -> list[Segmented]:
    return [one for run, one in runs.items() if run[:2] == (init, percent)]


def _table(runs: Runs, kept: NDArray[np.bool_], counts: statistics.Counts) -> Table:
    """Mean Dice over the kept test images, and in every resample."""

    def resampled(one: Segmented) -> Values:
        return statistics.resampled_mean(one.dice[kept], counts[:, kept])

    return {
        init: {
            percent: Figures(
                np.array([one.dice[kept].mean() for one in own]), np.stack([resampled(one) for one in own])
            )
            for percent in PERCENTS
            for own in [_of(runs, init, percent)]
        }
        for init in dict.fromkeys(init for init, _, _ in runs)
    }


def _lost(labelled: LabelledImages, truth: Tensor) -> list[str]:
    """Whether masks are too small for the squares."""
    named = (labelled.labels == 1).any(axis=1)
    lost = int((named & ~truth.flatten(1).any(1).numpy()).sum())
    return [f"{lost} images have a mask too small for their {truth.shape[-1]} px squares: it is empty."] if lost else []


def _examples(one: Segmented, tested: pl.DataFrame, truth: NDArray[np.bool_], source: ImageSource) -> Examples:
    """Positive images evenly spread from the best to the worst Dice, then negative ones likewise."""
    ranked = tested.with_columns(dice=pl.Series(one.dice), place=pl.int_range(pl.len())).sort(
        "dice", "image_id", descending=[True, False]
    )
    shown = []
    for positive, count in ((True, SHOWN_POSITIVE), (False, SHOWN_NEGATIVE)):
        own = ranked.filter(pl.col("positive") == positive)
        spread = np.unique(np.linspace(0, own.height - 1, min(count, own.height)).round().astype(np.int64))
        shown.append(own[spread])
    table = pl.concat(shown)
    places = table["place"].to_numpy()
    captions = [f"{'mask' if row['positive'] else 'no mask'}, Dice {row['dice']:.2f}" for row in table.to_dicts()]
    return Examples(source.gather(table["row"].to_numpy()).numpy(), truth[places], one.masks[places], captions)


def _dice_table(runs: Runs, tested: pl.DataFrame) -> pl.DataFrame:
    """schemas.DICE."""
    tables = [
        tested.select(
            "image_id",
            "patient_id",
            "positive",
            init=pl.lit(init),
            percent=pl.lit(percent, pl.Int16),
            subset=pl.lit(draw, pl.Int32),
            dice=pl.Series(one.dice),
        )
        for (init, percent, draw), one in runs.items()
    ]
    return pl.concat(tables).select(schemas.DICE.names)
