"""NIH ChestX-ray14: 14 findings on the official test list; boxes for some images of it.

Validation images are those of a hashed fifth of the train_val patients.
"""

from pathlib import Path

import polars as pl

from pipeline.benchmarks.base import Benchmark, count_kept, ends_inside, locate, long_labels
from pipeline.errors import DatasetError
from pipeline.label_files import Source, find_label_file, list_files, read_csv, read_lines, require, unexpected
from pipeline.splits import describe_rule, hash_split, keep_patients_apart

ENTRIES = "Data_Entry_2017.csv"
TRAIN_LIST, TEST_LIST, BOXES = "train_val_list.txt", "test_list.txt", "BBox_List_2017.csv"
SOURCE = Source(
    name="NIH ChestX-ray14",
    folder="nih-chestxray14",
    label_files=(ENTRIES, TRAIN_LIST, TEST_LIST, BOXES),
    licence="no restriction; name the NIH Clinical Center",
    access="https://nihcc.app.box.com/v/ChestXray-NIHCC",
)
FRACTIONS = {"train": 0.8, "validate": 0.2}
FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltrate",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural thickening",
    "Hernia": "hernia",
}
BOX_FINDINGS = FINDINGS | {"Infiltrate": FINDINGS["Infiltration"]}  # the box list's own spelling
PIXELS = 1024  # of an image, in both directions
OLDEST = 120  # years; the first release has a few ages of 148 to 414
YEARS_PER_UNIT = {"": 1.0, "Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}  # the first release wrote ages as 058Y


def read(root: Path, *, labels: str = ENTRIES, seed: int) -> Benchmark:
    """Read images, labels and boxes.

    Args:
        root: holds the table, both lists, BBox_List_2017.csv and images_*/images/ or images/.
        labels: the table's name: Data_Entry_2017.csv, or Data_Entry_2017_v2020.csv.
        seed: of the hash rule that carves out the validation patients.

    Raises:
        DatasetError: a file or column is missing, or a value is not as published.
    """
    entries_file = find_label_file(root, labels, SOURCE.name)
    entries = _read_entries(entries_file)
    listed = entries.join(_read_lists(root), left_on="Image Index", right_on="text", how="left")
    require(
        listed, entries_file, "Image Index", pl.col("split").is_not_null(), f"an image of {TRAIN_LIST} or {TEST_LIST}"
    )
    chosen = _images(listed, seed)
    folders = sorted(path.relative_to(root).as_posix() for path in root.glob("images*"))
    apart = keep_patients_apart(chosen)
    images = locate(apart, list_files(root, folders, (".png",)).rename({"name": "image_id"}), root, "image_id")
    positives = _positives(entries, entries_file)
    found = long_labels(images, positives, FINDINGS, root)
    boxes = _read_boxes(find_label_file(root, BOXES, SOURCE.name)).join(images, on="image_id", how="semi")
    counts = {
        "images_published": entries.height,
        "images_of_patients_in_two_splits": chosen.height - apart.height,
        "images_missing": apart.height - images.height,
        f"ages_over_{OLDEST}": images["age"].null_count(),
        "boxes": boxes.height,
    } | count_kept(images, found)
    rule = f"official test list; the others {describe_rule(seed, FRACTIONS)}"
    return Benchmark(images, found, boxes, None, counts, rule)


def _read_entries(path: Path) -> pl.DataFrame:
    columns = {
        "Image Index": pl.String,
        "Finding Labels": pl.String,
        "Patient ID": pl.Int64,
        "Patient Age": pl.String,
        "Patient Gender": pl.String,
        "View Position": pl.String,
    }
    rows = read_csv(path, columns)
    require(rows, path, "Image Index", pl.col("Image Index").is_first_distinct(), "an image that occurs once")
    require(rows, path, "Patient ID", pl.col("Patient ID").is_not_null(), "a number")
    require(rows, path, "Patient Gender", pl.col("Patient Gender").is_in(["F", "M"]), "F or M")
    require(rows, path, "View Position", pl.col("View Position").is_in(["PA", "AP"]), "PA or AP")
    require(rows, path, "Patient Age", pl.col("Patient Age").str.contains(r"^\d+[YMD]?$"), "an age such as 58 or 058Y")
    return rows


def _read_lists(root: Path) -> pl.DataFrame:
    """Names (`text`) with `split`: train or test, each once."""
    lists = {
        split: find_label_file(root, name, SOURCE.name) for split, name in (("train", TRAIN_LIST), ("test", TEST_LIST))
    }
    both = pl.concat(read_lines(path).with_columns(split=pl.lit(split)) for split, path in lists.items())
    repeated = both.filter(~pl.col("text").is_first_distinct())
    if repeated.height:
        line, name, split = repeated.row(0)
        raise unexpected(lists[split], line, "image", name, "an image that occurs once in the two lists")
    return both.drop("line")


def _images(listed: pl.DataFrame, seed: int) -> pl.DataFrame:
    age = pl.col("Patient Age").str.extract(r"^(\d+)").cast(pl.Float32)
    unit = pl.col("Patient Age").str.extract(r"([YMD]?)$").replace_strict(YEARS_PER_UNIT, return_dtype=pl.Float32)
    years = age * unit
    carved = hash_split(listed["Patient ID"].cast(pl.String), seed, FRACTIONS)
    return listed.select(
        image_id="Image Index",
        study_id="Image Index",
        patient_id=pl.col("Patient ID").cast(pl.String),
        split=pl.when(pl.col("split") == "test").then("split").otherwise(carved),
        view="View Position",
        sex="Patient Gender",
        age=pl.when(years <= OLDEST).then(years),
    ).sort("image_id")


def _positives(entries: pl.DataFrame, path: Path) -> pl.DataFrame:
    """One row per image and finding that it is labelled with."""
    split = entries.select("line", image_id="Image Index", finding=pl.col("Finding Labels").str.split("|")).explode(
        "finding"
    )
    require(split, path, "finding", pl.col("finding").is_in([*FINDINGS, "No Finding"]), "one of the 14 findings")
    alone = (pl.col("finding") != "No Finding") | (pl.len().over("image_id") == 1)
    require(split, path, "finding", alone, "'No Finding' alone or findings alone")
    return split.filter(pl.col("finding") != "No Finding")


def _read_boxes(path: Path) -> pl.DataFrame:
    """Boxes under their canonical names; the header splits `Bbox [x,y,w,h]` into four fields."""
    sides = {"Bbox [x": "x", "y": "y", "w": "width", "h]": "height"}
    rows = read_csv(path, {"Image Index": pl.String, "Finding Label": pl.String, **dict.fromkeys(sides, pl.Float32)})
    require(rows, path, "Finding Label", pl.col("Finding Label").is_in(list(BOX_FINDINGS)), "one of the 14 findings")
    for start, length in (("Bbox [x", "w"), ("y", "h]")):
        require(rows, path, length, pl.col(length) > 0, "a length above 0")
        require(rows, path, start, pl.col(start) >= 0, "a position from 0")
        inside = ends_inside(start, length, PIXELS)
        require(rows, path, length, inside, f"a length that ends within {PIXELS} pixels")
    finding = pl.col("Finding Label").replace_strict(BOX_FINDINGS)
    boxes = rows.select(image_id="Image Index", finding=finding, **{new: old for old, new in sides.items()})
    if boxes.is_empty():
        raise DatasetError(f"{path} holds no boxes: restore the file as published.")
    return boxes.sort("image_id", "finding", "x", "y")
