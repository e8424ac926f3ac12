"""VinBigData Chest X-ray (VinDr-CXR): 14 findings with boxes, each image read by three of its radiologists.

An image has a finding when enough of the three name it; the boxes of such a finding are those of all who did. The
competition published no labelled test set: images are split by the hash rule. The dataset names no patients: an image
stands for one.
"""

from pathlib import Path

import polars as pl

from pipeline.benchmarks.base import Benchmark, count_kept, locate, long_labels, split_by_hash
from pipeline.label_files import Source, find_label_file, list_files, read_csv, require
from pipeline.splits import describe_rule

LABELS = "train.csv"
FOLDER = "train"
SUFFIX = ".dicom"
SOURCE = Source(
    name="VinBigData Chest X-ray",
    folder="vinbigdata",
    label_files=(LABELS,),
    licence="competition rules, non-commercial research; on PhysioNet, Credentialed Health Data License 1.5.0",
    access="https://www.kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection",
)
FRACTIONS = {"train": 0.5, "validate": 0.2, "test": 0.3}
READERS = 3  # radiologists of an image
FINDINGS = {  # in the order of class_id
    "Aortic enlargement": "aortic dilation",
    "Atelectasis": "atelectasis",
    "Calcification": "calcification",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "ILD": "interstitial opacity",
    "Infiltration": "infiltrate",
    "Lung Opacity": "opacity",
    "Nodule/Mass": "lesion",  # the broader name of both
    "Other lesion": "abnormality",
    "Pleural effusion": "pleural effusion",
    "Pleural thickening": "pleural thickening",
    "Pneumothorax": "pneumothorax",
    "Pulmonary fibrosis": "fibrosis",
}
NO_FINDING = "No finding"
SIDES = ["x_min", "y_min", "x_max", "y_max"]


def read(root: Path, *, labels: str = LABELS, seed: int, votes: int = 2) -> Benchmark:
    """Read images, labels and boxes.

    Args:
        root: holds the table and train/<image_id>.dicom.
        labels: the table's name.
        seed: of the hash rule that splits the images.
        votes: radiologists of three who must name a finding.

    Raises:
        DatasetError: a file or column is missing, or a value is not as published.
    """
    rows = _read_rows(find_label_file(root, labels, SOURCE.name))
    listed = rows.select("image_id", patient_id="image_id").unique().sort("image_id")
    files = list_files(root, [FOLDER], (SUFFIX,)).with_columns(image_id=pl.col("name").str.head(-len(SUFFIX)))
    images = split_by_hash(locate(listed, files, root / FOLDER, "image_id"), seed, FRACTIONS)
    named = rows.filter(pl.col("finding") != NO_FINDING).join(images, on="image_id", how="semi")
    agreed = named.filter(pl.col("rad_id").n_unique().over("image_id", "finding") >= votes)
    found = long_labels(images, agreed, FINDINGS, root)
    boxes = agreed.select(
        "image_id",
        pl.col("finding").replace_strict(FINDINGS),
        x="x_min",
        y="y_min",
        width=pl.col("x_max") - pl.col("x_min"),
        height=pl.col("y_max") - pl.col("y_min"),
    )
    counts = {
        "rows_published": rows.height,
        "images_published": listed.height,
        "images_missing": listed.height - images.height,
        "findings_outvoted": named.select("image_id", "finding").n_unique()
        - agreed.select("image_id", "finding").n_unique(),
        "boxes": boxes.height,
    } | count_kept(images, found)
    return Benchmark(images, found, boxes.sort(boxes.columns), None, counts, describe_rule(seed, FRACTIONS))


def _read_rows(path: Path) -> pl.DataFrame:
    """One row per box, or per radiologist who found nothing; the class is `finding`."""
    text = dict.fromkeys(("image_id", "class_name", "rad_id"), pl.String)
    rows = read_csv(path, {**text, "class_id": pl.Int8, **dict.fromkeys(SIDES, pl.Float32)})
    classes = {name: number for number, name in enumerate([*FINDINGS, NO_FINDING])}
    require(rows, path, "image_id", pl.col("image_id").is_not_null(), "an id")
    require(rows, path, "class_name", pl.col("class_name").is_in(list(classes)), "one of the 14 findings or No finding")
    number = pl.col("class_name").replace_strict(classes, return_dtype=pl.Int8)
    require(rows, path, "class_id", pl.col("class_id") == number, "the number of its class_name")
    require(rows, path, "rad_id", pl.col("rad_id").str.contains(r"^R\d+$"), "a radiologist such as R9")
    few = pl.col("rad_id").n_unique().over("image_id") <= READERS
    require(rows, path, "rad_id", few, f"one of at most {READERS} radiologists of an image")
    nothing = pl.col("class_name") == NO_FINDING
    alone = ~nothing | (pl.len().over("image_id", "rad_id") == 1)
    require(rows, path, "class_name", alone, "No finding alone or findings alone from a radiologist")
    for name in SIDES:
        low = pl.lit(0.0) if name.endswith("_min") else pl.col(name.replace("_max", "_min"))
        inside = pl.col(name) >= low if name.endswith("_min") else pl.col(name) > low
        as_published = pl.when(nothing).then(pl.col(name).is_null()).otherwise(inside)
        require(rows, path, name, as_published, "a side of a box, or empty where there is no finding")
    return rows.rename({"class_name": "finding"})
