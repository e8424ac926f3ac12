"""MIMIC-CXR-JPG 2.x with the reports of MIMIC-CXR unpacked into the same `files/` tree, on the official split.

A study is kept when one of its images has a wanted view and a file, and its report has a wanted section. Addenda belong
to every report, and text under no heading stands for the findings of a report that heads none. Images are not opened:
their existence and size come from the folders' listing.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipeline.corpora.base import Corpus, count_kept, with_view
from pipeline.errors import DatasetError
from pipeline.label_files import Source, find_label_file, list_files, read_csv, require
from pipeline.splits import SPLITS
from pipeline.triplets.sections import select_sections

METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
SOURCE = Source(
    name="MIMIC-CXR-JPG",
    folder="mimic-cxr-jpg",
    label_files=(METADATA, SPLIT),
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    access="https://physionet.org/content/mimic-cxr-jpg/ and, for the reports, https://physionet.org/content/mimic-cxr/",
)
IDS = {"dicom_id": pl.String, "subject_id": pl.Int64, "study_id": pl.Int64}


def read(root: Path, *, labels: str, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:  # noqa: ARG001
    """Read the corpus tables.

    Args:
        root: holds the csv.gz tables and `files/p10/p10000032/s50414267/<dicom_id>.jpg` with
            `files/p10/p10000032/s50414267.txt`.
        labels: the name of the table of metadata; the split is that of mimic-cxr-2.0.0-split.csv.gz.
        views: wanted values of ViewPosition, which leave out images without one; or none for all images.
        sections: wanted sections of the report, out of findings and impression.
        seed: not used, the split is the official one.

    Raises:
        DatasetError: a file or column is missing, a value is not as published, or nothing remains.
    """
    present, counts = find_images(root, labels, views)
    reported = present.filter("has_report").unique("study_id").sort("patient_id", "study_id")
    studies = select_reports(reported, root, sections)
    images = present.join(studies, on="study_id", how="semi").sort("patient_id", "study_id", "image_id")
    counts |= {"studies_without_section": reported.height - studies.height} | count_kept(studies, images)
    if studies.is_empty():
        raise DatasetError(
            f"{root}/files holds no image with a report: {counts['images_missing']} images and "
            f"{counts['studies_without_report']} reports are missing; unpack images and reports there."
        )
    return Corpus(studies, images, counts, "official split")


def find_images(root: Path, labels: str, views: Sequence[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """The images of the wanted views that have a file; no image or report is opened.

    Returns:
        schemas.IMAGES, with report_path and has_report; and the counts of what was left out.

    Raises:
        DatasetError: a table is missing or not as published.
    """
    table = _read_tables(root, labels)
    viewed = with_view(table, root / labels, views)
    files = list_files(root, ["files"], (".jpg", ".txt"))
    present = viewed.join(files.select("path", "bytes"), on="path", how="inner")
    present = present.with_columns(has_report=pl.col("report_path").is_in(files["path"].implode()))
    studies = present.unique("study_id")
    return present, {
        "images_published": table.height,
        "images_without_view": table["view"].null_count(),
        "images_of_other_views": table["view"].count() - viewed["view"].count(),
        "images_missing": viewed.height - present.height,
        "studies_without_report": studies.height - int(studies["has_report"].sum()),
    }


def _read_tables(root: Path, labels: str) -> pl.DataFrame:
    """Every published image: ids, split, view, and where image and report should lie."""
    metadata_file = find_label_file(root, labels, SOURCE.name)
    split_file = find_label_file(root, SPLIT, SOURCE.name)
    metadata = _ids_present(read_csv(metadata_file, {**IDS, "ViewPosition": pl.String}), metadata_file)
    splits = _ids_present(read_csv(split_file, {**IDS, "split": pl.String}), split_file)
    require(splits, split_file, "split", pl.col("split").is_in(SPLITS), "train, validate or test")
    joined = metadata.join(splits.select(*IDS, "split"), on=list(IDS), how="left")
    require(joined, metadata_file, "dicom_id", pl.col("split").is_not_null(), f"an image listed in {SPLIT}")
    subject = pl.format("p{}", "subject_id")
    folder = pl.format("files/{}/{}/s{}", subject.str.head(3), subject, "study_id")
    return joined.select(
        image_id="dicom_id",
        study_id=pl.col("study_id").cast(pl.String),
        patient_id=pl.col("subject_id").cast(pl.String),
        split="split",
        path=pl.format("{}/{}.jpg", folder, "dicom_id"),
        report_path=pl.format("{}.txt", folder),
        view="ViewPosition",
        sex=pl.lit(None, pl.String),
        age=pl.lit(None, pl.Float32),
    )


def _ids_present(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    for name in IDS:
        require(rows, path, name, pl.col(name).is_not_null(), "an id")
    require(rows, path, "dicom_id", pl.col("dicom_id").is_first_distinct(), "an id that occurs once")
    return rows


def select_reports(studies: pl.DataFrame, root: Path, sections: Sequence[str]) -> pl.DataFrame:
    """Read each study's report and keep the studies with text in a wanted section."""
    selected = [select_sections(_read_report(root / path), sections) for path in studies["report_path"]]
    columns = pl.DataFrame(selected, schema={"report": pl.String, "sections": pl.String}, orient="row")
    return studies.hstack(columns).filter(pl.col("report") != "")


def _read_report(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): mend its permissions.") from error
