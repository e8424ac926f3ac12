"""Tables of scores (`schemas.SCORES`) as arrays, one split at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import EvaluationError
from pipeline.schemas import SEVERITIES


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one split as arrays, images in the order of their ids."""

    benchmark: str
    split: str
    image_ids: pl.Series  # n
    patients: NDArray[np.str_]  # [n]
    findings: list[str]  # C
    labels: NDArray[np.int8]  # [n, C]: 1 present, 0 absent, -1 not labelled
    scores: NDArray[np.float64]  # [n, C]
    severities: NDArray[np.int16]  # [n, C]: index into SEVERITIES, -1 when not known


def tabulate(scores: pl.DataFrame, split: str, benchmark: str) -> ScoreTable:
    """Arrange one split of a table of scores.

    Raises:
        EvaluationError: the split has no images, an image is scored twice for a finding, or a score is not finite.
    """
    rows = scores.filter(pl.col("split") == split)
    _check(rows, split, benchmark)
    people = rows.select("image_id", "patient_id").unique().sort("image_id")
    findings = scores["finding"].unique(maintain_order=True).to_list()
    place = people["image_id"].search_sorted(rows["image_id"]), _codes(rows["finding"], findings)

    def arrange(column: pl.Series, otherwise: float) -> NDArray[Any]:
        values = np.full((people.height, len(findings)), otherwise, dtype=column.to_numpy().dtype)
        values[place] = column.to_numpy()
        return values

    return ScoreTable(
        benchmark, split, people["image_id"], people["patient_id"].to_numpy(), findings,
        arrange(rows["label"], -1),
        arrange(rows["score"].cast(pl.Float64), np.nan),
        arrange(pl.Series(_codes(rows["severity"], SEVERITIES)), -1),
    )  # fmt: skip


def _check(rows: pl.DataFrame, split: str, benchmark: str) -> None:
    if not rows.height:
        raise EvaluationError(
            f"{benchmark} has no labelled images in its {split} split: give it some, or leave it out."
        )
    twice = rows.filter(pl.struct("image_id", "finding").is_duplicated())
    if twice.height:
        image, finding = twice.select("image_id", "finding").row(0)
        raise EvaluationError(f"{benchmark}: {image} has more than one score for {finding}; keep one row of each.")
    broken = rows.filter(~pl.col("score").is_finite())
    if broken.height:
        finding = broken["finding"][0]
        raise EvaluationError(
            f"{benchmark}: {broken.height} scores are not finite, first for {finding}; train the model anew."
        )


def _codes(names: pl.Series, known: list[str] | tuple[str, ...]) -> NDArray[np.int16]:
    return names.replace_strict(list(known), list(range(len(known))), default=-1, return_dtype=pl.Int16).to_numpy()


def labelled(table: ScoreTable, column: int) -> tuple[NDArray[np.intp], NDArray[np.int8], NDArray[np.float64]]:
    """The rows with a label for one finding, their labels and scores."""
    rows = np.flatnonzero(table.labels[:, column] >= 0)
    return rows, table.labels[rows, column], table.scores[rows, column]
