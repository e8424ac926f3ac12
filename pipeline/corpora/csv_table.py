"""A hospital's own images and reports as one table: columns image, report, patient; optional study, view, split.

Rows of one study share patient, split and report, which may stand in one of its rows only; without the column, every
row is a study. Without a split column, patients are split by the hash rule. Messages name rows, never patients or text.
"""

from collections.abc import Sequence
from pathlib import Path
from posixpath import normpath
from stat import S_ISREG

import polars as pl

from pipeline.corpora.base import Corpus, count_kept, with_view
from pipeline.errors import DatasetError
from pipeline.label_files import Source, find_label_file, read_csv
from pipeline.splits import SPLITS, describe_rule, hash_split
from pipeline.triplets.sections import select_sections

SOURCE = Source(
    name="your own table",
    folder=".",
    label_files=("studies.csv",),
    licence="your own",
    access="your own",
)
FRACTIONS = {"train": 0.8, "validate": 0.1, "test": 0.1}
COLUMNS = dict.fromkeys(("image", "report", "patient"), pl.String)
OPTIONAL = dict.fromkeys(("study", "view", "split"), pl.String)
LINES_SHOWN = 10
VIEW_LETTERS = 16  # more is another column's text


def read(root: Path, *, labels: str, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:
    """Read the corpus tables.

    Args:
        root: the folder that holds the table.
        labels: the table below root: comma-separated, UTF-8, with a header. `image` is a path relative to the table.
        views: wanted values of `view`, which leave out images without one; or none for all images.
        sections: wanted sections of the report, out of findings and impression; a text without headings is findings.
        seed: of the hash rule that splits the patients where the table does not.

    Raises:
        DatasetError: the table or a column is missing, rows contradict each other, or nothing remains.
    """
    path = find_label_file(root, labels, SOURCE.name)
    table = _read_table(path)
    rule = "split column of the table" if table["split"].count() else describe_rule(seed, FRACTIONS)
    if not table["split"].count():
        table = table.with_columns(hash_split(table["patient"], seed, FRACTIONS))
    viewed = with_view(table, path, views)
    present = _with_file(viewed, path.parent)
    reported = _reports(table, sections)
    found = (
        present.drop("report")
        .join(reported.filter(pl.col("report") != ""), on="study", how="inner")
        .sort("study", "image")
    )
    below = path.parent.relative_to(root).as_posix()
    images = found.select(
        image_id="image",
        study_id="study",
        patient_id="patient",
        split="split",
        path=pl.col("image") if below == "." else pl.format(f"{below}/{{}}", "image"),
        bytes="bytes",
        view="view",
        sex=pl.lit(None, pl.String),
        age=pl.lit(None, pl.Float32),
    )
    studies = found.unique("study", keep="first", maintain_order=True).select(
        "report", "sections", "split", study_id="study", patient_id="patient"
    )
    counts = {
        "rows_published": table.height,
        "images_without_view": table["view"].null_count(),
        "images_of_other_views": table["view"].count() - viewed["view"].count(),
        "images_missing": viewed.height - present.height,
        "studies_without_report": table["study"].n_unique() - reported.height,
        "studies_without_section": int((reported["report"] == "").sum()),
    } | count_kept(studies, images)
    if studies.is_empty():
        raise DatasetError(
            f"{path} names no image with a report: {counts['images_missing']} image files are missing below "
            f"{path.parent}; write their paths relative to the table."
        )
    return Corpus(studies, images, counts, rule)


def _read_table(path: Path) -> pl.DataFrame:
    """The rows as COLUMNS and OPTIONAL with their line; without a study column every image is its own."""
    rows = read_csv(path, COLUMNS, OPTIONAL)
    _refuse(rows, path, pl.col("image").is_null(), "image is empty")
    _refuse(rows, path, pl.col("image").str.starts_with("/"), "image is no path relative to the table")
    _refuse(rows, path, pl.col("image").str.contains("\\", literal=True), "image has a backslash where a / must be")
    _refuse(rows, path, pl.col("patient").is_null(), "patient is empty")
    _refuse(rows, path, pl.col("view").str.len_chars() > VIEW_LETTERS, f"view has more than {VIEW_LETTERS} letters")
    if rows["split"].count():
        _refuse(
            rows, path, ~pl.col("split").is_in(SPLITS).fill_null(value=False), f"split is none of {', '.join(SPLITS)}"
        )
    if rows["study"].count():
        _refuse(rows, path, pl.col("study").is_null(), "study is empty")
    rows = rows.with_columns(pl.col("study").fill_null(pl.col("image")))
    one_name = pl.Series([normpath(image) for image in rows["image"]])  # a.png and ./a.png are one image
    _refuse(rows, path, one_name.is_duplicated(), "an image is listed twice")
    _refuse(rows, path, pl.col("split").n_unique().over("patient") > 1, "a patient is in two splits")
    _refuse(rows, path, pl.col("patient").n_unique().over("study") > 1, "a study has two patients")
    _refuse(rows, path, pl.col("report").drop_nulls().n_unique().over("study") > 1, "a study has two reports")
    return rows


def _refuse(rows: pl.DataFrame, path: Path, wrong: pl.Expr | pl.Series, problem: str) -> None:
    """Raise an error that names the rows by their lines; values may hold a patient's name or a report's words."""
    lines = rows.filter(wrong)["line"].head(LINES_SHOWN + 1).to_list()
    if lines:
        shown = ", ".join(map(str, lines[:LINES_SHOWN])) + (", ..." if len(lines) > LINES_SHOWN else "")
        raise DatasetError(f"{path}, line {shown}: {problem}: mend the table.")


def _with_file(rows: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """The rows whose image is a file, with its size as `bytes`."""
    sizes = pl.Series("bytes", [_size(folder / image) for image in rows["image"]], pl.Int64)
    return rows.with_columns(sizes).filter(pl.col("bytes").is_not_null())


def _size(path: Path) -> int | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # no such file, or no file could have this name
        return None
    return status.st_size if S_ISREG(status.st_mode) else None


def _reports(table: pl.DataFrame, sections: Sequence[str]) -> pl.DataFrame:
    """Of every study with a report: study, report (the wanted sections' text, which may be empty) and sections."""
    given = table.filter(pl.col("report").is_not_null()).unique("study", keep="first", maintain_order=True)
    selected = [select_sections(text, sections) for text in given["report"]]
    columns = pl.DataFrame(selected, schema={"report": pl.String, "sections": pl.String}, orient="row")
    return given.select("study").hstack(columns)
