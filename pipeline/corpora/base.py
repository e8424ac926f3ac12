"""What every reader of image-report pairs returns: studies, images and the count of what was left out."""

from dataclasses import dataclass

import polars as pl

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


def count_kept(studies: pl.DataFrame, images: pl.DataFrame) -> dict[str, int]:
    """What remains: images, studies, patients, and studies per split."""
    counts = {"images": images.height, "studies": studies.height, "patients": studies["patient_id"].n_unique()}
    counts |= {f"studies_{split}": int((studies["split"] == split).sum()) for split in SPLITS}
    return counts
