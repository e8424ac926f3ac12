"""What every benchmark reader returns, and the one table that only phantoms have: how severe each finding is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline import schemas
from pipeline.errors import DatasetError
from pipeline.splits import hash_split


@dataclass(frozen=True)
class Benchmark:
    """An evaluation dataset; findings carry their canonical names.

    Attributes:
        images: one row per image with a file (schemas.IMAGES).
        labels: one row per image and finding (schemas.LABELS).
        boxes: in pixels of the stored image (schemas.BOXES), or None where the dataset has none.
        masks: in pixels of the stored image (schemas.MASKS), or None where the dataset has none.
        counts: what was found, what was left out and why, and what remains.
        split_rule: how patients were assigned to splits, in words.
    """

    images: pl.DataFrame
    labels: pl.DataFrame
    boxes: pl.DataFrame | None
    masks: pl.DataFrame | None
    counts: dict[str, int]
    split_rule: str


def require_both_classes(benchmark: Benchmark, labels: Path) -> None:
    """See that some finding has positive and negative test images, before anything is trained to be tested on them.

    Args:
        benchmark: as read.
        labels: the file that its labels came from.

    Raises:
        DatasetError: no finding has both.
    """
    tested = benchmark.images.filter(pl.col("split") == "test")
    rows = benchmark.labels.join(tested, on="image_id", how="semi")
    positive, classes = rows["label"].sum(), rows.group_by("finding").agg(pl.col("label").n_unique())["label"]
    if classes.is_empty() or classes.max() == 1:
        raise DatasetError(
            f"{labels} cannot test: of {tested.height} test images {positive} are positive of a finding and no finding "
            "has both positive and negative ones. Mend it, fetch the other images, or leave the benchmark out."
        )


def locate(listed: pl.DataFrame, files: pl.DataFrame, root: Path, key: str) -> pl.DataFrame:
    """Keep the listed images that have a file, with its path and size.

    Args:
        listed: with the column `key`.
        files: as from `list_files`, with the same column.
        root: for the message.
        key: what listed images and files are matched on.

    Raises:
        DatasetError: two files claim the same image, or none of the images has a file.
    """
    repeated = files.filter(pl.col(key).is_duplicated())
    if key != "path" and repeated.height:
        first, second = repeated.filter(pl.col(key) == repeated[key][0])["path"].head(2)
        raise DatasetError(f"{root} holds {repeated[key][0]} twice, as {first} and {second}: keep one of them.")
    present = listed.join(files.drop("name", strict=False), on=key, how="inner", maintain_order="left")
    if present.is_empty():
        raise DatasetError(f"{root} holds none of the {listed.height} listed images: unpack the images there.")
    return present


def ends_inside(start: str, length: str, side: int) -> pl.Expr:
    """Whether a side of a box ends within an image of so many pixels, or in the one after, as rounding may have it."""
    return pl.col(start) + pl.col(length) <= side + 1


def split_by_hash(present: pl.DataFrame, seed: int, fractions: Mapping[str, float]) -> pl.DataFrame:
    """The images table of a dataset that tells no more of its patients than patient_id."""
    unknown = {"view": pl.lit(None, pl.String), "sex": pl.lit(None, pl.String), "age": pl.lit(None, pl.Float32)}
    split = hash_split(present["patient_id"], seed, fractions)
    return present.with_columns(split, study_id="image_id", **unknown).select(schemas.IMAGES.names)


def long_labels(images: pl.DataFrame, positives: pl.DataFrame, findings: Mapping[str, str], root: Path) -> pl.DataFrame:
    """Every image with every finding: 1 where listed as positive, else 0.

    Args:
        images: with image_id.
        positives: image_id and finding (the dataset's own label) of the positive pairs, repeated at will.
        findings: the dataset's label -> canonical pathology.
        root: the dataset's folder, beside which phantoms keep their truth.
    """
    canonical = positives.select("image_id", finding=pl.col("finding").replace_strict(dict(findings))).unique()
    pairs = images.select("image_id").join(pl.DataFrame({"finding": list(findings.values())}), how="cross")
    marked = pairs.join(canonical.with_columns(label=pl.lit(1, pl.Int8)), on=["image_id", "finding"], how="left")
    return with_severity(marked.with_columns(pl.col("label").fill_null(0)), root).sort("image_id", "finding")


def with_severity(labels: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Add how severe each present finding is, at its worst: from the phantoms' truth where there is one, else null."""
    truth = root.parent / "truth" / "severity.parquet"
    if not truth.is_file():
        return labels.with_columns(severity=pl.lit(None, pl.String)).select(schemas.LABELS.names)
    drawn = pl.read_parquet(truth).filter(pl.col("dataset") == root.name)
    graded = drawn.cast({"severity": pl.Enum(schemas.SEVERITIES)})
    worst = graded.group_by("image_id", "finding").agg(pl.col("severity").max().cast(pl.String))
    marked = worst.with_columns(label=pl.lit(1, pl.Int8))
    return labels.join(marked, on=["image_id", "finding", "label"], how="left").select(schemas.LABELS.names)


def count_kept(images: pl.DataFrame, labels: pl.DataFrame) -> dict[str, int]:
    """What remains: images per split, patients, and positives per finding."""
    splits = images["split"].value_counts().sort("split")
    positive = labels.group_by("finding").agg(pl.col("label").cast(pl.Int64).sum()).sort("finding")
    counts = {"images": images.height, "patients": images["patient_id"].n_unique()}
    counts |= {f"images_{split}": count for split, count in splits.iter_rows()}
    return counts | {f"positive_{finding}": count for finding, count in positive.iter_rows()}
