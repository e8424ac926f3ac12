"""Which images a model is fine-tuned on: nested, stratified subsets of the training images, by patient.

All patients are put in one order; the subsets of 1, 10 and 100 % are its beginnings, and so nested. The order opens
with patients who between them have a positive and a negative image of every finding that has any. The others follow so
that each beginning holds the same share of every stratum; a patient's stratum is the rarest finding he or she has.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import schemas
from pipeline.evaluation.scorer import ImageSource, locate

PERCENTS = (1, 10, 100)
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """The decoded images of a benchmark as arrays, in the order of the source.

    Attributes:
        images: n rows with image_id, patient_id, split and row (in the source).
        findings: C names.
        labels: int8 [n, C]: 1 present, 0 absent, -1 not labelled.
    """

    images: pl.DataFrame
    findings: list[str]
    labels: NDArray[np.int8]

    @classmethod
    def of(cls, source: ImageSource, images: pl.DataFrame, labels: pl.DataFrame) -> "LabelledImages":
        """Those of the images (`schemas.IMAGES`) that were decoded, with their labels (`schemas.LABELS`).

        Raises:
            EvaluationError: none of the images was decoded.
        """
        found = locate(source, images).select("image_id", "patient_id", "split", "row")
        findings = labels["finding"].unique(maintain_order=True).to_list()
        placed = labels.join(found.select("image_id", place=pl.int_range(pl.len())), on="image_id")
        table = np.full((found.height, len(findings)), -1, np.int8)
        columns = placed["finding"].replace_strict(findings, range(len(findings)), return_dtype=pl.Int64)
        table[placed["place"].to_numpy(), columns.to_numpy()] = placed["label"].to_numpy()
        return cls(found, findings, table)

    def places(self, split: str) -> Rows:
        """Which of the n images belong to a split."""
        return np.flatnonzero((self.images["split"] == split).to_numpy())


def draw_subsets(labelled: LabelledImages, draws: int, seed: int) -> pl.DataFrame:
    """Draw the subsets of the training images several times.

    Args:
        labelled: all images; only those of the split "train" are drawn.
        draws: how many times.
        seed: of the order of the patients within their strata.

    Returns:
        `schemas.SUBSETS`: in each draw every training image once.
    """
    train = labelled.places("train")
    images, labels = labelled.images[train], labelled.labels[train]
    parts = [
        images.select(
            "image_id", "patient_id", subset=pl.lit(draw, pl.Int32), percent=pl.Series(percents, dtype=pl.Int16)
        )
        for draw in range(draws)
        for percents in [_percents(images["patient_id"], labels, np.random.default_rng([seed, draw]))]
    ]
    return pl.concat(parts).select(schemas.SUBSETS.names)


def subset_places(labelled: LabelledImages, subsets: pl.DataFrame, draw: int, percent: int) -> Rows:
    """Which of the n images belong to a subset."""
    chosen = subsets.filter(pl.col("subset") == draw, pl.col("percent") <= percent)["image_id"]
    return np.flatnonzero(labelled.images["image_id"].is_in(chosen.implode()).to_numpy())


def draws_at(percent: int, draws: int) -> range:
    """The draws that differ at a percentage: at 100 % all are the same."""
    return range(1 if percent == 100 else draws)


def _percents(patient_ids: pl.Series, labels: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int16]:
    """The smallest subset that each image belongs to: [n]."""
    owner = patient_ids.rank("dense").to_numpy().astype(np.int64) - 1  # [n] patients by name
    order, opening = rank_patients(owner, labels, rng)
    held = np.cumsum(np.bincount(owner)[order])  # images of the first patients
    wanted = [-(-percent * len(owner) // 100) for percent in PERCENTS]
    ends = [max(opening, int(np.searchsorted(held, count)) + 1) for count in wanted]
    position = np.argsort(order)[owner]
    smallest: NDArray[np.int16] = np.array(PERCENTS, np.int16)[np.searchsorted(ends, position, side="right")]
    return smallest


def rank_patients(
    owner: NDArray[np.int64], labels: NDArray[np.int8], rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Put patients in the order in which subsets take them.

    Args:
        owner: the patient of each image, [n] numbers from 0.
        labels: [n, C].
        rng: of the order within a stratum.

    Returns:
        The P patients in order, and how many of them open it so that each finding has a positive and a negative image.
    """
    shuffled = rng.permutation(int(owner.max()) + 1)
    positive, negative = _any(owner, labels == 1), _any(owner, labels == 0)
    opening = _opening(np.concatenate([positive, negative], axis=1), shuffled)
    others = shuffled[~np.isin(shuffled, opening)]
    first = np.concatenate([np.array(opening, np.int64), others])  # P
    stratum = _strata(positive)[first]
    place = np.zeros(len(first))
    for code in np.unique(stratum):
        own = stratum == code
        place[own] = (np.arange(own.sum()) + 0.5) / own.sum()
    place[: len(opening)] = -1
    return first[np.argsort(place, kind="stable")], len(opening)


def _any(owner: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a patient has a marked image: [n, C] to [P, C]."""
    some = np.zeros((int(owner.max()) + 1, marked.shape[1]), np.bool_)
    np.logical_or.at(some, owner, marked)
    return some


def _opening(has: NDArray[np.bool_], shuffled: NDArray[np.int64]) -> list[int]:
    """The first patients, for the rarest properties first, who between them have each property [P, K] that exists."""
    chosen: list[int] = []
    for column in np.argsort(has.sum(axis=0), kind="stable"):
        having = shuffled[has[shuffled, column]]
        if len(having) and not has[chosen, column].any():
            chosen.append(int(having[0]))
    return chosen


def _strata(positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each patient's rarest finding, C for those without any: [P]."""
    rarity = np.argsort(positive.sum(axis=0), kind="stable")  # findings, the rarest first
    ranked = np.concatenate([positive[:, rarity], np.ones((len(positive), 1), np.bool_)], axis=1)
    strata: NDArray[np.int64] = np.append(rarity, positive.shape[1])[ranked.argmax(axis=1)]
    return strata
