"""Zero-shot grounding: do the heat maps lie on the boxes that radiologists drew?

For every image and finding with boxes (several are one region, their union) the finding's heat map is upsampled,
divided by its maximum and thresholded. Images without the finding take no part, as in the papers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pipeline.errors import EvaluationError
from pipeline.evaluation import statistics
from pipeline.evaluation.overlap import (
    METRICS,
    THRESHOLDS,
    Floats,
    Overlaps,
    draw_contents,
    draw_regions,
    join_overlaps,
    measure,
)
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer, check_prompts, locate
from pipeline.evaluation.statistics import RESAMPLES, Counts, Values
from pipeline.images.geometry import boxes_to_square

BATCH = 64
FEW = 30  # fewer image-finding pairs than this are pointed out
ORACLE = ("iou_oracle", "dice_oracle")
RELEASED = tuple(f"{name}_released" for name in METRICS)
CHANCE = tuple(f"{name}_chance" for name in METRICS)


@dataclass(frozen=True)
class BoxedImages:
    """The tables of a benchmark with boxes, by their schemas: IMAGES, LABELS (for severities), BOXES, IMAGE_INDEX."""

    images: pl.DataFrame
    labels: pl.DataFrame
    boxes: pl.DataFrame
    index: pl.DataFrame


@dataclass(frozen=True)
class GroundingResult:
    """Metrics as plain values for JSON; one row per image and finding with boxes; their heat maps [P, g, g]."""

    metrics: dict[str, Any]
    pairs: pl.DataFrame
    maps: NDArray[np.float32]


def evaluate_grounding(
    scorer: Scorer,
    source: ImageSource,
    boxed: BoxedImages,
    prompts: Prompts,
    findings: Sequence[str],
    *,
    benchmark: str,
    prompt_style: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch: int = BATCH,
) -> GroundingResult:
    """Ground the findings of a benchmark's validate and test images that have boxes.

    Args:
        scorer: the model.
        source: the decoded images.
        boxed: the benchmark.
        prompts: N of them.
        findings: their N names, as in the boxes.
        benchmark: its name, for errors.
        prompt_style: name | template | explanation, stated in the result.
        resamples: bootstrap resamples of the test patients.
        seed: of the resampling.
        batch: images looked at at once.

    Raises:
        EvaluationError: no finding has boxes on enough decoded test images, or a heat map is negative or not finite.
    """
    check_prompts(prompts, findings, benchmark)
    pairs = _pairs(source, boxed, findings)
    not_scored = _not_scored(pairs, findings, benchmark)
    pairs = pairs.filter(~pl.col("finding").is_in(list(not_scored)))
    maps, overlaps = _look(scorer, source, pairs, boxed, prompts, batch)
    metrics, grounded = summarise(pairs, overlaps, resamples, seed)
    return GroundingResult(metrics | {"prompt_style": prompt_style, "not_scored": not_scored}, grounded, maps)


def _pairs(source: ImageSource, boxed: BoxedImages, findings: Sequence[str]) -> pl.DataFrame:
    """One row per decoded image and finding with boxes, images in the order of the source."""
    prompted = pl.DataFrame({"finding": list(findings), "prompt": range(len(findings))})
    named = boxed.boxes.select("image_id", "finding").unique().join(prompted, on="finding")
    images = boxed.images.filter(pl.col("split").is_in(["validate", "test"]))
    found = locate(source, images.join(named, on="image_id")).sort("row", "prompt")
    severities = boxed.labels.select("image_id", "finding", "severity")
    sizes = boxed.index.select("image_id", stored_width="width", stored_height="height")
    described = found.join(severities, on=["image_id", "finding"], how="left", maintain_order="left")
    return described.join(sizes, on="image_id", maintain_order="left")


def _not_scored(pairs: pl.DataFrame, findings: Sequence[str], benchmark: str) -> dict[str, str]:
    """Findings without test boxes or without others to choose their threshold on, and why."""
    reasons = {}
    for name in findings:
        own = pairs.filter(finding=name)
        tested = own.filter(split="test")
        if not tested.height:
            reasons[name] = "no box on a decoded test image"
        elif tested.height == own.height and tested["patient_id"].n_unique() < 2:
            reasons[name] = "boxes of one patient only, hence no other boxes to choose a threshold on"
    if len(reasons) == len(findings):
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise EvaluationError(
            f"{benchmark} cannot be grounded ({listed}): check its boxes, or leave it out of `grounding`."
        )
    return reasons


@torch.inference_mode()
def _look(
    scorer: Scorer, source: ImageSource, pairs: pl.DataFrame, boxed: BoxedImages, prompts: Prompts, batch: int
) -> tuple[NDArray[np.float32], Overlaps]:
    """Heat maps [P, g, g] of all pairs, and how they meet their regions."""
    size = source.gather(pairs["row"].head(1).to_numpy()).shape[-1]
    boxes = boxes_to_square(boxed.boxes, boxed.index, size)
    maps, overlaps = [], []
    for part in pairs.iter_slices(batch):
        rows, image = np.unique(part["row"].to_numpy(), return_inverse=True)
        heat = scorer.heat_maps(source.gather(rows), prompts).float().cpu()  # [B, N, g, g]
        maps.append(heat[image, part["prompt"].to_list()])  # [P, g, g]
        contents = draw_contents(part["stored_width"].to_numpy(), part["stored_height"].to_numpy(), size)
        overlaps.append(measure(maps[-1], draw_regions(part, boxes, size), contents))
    return torch.cat(maps).numpy(), join_overlaps(overlaps)


def summarise(
    pairs: pl.DataFrame, overlaps: Overlaps, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Metrics of grounded pairs: macro over the findings, each a mean over its test pairs.

    The threshold is the one of THRESHOLDS with the best mean IoU on a finding's validation pairs; for a finding
    without any, each half of its test patients takes it from the other half (ChestX-ray14's boxes are all on images of
    its test list). `_oracle` is chosen on the test pairs.

    Args:
        pairs: P rows with image_id, patient_id, split, finding and severity.
        overlaps: of the same pairs.
        resamples: bootstrap resamples of the test patients.
        seed: of the resampling.

    Returns:
        Plain values for JSON, and the pairs with their METRICS, threshold and chance.
    """
    grounded = _grounded(pairs, overlaps)
    test = grounded.filter(pl.col("split") == "test")
    means = test.group_by("finding", maintain_order=True).agg(pl.mean(*METRICS, *ORACLE, *RELEASED, *CHANCE))
    resampled = _resampled(test, statistics.resample_patients(test["patient_id"], resamples, seed))
    metrics = {
        **_nested(means.drop("finding").mean().row(0, named=True)),
        "per_class": _per_class(test, means, resampled),
        "intervals": {name: statistics.percentile_interval(statistics.macro([*of.values()]))
                      for name, of in resampled.items()},
        "by_severity": _by_severity(test),
        "counts": _counts(grounded, test, resamples),
        "notes": _notes(grounded),
    }  # fmt: skip
    return metrics, grounded.drop(*ORACLE, *RELEASED)


def _grounded(pairs: pl.DataFrame, overlaps: Overlaps) -> pl.DataFrame:
    """The pairs with all their metrics as columns."""
    chosen, best = _steps(pairs, overlaps.iou)  # [P] each
    every = np.arange(pairs.height)
    return pairs.select("image_id", "patient_id", "split", "finding", "severity").with_columns(
        threshold=THRESHOLDS[chosen],
        pointing_game=overlaps.pointing_game,
        iou=overlaps.iou[every, chosen],
        dice=overlaps.dice[every, chosen],
        iou_oracle=overlaps.iou[every, best],
        dice_oracle=overlaps.dice[every, best],
        **dict(zip(RELEASED, overlaps.released.T, strict=True)),
        **dict(zip(CHANCE, overlaps.chance.T, strict=True)),
    )


def _steps(pairs: pl.DataFrame, iou: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of THRESHOLDS each pair takes, and which the oracle takes: [P] each."""
    chosen, oracle = np.zeros(pairs.height, np.intp), np.zeros(pairs.height, np.intp)
    test = (pairs["split"] == "test").to_numpy()
    finding, patient = pairs["finding"].to_numpy(), pairs["patient_id"].to_numpy()
    for name in pairs["finding"].unique(maintain_order=True):
        own = finding == name
        oracle[own] = _best(iou[own & test])
        if (own & ~test).any():
            chosen[own] = _best(iou[own & ~test])
        else:
            half = own.copy()
            half[own] = np.unique(patient[own], return_inverse=True)[1] % 2 == 0
            chosen[half], chosen[own & ~half] = _best(iou[own & ~half]), _best(iou[half])
    return chosen, oracle


def _best(iou: Floats) -> int:
    """The threshold with the best mean IoU of some pairs; of equals, the lowest, whatever rounding says."""
    return int(np.argmax(np.round(iou.mean(axis=0), 12)))


def _nested(row: dict[str, float]) -> dict[str, Any]:
    """Mean metrics, those of chance and of the released code under keys of their own."""
    return {
        **{name: row[name] for name in (*METRICS, *ORACLE)},
        "chance": {name: row[f"{name}_chance"] for name in METRICS},
        "released": {name: row[f"{name}_released"] for name in METRICS},
    }


def _resampled(test: pl.DataFrame, counts: Counts) -> dict[str, dict[str, Values]]:
    """Metric -> finding -> its mean in every resample [R]: patients resampled, thresholds held fixed."""
    findings = test["finding"].to_numpy()
    rows = {name: np.flatnonzero(findings == name) for name in test["finding"].unique(maintain_order=True)}
    return {
        metric: {
            name: statistics.resampled_mean(test[metric].to_numpy()[own], counts[:, own]) for name, own in rows.items()
        }
        for metric in (*METRICS, *ORACLE)
    }


def _per_class(test: pl.DataFrame, means: pl.DataFrame, resampled: dict[str, dict[str, Values]]) -> dict[str, Any]:
    sizes = dict(test.group_by("finding").len().iter_rows())
    thresholds = {name: sorted(rows["threshold"].unique()) for (name,), rows in test.group_by("finding")}
    return {
        (name := row["finding"]): _nested(row) | {
            "intervals": {metric: statistics.percentile_interval(resampled[metric][name]) for metric in METRICS},
            "pairs": sizes[name],
            "thresholds": thresholds[name],
        }
        for row in means.iter_rows(named=True)
    }  # fmt: skip


def _by_severity(test: pl.DataFrame) -> dict[str, Any]:
    """Means over the pairs of each severity; empty where severities are not known."""
    known = test.drop_nulls("severity").sort("severity").group_by("severity", maintain_order=True)
    means = known.agg(pl.mean(*METRICS, *ORACLE, *RELEASED, *CHANCE), pairs=pl.len())
    return {row["severity"]: _nested(row) | {"pairs": row["pairs"]} for row in means.iter_rows(named=True)}


def _counts(grounded: pl.DataFrame, test: pl.DataFrame, resamples: int) -> dict[str, int]:
    return {
        "pairs": test.height,
        "images": test["image_id"].n_unique(),
        "patients": test["patient_id"].n_unique(),
        "validation_pairs": grounded.height - test.height,
        "resamples": resamples,
    }


def _notes(grounded: pl.DataFrame) -> list[str]:
    """What a reader must know before quoting the figures."""
    sizes = grounded.group_by("finding", maintain_order=True).agg(
        test=(pl.col("split") == "test").sum(), validation=(pl.col("split") != "test").sum()
    )
    few = sizes.filter(pl.col("test").is_between(1, FEW - 1))["finding"].to_list()
    crossed = sizes.filter(pl.col("test") > 0, pl.col("validation") == 0)["finding"].to_list()
    notes = []
    if few:
        notes.append(f"Fewer than {FEW} test images with boxes, so the figures mean little: {', '.join(few)}.")
    if crossed:
        notes.append(
            f"No validation boxes; each half of the test patients took the other's threshold: {', '.join(crossed)}."
        )
    return notes
