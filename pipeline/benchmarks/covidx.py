"""COVIDx CXR-4: COVID-19 or not, on the official train, validation and test lists.

Patient numbers are the sources' own, so a patient is a source with a number.
"""

from pathlib import Path

import polars as pl

from pipeline import schemas
from pipeline.benchmarks.base import Benchmark, count_kept, locate, long_labels
from pipeline.label_files import Source, find_label_file, list_files, read_lines, require
from pipeline.splits import keep_patients_apart

TRAIN_LIST, VAL_LIST, TEST_LIST = "train.txt", "val.txt", "test.txt"
FOLDERS = {"train": "train", "validate": "val", "test": "test"}
SOURCE = Source(
    name="COVIDx CXR-4",
    folder="covidx-cxr4",
    label_files=(TEST_LIST, TRAIN_LIST, VAL_LIST),
    licence="each source's own",
    access="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
)
FINDINGS = {"positive": "covid-19"}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
LINE = r"^(?<patient>\S+)\s+(?<filename>.*\S)\s+(?<label>\S+)\s+(?<source>\S+)$"  # file names may hold spaces


def read(root: Path, *, labels: str = TEST_LIST, seed: int) -> Benchmark:  # noqa: ARG001
    """Read images and labels.

    Args:
        root: holds train.txt, val.txt, the test list and the folders train/, val/, test/.
        labels: the test list's name.
        seed: not used, the splits are the official ones.

    Raises:
        DatasetError: a file is missing, or a line is not as published.
    """
    lists = {"train": TRAIN_LIST, "validate": VAL_LIST, "test": labels}
    published = pl.concat(_read_list(find_label_file(root, name, SOURCE.name), split) for split, name in lists.items())
    apart = keep_patients_apart(published)
    files = list_files(root, list(FOLDERS.values()), IMAGE_SUFFIXES)
    present = locate(apart, files, root, "path").sort("image_id")
    unknown = {"view": pl.lit(None, pl.String), "sex": pl.lit(None, pl.String), "age": pl.lit(None, pl.Float32)}
    images = present.with_columns(study_id="image_id", **unknown).select(schemas.IMAGES.names)
    positives = present.filter(pl.col("label") == "positive").select("image_id", finding="label")
    found = long_labels(images, positives, FINDINGS, root)
    counts = {
        "images_published": published.height,
        "images_of_patients_in_two_splits": published.height - apart.height,
        "images_missing": apart.height - images.height,
    } | count_kept(images, found)
    return Benchmark(images, found, None, None, counts, "official lists")


def _read_list(path: Path, split: str) -> pl.DataFrame:
    """image_id (the path below root), patient_id, split, path, label."""
    rows = read_lines(path)
    require(rows, path, "text", pl.col("text").str.contains(LINE), "patient, file name, label and source")
    fields = rows.with_columns(pl.col("text").str.extract_groups(LINE)).unnest("text")
    require(fields, path, "label", pl.col("label").is_in(["positive", "negative"]), "positive or negative")
    require(fields, path, "filename", pl.col("filename").is_first_distinct(), "an image that occurs once")
    file = pl.format(f"{FOLDERS[split]}/{{}}", "filename")
    patient = pl.format("{}/{}", "source", "patient")
    return fields.select(image_id=file, patient_id=patient, split=pl.lit(split), path=file, label="label")
