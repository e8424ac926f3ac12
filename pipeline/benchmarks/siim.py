"""SIIM-ACR Pneumothorax: masks as run lengths in one of two forms, told apart by what they would paint.

In train-rle.csv every offset counts from the end of the run before; later copies count from the image's first pixel.
Pixels are numbered column by column. The tables name no patient, so a study folder stands for one; patients are split
by the hash rule.
"""

from contextlib import suppress
from pathlib import Path

import polars as pl

from pipeline.benchmarks.base import Benchmark, count_kept, locate, long_labels, split_by_hash
from pipeline.errors import DatasetError, ImageError
from pipeline.images.dicom import read_size
from pipeline.label_files import Source, find_label_file, list_files, read_csv, require
from pipeline.splits import describe_rule

LABELS = "train-rle.csv"
FOLDER = "dicom-images-train"
SOURCE = Source(
    name="SIIM-ACR Pneumothorax",
    folder="siim-acr",
    label_files=(LABELS,),
    licence="competition rules, non-commercial research and education",
    access="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
)
FRACTIONS = {"train": 0.7, "validate": 0.15, "test": 0.15}
FINDINGS = {"EncodedPixels": "pneumothorax"}
NO_MASK = "-1"


def read(root: Path, *, labels: str = LABELS, seed: int) -> Benchmark:
    """Read images, labels and masks.

    Args:
        root: holds the table and dicom-images-train/<study>/<series>/<ImageId>.dcm.
        labels: the table's name: train-rle.csv, or stage_2_train.csv.
        seed: of the hash rule that splits the patients.

    Raises:
        DatasetError: a file or column is missing, a value is not as published, or the form of the runs is unclear.
    """
    path = find_label_file(root, labels, SOURCE.name)
    rows = _read_rows(path)
    listed = rows.select("image_id").unique().sort("image_id")
    files = list_files(root, [FOLDER], (".dcm",)).with_columns(image_id=pl.col("name").str.head(-len(".dcm")))
    present = locate(listed, files, root / FOLDER, "image_id")
    patients = present.with_columns(patient_id=pl.col("path").str.split("/").list.get(1).str.strip_suffix(".dcm"))
    images = split_by_hash(patients, seed, FRACTIONS)
    marked = rows.filter(pl.col("EncodedPixels") != NO_MASK).join(images, on="image_id", how="semi")
    found = long_labels(images, marked.with_columns(finding=pl.lit("EncodedPixels")), FINDINGS, root)
    sizes = _sizes(images, marked, root)
    runs, absolute = decide_form(_runs(marked.join(sizes, on="image_id", how="semi"), path), sizes, path)
    masks = _masks(runs)
    counts = {
        "rows_published": rows.height,
        "rows_without_mask": rows.height - rows.filter(pl.col("EncodedPixels") != NO_MASK).height,
        "images_published": listed.height,
        "images_missing": listed.height - images.height,
        "images_unreadable": marked["image_id"].n_unique() - sizes.height,  # they have no mask
        "masks": masks.height,
        "offsets_from_the_first_pixel": int(absolute),
    } | count_kept(images, found)
    return Benchmark(images, found, None, masks, counts, describe_rule(seed, FRACTIONS))


def decide_form(runs: pl.DataFrame, sizes: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, bool]:
    """Turn offsets into pixel numbers, whichever of the two forms the file is in.

    A form fits when each row paints as many pixels as its lengths add up to: no run reaches back into one before it or
    past the last pixel. The wrong form breaks this within a few rows.

    Args:
        runs: line, image_id, offset, length in the file's order.
        sizes: image_id, height, width.
        path: the file, for the message.

    Returns:
        image_id, start, length, height, width; and whether offsets count from the first pixel.

    Raises:
        DatasetError: neither form fits, or both do and paint different pixels.
    """
    sized = runs.join(sizes, on="image_id", how="left", maintain_order="left")
    reached = (pl.col("offset") + pl.col("length")).cum_sum().over("line")
    relative = sized.with_columns(start=reached - pl.col("length"))
    absolute = sized.with_columns(start=pl.col("offset"))
    misfits = [_first_misfit(relative), _first_misfit(absolute)]
    same = relative["start"].equals(absolute["start"])
    if None not in misfits and not same:
        raise DatasetError(
            f"{path}, line {misfits[0]}: the runs leave the image when counted from the run before, and on line "
            f"{misfits[1]} they overlap when counted from the first pixel: restore the file as published."
        )
    if misfits == [None, None] and not same:
        raise DatasetError(
            f"{path} fits both forms of run lengths and they paint different pixels: use the whole file."
        )
    if misfits[0] is not None and same:
        raise DatasetError(f"{path}, line {misfits[0]}: the runs leave the image: restore the file as published.")
    chosen = relative if misfits[0] is None else absolute
    return chosen.select("image_id", "start", "length", "height", "width"), misfits[0] is not None


def _read_rows(path: Path) -> pl.DataFrame:
    rows = read_csv(path, {"ImageId": pl.String, "EncodedPixels": pl.String})
    require(rows, path, "ImageId", pl.col("ImageId").is_not_null(), "an id")
    code = pl.col("EncodedPixels")
    pairs = code.str.contains(r"^\d{1,9} +[1-9]\d{0,8}( +\d{1,9} +[1-9]\d{0,8})*$")
    require(rows, path, "EncodedPixels", (code == NO_MASK) | pairs, "-1 or pairs of offset and length")
    alone = (code != NO_MASK) | (pl.len().over("ImageId") == 1)
    require(rows, path, "EncodedPixels", alone, "-1 alone or masks alone for an image")
    return rows.rename({"ImageId": "image_id"})


def _runs(marked: pl.DataFrame, path: Path) -> pl.DataFrame:
    """One row per run, in the file's order."""
    if marked.is_empty():
        raise DatasetError(f"{path} has no mask for any readable image: fetch the rest of the images.")
    numbers = pl.col("EncodedPixels").str.extract_all(r"\d+").cast(pl.List(pl.Int64))
    pairs = {"offset": numbers.list.gather_every(2, 0), "length": numbers.list.gather_every(2, 1)}
    return marked.select("line", "image_id", **pairs).explode("offset", "length")


def _sizes(images: pl.DataFrame, marked: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Image_id, height and width of the images that have a mask, from their headers.

    Those whose header cannot be read are left out here: the images stage lists them, or stops where they are too many.
    """
    sizes = []
    for image, path in images.join(marked, on="image_id", how="semi").select("image_id", "path").iter_rows():
        with suppress(ImageError):
            width, height = read_size(root / path)
            sizes.append((image, height, width))
    return pl.DataFrame(sizes, {"image_id": pl.String, "height": pl.Int64, "width": pl.Int64}, orient="row")


def _first_misfit(runs: pl.DataFrame) -> int | None:
    """The first line whose runs overlap, go backwards or leave the image."""
    end = pl.col("start") + pl.col("length")
    before = end.shift(1, fill_value=0).over("line")
    outside = (pl.col("start") < before) | (end > pl.col("height") * pl.col("width"))
    bad = runs.filter(outside)
    return int(bad["line"][0]) if bad.height else None


def _masks(runs: pl.DataFrame) -> pl.DataFrame:
    """The union of each image's rows as one mask of sorted runs that do not touch."""
    ordered = runs.with_columns(end=pl.col("start") + pl.col("length")).sort("image_id", "start", "end")
    before = pl.col("end").cum_max().shift(1).over("image_id")
    opens = (pl.col("start") > before).fill_null(value=True)
    merged = (
        ordered.with_columns(run=opens.cum_sum())
        .group_by("image_id", "height", "width", "run", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max())
    )
    pair = pl.concat_list("start", pl.col("end") - pl.col("start"))
    masks = merged.group_by("image_id", "height", "width", maintain_order=True).agg(runs=pair.explode())
    return masks.select(
        "image_id", finding=pl.lit(FINDINGS["EncodedPixels"]), **{n: pl.col(n) for n in ("height", "width", "runs")}
    )
