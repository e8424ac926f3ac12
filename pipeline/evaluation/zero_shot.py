"""Zero-shot classification: every image of a benchmark scored against the prompts of its findings, in every style.

Holds the scoring; what the scores are worth is `classification`'s. Nothing is trained and no test label is seen
but by the metrics. One style of prompt is the headline; the others say how much depends on the wording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation.classification import headline, summarise
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer, batches, check_prompts, locate
from pipeline.evaluation.statistics import RESAMPLES

BATCH = 64


@dataclass(frozen=True)
class ZeroShotResult:
    """Metrics as plain values for JSON, and the headline style's score of every labelled image (`schemas.SCORES`)."""

    metrics: dict[str, Any]
    scores: pl.DataFrame


def evaluate_zero_shot(
    scorer: Scorer,
    source: ImageSource,
    images: pl.DataFrame,
    labels: pl.DataFrame,
    prompts: Mapping[str, Prompts],
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
        prompts: style (name | template | explanation) -> N of them. Styles are asked one after the other, because
            queries may see each other.
        findings: their N names, as in the labels.
        benchmark: its name, for errors.
        prompt_style: the one of the styles whose metrics are the headline.
        resamples: bootstrap resamples of the test patients.
        seed: of the resampling.
        batch: images scored at once.

    Raises:
        EvaluationError: there are no validate or test images, no finding can be scored, or a score is not finite.
    """
    for asked in prompts.values():
        check_prompts(asked, findings, benchmark)
    _check_labels(labels, findings, benchmark)
    wanted = images.filter(pl.col("split").is_in(["validate", "test"]))
    found = locate(source, wanted)
    scored = score_images(scorer, source, found, prompts, batch)
    tables = {style: join_labels(found, scores, labels, findings) for style, scores in scored.items()}
    summary = summarise(tables[prompt_style], images, benchmark, resamples, seed)
    summary["counts"]["images_not_decoded"] = wanted.height - found.height
    styles = {style: headline(table, benchmark, resamples, seed) for style, table in tables.items()}
    by_style = {style: one.metrics for style, one in styles.items()}
    sensitivity = style_sensitivity({style: one.aurocs for style, one in styles.items()})
    described = {"prompt_style": prompt_style, "by_prompt_style": by_style, "prompt_sensitivity": sensitivity}
    return ZeroShotResult(summary | described, tables[prompt_style])


def style_sensitivity(aurocs: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """How much depends on the wording of the prompts.

    Args:
        aurocs: style -> finding -> AUROC, of the same findings.

    Returns:
        `auroc_range`, the largest difference between two styles' macro AUROC, and per finding (`per_class`) the largest
        difference between its AUROC in two styles.
    """
    table = np.array([list(row.values()) for row in aurocs.values()])  # [styles, C]
    findings = next(iter(aurocs.values()))
    spread = dict(zip(findings, np.ptp(table, axis=0).tolist(), strict=True))
    return {"auroc_range": float(np.ptp(table.mean(axis=1))), "per_class": spread}


def _check_labels(labels: pl.DataFrame, findings: Sequence[str], benchmark: str) -> None:
    labelled = set(labels["finding"].unique())
    if missing := [name for name in findings if name not in labelled]:
        raise EvaluationError(f"{benchmark} has no label for {', '.join(missing)}: check its labels file.")


def score_images(
    scorer: Scorer, source: ImageSource, found: pl.DataFrame, prompts: Mapping[str, Prompts], batch: int = BATCH
) -> dict[str, Tensor]:
    """Probabilities of located images by style of prompt: [n, N] each, on the CPU. Every image is read once."""
    parts: dict[str, list[Tensor]] = {style: [] for style in prompts}
    with torch.inference_mode():
        for images in batches(source, found["row"].to_numpy(), batch):
            for style, asked in prompts.items():
                parts[style].append(scorer.score(images, asked).float().cpu())
    return {style: torch.cat(scores) for style, scores in parts.items()}


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
