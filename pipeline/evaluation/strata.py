"""Metrics on parts of the test images: the positives of each severity, and each sex, age group and view."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.evaluation import metrics, statistics
from pipeline.evaluation.score_table import ScoreTable
from pipeline.evaluation.statistics import Counts, known_mean
from pipeline.schemas import SEVERITIES

AGE_GROUPS = ("under 40", "40 to 59", "60 to 79", "80 and over")


@dataclass(frozen=True)
class PartScores:
    """AUROC on a part of the test set, over the findings with both kinds of image in it."""

    aurocs: dict[str, float]  # finding -> AUROC
    interval: list[float] | None  # of their mean
    positives: int  # image-finding pairs
    images: int


def severity_parts(test: ScoreTable, counts: Counts) -> dict[str, PartScores]:
    """The positives of each severity against all negatives; empty where severities are not known."""
    negative, positive = test.labels == 0, test.labels == 1
    return {
        severity: _score_part(test, negative | (positive & (test.severities == code)), counts)
        for code, severity in enumerate(SEVERITIES)
        if (positive & (test.severities == code)).any()
    }


def by_severity(parts: dict[str, PartScores]) -> dict[str, Any]:
    """AUROC at each severity, per finding and macro."""
    return {name: {**part.aurocs, "macro": known_mean(list(part.aurocs.values()))} for name, part in parts.items()}


def severity_counts(parts: dict[str, PartScores]) -> dict[str, Any]:
    """How much stands behind the macro AUROC of each severity."""
    return {name: {"positives": part.positives, "macro_interval": part.interval} for name, part in parts.items()}


def subgroups(test: ScoreTable, images: pl.DataFrame, counts: Counts) -> dict[str, Any]:
    """Macro AUROC within each sex, age group and view that the dataset names."""
    known = images.unique("image_id").select("image_id", "sex", "view", age=_age_group())
    rows = pl.DataFrame({"image_id": test.image_ids}).join(known, on="image_id", how="left", maintain_order="left")
    return {
        column: {
            group: _subgroup(_score_part(test, _members(rows[column], group) & (test.labels >= 0), counts))
            for group in sorted(rows[column].drop_nulls().unique())
        }
        for column in ("sex", "age", "view")
        if rows[column].count()
    }


def _subgroup(part: PartScores) -> dict[str, Any]:
    return {
        "auroc": known_mean(list(part.aurocs.values())),
        "auroc_interval": part.interval,
        "n": part.images,
        "findings": len(part.aurocs),
    }


def _members(values: pl.Series, group: str) -> NDArray[np.bool_]:
    return values.eq_missing(group).to_numpy()[:, None]  # [n, 1]


def _age_group() -> pl.Expr:
    return pl.col("age").cut([40, 60, 80], labels=list(AGE_GROUPS), left_closed=True).cast(pl.String)


def _score_part(test: ScoreTable, keep: NDArray[np.bool_], counts: Counts) -> PartScores:
    """AUROC over some of the (image, finding) pairs [n, C]."""
    aurocs, resampled = {}, []
    for column, name in enumerate(test.findings):
        rows = np.flatnonzero(keep[:, column])
        labels, scores = test.labels[rows, column], test.scores[rows, column]
        if 0 < labels.sum() < len(labels):
            aurocs[name] = metrics.auroc(labels, scores)
            resampled.append(statistics.resampled_auroc(labels, scores, counts[:, rows]))
    interval = statistics.percentile_interval(statistics.macro(resampled)) if resampled else None
    positives = int((test.labels[keep] == 1).sum())
    return PartScores(aurocs, interval, positives, int(keep.any(axis=1).sum()))
