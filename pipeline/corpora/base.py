"""What every reader of image-report pairs returns: studies, images and the count of what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.errors import DatasetError
from pipeline.splits import SPLITS


@dataclass(frozen=True)
class Corpus:
    """Image-report pairs to pre-train on; every study has at least one image and a report.

    Attributes:
        studies: one row per study (schemas.STUDIES).
        images: one row per image (schemas.IMAGES).
        counts: what was found, what was left out and why, and what remains.
        split_rule: how patients were assigned to splits, in words.
    """

    studies: pl.DataFrame
    images: pl.DataFrame
    counts: dict[str, int]
    split_rule: str


def with_view(images: pl.DataFrame, path: Path, views: Sequence[str]) -> pl.DataFrame:
    """Keep the images of the wanted views; with none named, all of them.

    Args:
        images: with `view`, null where the table gives none.
        path: the table, for the message.
        views: wanted values.

    Raises:
        DatasetError: no image has one of them.
    """
    if not views:
        return images
    known = set(images["view"].drop_nulls())
    unknown = sorted(set(views) - known)
    if unknown:
        raise DatasetError(
            f"{path} has no image with view {unknown[0]!r}: set corpus.views to some of "
            f"{', '.join(sorted(known)) or 'the published ones'}, or to [] for all images."
        )
    return images.filter(pl.col("view").is_in(list(views)))


def count_kept(studies: pl.DataFrame, images: pl.DataFrame) -> dict[str, int]:
    """What remains: images, studies, patients, and studies per split."""
    counts = {"images": images.height, "studies": studies.height, "patients": studies["patient_id"].n_unique()}
    counts |= {f"studies_{split}": int((studies["split"] == split).sum()) for split in SPLITS}
    return counts
