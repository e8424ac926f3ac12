"""RSNA Pneumonia Detection Challenge, stage 2: pneumonia or not, with boxes.

The competition published no labelled test split: patients are split by the hash rule. A patientId names one image.
"""

from pathlib import Path

import polars as pl

from pipeline.benchmarks.base import Benchmark, count_kept, ends_inside, locate, long_labels, split_by_hash
from pipeline.label_files import Source, find_label_file, list_files, read_csv, require
from pipeline.splits import describe_rule

LABELS = "stage_2_train_labels.csv"
FOLDER = "stage_2_train_images"
SOURCE = Source(
    name="RSNA Pneumonia (stage 2)",
    folder="rsna-pneumonia",
    label_files=(LABELS,),
    licence="RSNA terms, non-commercial research and education",
    access="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
)
FRACTIONS = {"train": 0.5, "validate": 0.2, "test": 0.3}
FINDINGS = {"Target": "pneumonia"}
SIDES = ["x", "y", "width", "height"]
PIXELS = 1024  # of an image, in both directions


def read(root: Path, *, labels: str = LABELS, seed: int) -> Benchmark:
    """Read images, labels and boxes.

    Args:
        root: holds the table and stage_2_train_images/.
        labels: the table's name.
        seed: of the hash rule that splits the patients.

    Raises:
        DatasetError: a file or column is missing, or a value is not as published.
    """
    rows = _read_labels(find_label_file(root, labels, SOURCE.name))
    listed = rows.select("image_id", patient_id="image_id").unique().sort("image_id")
    files = list_files(root, [FOLDER], (".dcm",)).with_columns(image_id=pl.col("name").str.head(-len(".dcm")))
    images = split_by_hash(locate(listed, files, root / FOLDER, "image_id"), seed, FRACTIONS)
    positives = rows.filter(pl.col("Target") == 1).with_columns(finding=pl.lit("Target"))
    found = long_labels(images, positives, FINDINGS, root)
    boxes = positives.join(images, on="image_id", how="semi").select(
        "image_id", pl.col("finding").replace_strict(FINDINGS), *SIDES
    )
    counts = {
        "rows_published": rows.height,
        "images_published": listed.height,
        "images_missing": listed.height - images.height,
        "boxes": boxes.height,
    } | count_kept(images, found)
    return Benchmark(images, found, boxes.sort("image_id", *SIDES), None, counts, describe_rule(seed, FRACTIONS))


def _read_labels(path: Path) -> pl.DataFrame:
    """One row per box, or one without for an image that has none."""
    rows = read_csv(path, {"patientId": pl.String, **dict.fromkeys(SIDES, pl.Float32), "Target": pl.Int8})
    require(rows, path, "patientId", pl.col("patientId").is_not_null(), "an id")
    require(rows, path, "Target", pl.col("Target").is_in([0, 1]), "0 or 1")
    agreed = pl.col("Target").n_unique().over("patientId") == 1
    require(rows, path, "Target", agreed, "the same in all rows of an image")
    positive = pl.col("Target") == 1
    for name in SIDES:
        box = pl.col(name).is_not_null() & (pl.col(name) >= 0 if name in "xy" else pl.col(name) > 0)
        as_published = pl.when(positive).then(box).otherwise(pl.col(name).is_null())
        require(rows, path, name, as_published, "a side of a box where Target is 1 and empty where it is 0")
    for start, length in (("x", "width"), ("y", "height")):
        inside = ends_inside(start, length, PIXELS).fill_null(value=True)
        require(rows, path, length, inside, f"a length that ends within {PIXELS} pixels")
    return rows.rename({"patientId": "image_id"})
