"""Zero-shot classification: every image of a benchmark scored against the prompts of its findings.

Holds the scoring; what the scores are worth is `classification`'s. Nothing is trained and no test label is seen
but by the metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation.classification import summarise
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer, batches, check_prompts, locate
from pipeline.evaluation.statistics import RESAMPLES

BATCH = 64


@dataclass(frozen=True)
class ZeroShotResult:
    """Metrics as plain values for JSON, and the score of every labelled image (`schemas.SCORES`)."""

    metrics: dict[str, Any]
    scores: pl.DataFrame


def evaluate_zero_shot(
    scorer: Scorer,
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    prompts: Prompts,
    findings: Sequence[str],
    *,
    benchmark: str,
    prompt_style: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
    batch: int = BATCH,
) -> ZeroShotResult:
    """Score a benchmark's validate and test images zero-shot.

    Args:
        scorer: the model.
        source: the decoded images; a benchmark's image that is not among them is counted, not scored.
        images: `schemas.IMAGES` of the benchmark.
        labels: `schemas.LABELS` of the benchmark.
        prompts: N of them.
        findings: their N names, as in the labels.
        benchmark: its name, for errors.
        prompt_style: name | template | explanation, stated in the result.
        resamples: bootstrap resamples of the test patients.
        seed: of the resampling.
        batch: images scored at once.

    Raises:
        EvaluationError: there are no validate or test images, no finding can be scored, or a score is not finite.
    """
    check_prompts(prompts, findings, benchmark)
    _check_labels(labels, findings, benchmark)
    wanted = images.filter(pl.col("split").is_in(["validate", "test"]))
    found = locate(source, wanted)
    scores = join_labels(found, score_images(scorer, source, found, prompts, batch), labels, findings)
    summary = summarise(scores, images, benchmark, resamples, seed)
    summary["counts"]["images_not_decoded"] = wanted.height - found.height
    return ZeroShotResult(summary | {"prompt_style": prompt_style}, scores)


def _check_labels(labels: pl.DataFrame, findings: Sequence[str], benchmark: str) -> None:
    labelled = set(labels["finding"].unique())
    if missing := [name for name in findings if name not in labelled]:
        raise EvaluationError(f"{benchmark} has no label for {', '.join(missing)}: check its labels file.")


@torch.inference_mode()
def score_images(
    scorer: Scorer, source: ImageSource, found: pl.DataFrame, prompts: Prompts, batch: int = BATCH
) -> Tensor:
    """Probabilities of located images: [n, N] on the CPU."""
    rows = found["row"].to_numpy()
    return torch.cat([scorer.score(images, prompts).float().cpu() for images in batches(source, rows, batch)])


def join_labels(found: pl.DataFrame, scores: Tensor, labels: pl.DataFrame, findings: Sequence[str]) -> pl.DataFrame:
    """Scores [n, N] of located images as a table (`schemas.SCORES`), one row for every label there is."""
    known = pl.DataFrame({
        "image_id": found["image_id"].to_numpy().repeat(len(findings)),
        "finding": np.tile(np.array(findings, dtype=object), found.height),
        "score": scores.flatten().numpy(),
    }, schema={"image_id": pl.String, "finding": pl.String, "score": pl.Float32})  # fmt: skip
    people = found.select("image_id", "patient_id", "split")
    joined = known.join(people, on="image_id", maintain_order="left")
    return joined.join(labels, on=["image_id", "finding"], maintain_order="left").select(schemas.SCORES.names)
