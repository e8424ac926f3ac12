"""Fine-tuned classification: a linear head on an image encoder, at 1, 10 and 100 % of the training images.

Training images fit the head, validation images choose its regularisation (or the best step of a full fine-tuning), test
images are scored. Intervals are `comparison`'s: they cover the test patients and the choice of the subset.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation import metrics, statistics
from pipeline.evaluation.comparison import Figures, Table, differences, headline, means
from pipeline.evaluation.encoders import pooled_features
from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.heads import best_linear_head, tune_encoder
from pipeline.evaluation.metrics import Decision
from pipeline.evaluation.scorer import ImageSource
from pipeline.evaluation.statistics import RESAMPLES, Counts, Values
from pipeline.evaluation.subsets import PERCENTS, LabelledImages, Rows, draw_subsets, draws_at, subset_places
from pipeline.networks.backbone import PatchEncoder
from pipeline.training.augmentation import AugmentConfig

FEW = 30  # fewer positive or negative test images than this are pointed out
Train = Callable[[Rows, int], NDArray[np.float32]]  # training images and a seed to the probabilities of all images


@dataclass(frozen=True)
class FinetuneConfig:
    """What is fine-tuned, and how.

    Attributes:
        encoder: "frozen" trains a linear head on its pooled features, "full" trains the encoder with the head.
        draws: of each subset, so that its choice enters the intervals.
        fit: the training of the full fine-tuning.
        augment: of its training images.
        resamples: bootstrap resamples of the test patients.
        seed: of subsets, training and resampling.
    """

    encoder: Literal["frozen", "full"] = "frozen"
    draws: int = 5
    fit: FitConfig = field(default_factory=FitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class FinetuneResult:
    """Metrics as plain values for JSON; `schemas.FINETUNED_SCORES` of the test images; `schemas.SUBSETS`."""

    metrics: dict[str, Any]
    scores: pl.DataFrame
    subsets: pl.DataFrame


@dataclass(frozen=True)
class _TestImages:
    """What every model is scored on."""

    places: Rows  # [n]
    scored: list[int]  # findings with positive and negative test images
    counts: Counts  # [R, n]


def evaluate_finetuned(
    encoders: Mapping[str, PatchEncoder],
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    config: FinetuneConfig,
    benchmark: str,
) -> FinetuneResult:
    """Fine-tune each encoder on each subset and compare them on the test images.

    A finding without a positive or a negative test image is left out of the macro AUROC and named in the notes.

    Args:
        encoders: by the name of how they start; "pretrained" is compared with each other.
        source: the decoded images.
        images: `schemas.IMAGES` of the benchmark.
        labels: `schemas.LABELS` of the benchmark.
        config: how.
        benchmark: its name, for errors.

    Raises:
        EvaluationError: a split has no images, or no finding has both positive and negative images in it.
    """
    labelled = LabelledImages.of(source, images, labels)
    check_splits(labelled, benchmark)
    subsets = draw_subsets(labelled, config.draws, config.seed)
    test = _test_images(labelled, config)
    runs = {
        (init, percent, draw): train(subset_places(labelled, subsets, draw, percent), config.seed + draw)
        for init, encoder in encoders.items()
        for train in [_trainer(encoder, source, labelled, config)]
        for percent in PERCENTS
        for draw in draws_at(percent, config.draws)
    }
    scores = {run: probabilities[test.places] for run, probabilities in runs.items()}  # [n, C]
    summary = _summarise(labelled, test, scores, subsets, config)
    summary["counts"]["images_not_decoded"] = images.height - labelled.images.height
    return FinetuneResult(summary, _score_table(labelled, test.places, scores), subsets)


def check_splits(labelled: LabelledImages, benchmark: str) -> None:
    """All three splits have a finding with positive and negative images.

    Raises:
        EvaluationError: one has not.
    """
    for split in ("train", "validate", "test"):
        own = labelled.labels[labelled.places(split)]
        if not ((own == 1).any(axis=0) & (own == 0).any(axis=0)).any():
            raise EvaluationError(
                f"{benchmark} has no finding with positive and negative images in its {split} split, so nothing can be "
                "fine-tuned: give it such images, or leave it out of params `finetune`."
            )


def _trainer(encoder: PatchEncoder, source: ImageSource, labelled: LabelledImages, config: FinetuneConfig) -> Train:
    validation = labelled.places("validate")
    if config.encoder == "frozen":
        features = pooled_features(encoder, source, labelled.images["row"].to_numpy())  # [n, d], once for all runs
        return lambda train, _: best_linear_head(features, labelled.labels, train, validation)
    return lambda train, seed: tune_encoder(
        encoder, source, labelled, train, validation, config.fit, config.augment, seed
    )


def _test_images(labelled: LabelledImages, config: FinetuneConfig) -> _TestImages:
    places = labelled.places("test")
    own = labelled.labels[places]
    scored = np.flatnonzero((own == 1).any(axis=0) & (own == 0).any(axis=0)).tolist()
    patients = labelled.images["patient_id"].gather(places)
    return _TestImages(places, scored, statistics.resample_patients(patients, config.resamples, config.seed))


Scores = Mapping[tuple[str, int, int], NDArray[np.float32]]  # (way to start, percentage, draw) -> [n, C]


def _summarise(
    labelled: LabelledImages, test: _TestImages, scores: Scores, subsets: pl.DataFrame, config: FinetuneConfig
) -> dict[str, Any]:
    models = {run: _measure(labelled, test, own) for run, own in scores.items()}
    table = _table(models)
    used = images_used(subsets)
    names = [labelled.findings[column] for column in test.scored]
    runs = {
        init: {
            str(percent): {
                "auroc": figures.mean,
                "auroc_interval": figures.interval(config.seed),
                "per_seed": figures.values.tolist(),
                "images": used[percent],
                "per_class": dict(zip(names, _per_class(models, init, percent), strict=True)),
            }
            for percent, figures in by_percent.items()
        }
        for init, by_percent in table.items()
    }
    return {
        **headline(means(table), "auroc"),
        **headline(_means(models, "f1"), "f1_oracle"),
        **headline(_means(models, "accuracy"), "accuracy_oracle"),
        "encoder": config.encoder,
        "runs": runs,
        "differences": differences(table, "auroc", config.seed),
        "counts": split_counts(labelled) | {"draws": config.draws, "resamples": config.resamples},
        "notes": [*subset_notes(labelled, used), *_notes(labelled, test)],
    }


@dataclass(frozen=True)
class _Measured:
    """One model on the test images."""

    aurocs: NDArray[np.float64]  # [findings]
    resampled: Values  # [R], their macro mean
    oracles: list[Decision]  # per finding, at the threshold that is best on these very images


def _measure(labelled: LabelledImages, test: _TestImages, scores: NDArray[np.float32]) -> _Measured:
    aurocs, resampled, oracles = [], [], []
    for column in test.scored:
        known = np.flatnonzero(labelled.labels[test.places, column] >= 0)
        truth, own = labelled.labels[test.places[known], column], scores[known, column]
        aurocs.append(metrics.auroc(truth, own))
        resampled.append(statistics.resampled_auroc(truth, own, test.counts[:, known]))
        oracles.append(metrics.decide(truth, own, metrics.best_threshold(truth, own)))
    return _Measured(np.array(aurocs), statistics.macro(resampled), oracles)


Models = Mapping[tuple[str, int, int], _Measured]  # as Scores


def _grouped(models: Models) -> dict[str, dict[int, list[_Measured]]]:
    """Those of all subsets, by way to start and percentage."""
    return {
        init: {percent: [one for run, one in models.items() if run[:2] == (init, percent)] for percent in PERCENTS}
        for init in dict.fromkeys(init for init, _, _ in models)
    }


def _table(models: Models) -> Table:
    return {
        init: {
            percent: Figures(np.array([one.aurocs.mean() for one in own]), np.stack([one.resampled for one in own]))
            for percent, own in by_percent.items()
        }
        for init, by_percent in _grouped(models).items()
    }


def _means(models: Models, metric: str) -> dict[str, dict[int, float]]:
    """Mean over findings and subsets of what an oracle threshold gives."""
    return {
        init: {
            percent: float(np.mean([getattr(oracle, metric) for one in own for oracle in one.oracles]))
            for percent, own in by_percent.items()
        }
        for init, by_percent in _grouped(models).items()
    }


def _per_class(models: Models, init: str, percent: int) -> list[float]:
    """Mean AUROCs over the subsets: [findings]."""
    mean: list[float] = np.mean([one.aurocs for one in _grouped(models)[init][percent]], axis=0).tolist()
    return mean


def images_used(subsets: pl.DataFrame) -> dict[int, int]:
    """How many images the subsets of each percentage hold, the mean over the draws."""
    draws = subsets["subset"].n_unique()
    return {percent: round(subsets.filter(pl.col("percent") <= percent).height / draws) for percent in PERCENTS}


def split_counts(labelled: LabelledImages) -> dict[str, int]:
    """Decoded images of each split, and test patients."""
    sizes = {f"{split}_images": len(labelled.places(split)) for split in ("train", "validate", "test")}
    return sizes | {"test_patients": labelled.images.filter(pl.col("split") == "test")["patient_id"].n_unique()}


def subset_notes(labelled: LabelledImages, used: Mapping[int, int]) -> list[str]:
    """How large the subsets really are where whole patients, and both kinds of image, make them larger."""
    total = len(labelled.places("train"))
    return [
        f"{percent} % of {total} training images is {percent * total / 100:g}; {used[percent]} were used (mean over "
        "draws): whole patients, and a positive and a negative image of each finding that has them."
        for percent in PERCENTS[:-1]
        if used[percent] > -(-percent * total // 100)
    ]


def _notes(labelled: LabelledImages, test: _TestImages) -> list[str]:
    """What a reader must know before quoting the figures."""
    own = labelled.labels[test.places]
    few = [
        name for column, name in enumerate(labelled.findings)
        if column in test.scored and min((own[:, column] == label).sum() for label in (0, 1)) < FEW
    ]  # fmt: skip
    missing = [name for column, name in enumerate(labelled.findings) if column not in test.scored]
    notes = []
    if few:
        notes.append(
            f"Fewer than {FEW} positive or negative test images, so the figures mean little: {', '.join(few)}."
        )
    if missing:
        notes.append(f"Left out, without a positive or a negative test image: {', '.join(missing)}.")
    return notes


def _score_table(labelled: LabelledImages, places: Rows, scores: Scores) -> pl.DataFrame:
    """schemas.FINETUNED_SCORES, a row for every label there is."""
    findings = labelled.findings
    images = labelled.images[places].select("image_id", "patient_id")
    pairs = images.select(pl.all().repeat_by(len(findings)).explode()).with_columns(
        finding=pl.Series(findings * images.height, dtype=pl.String),
        label=pl.Series(labelled.labels[places].ravel()),
    )
    tables = [
        pairs.with_columns(
            init=pl.lit(init),
            percent=pl.lit(percent, pl.Int16),
            subset=pl.lit(draw, pl.Int32),
            score=pl.Series(own.ravel(), dtype=pl.Float32),
        ).filter(pl.col("label") >= 0)
        for (init, percent, draw), own in scores.items()
    ]
    return pl.concat(tables).select(schemas.FINETUNED_SCORES.names)
