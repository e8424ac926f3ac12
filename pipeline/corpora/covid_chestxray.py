"""covid-chestxray-dataset as image-report pairs: the clinical notes are the reports, frontal X-rays only.

Images of a patient with the same note form one study. The dataset lists some images twice under two patient numbers,
and gives some numbers a letter (350a, 350b): such numbers count as one patient here, so that none is in two
splits. Its findings are not read here but by the benchmark of the same name, on the same split.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.corpora.base import Corpus, count_kept
from pipeline.errors import DatasetError
from pipeline.label_files import Source, find_label_file, list_files, read_csv, require
from pipeline.splits import describe_rule, hash_split

METADATA = "metadata.csv"
SOURCE = Source(
    name="covid-chestxray-dataset",
    folder="covid-chestxray",
    label_files=(METADATA,),
    licence="per image, in metadata.csv; metadata CC BY-NC-SA 4.0",
    access="https://github.com/ieee8023/covid-chestxray-dataset",
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
FRONTAL = ("PA", "AP", "AP Supine", "AP Erect")
FRACTIONS = {"train": 0.6, "validate": 0.2, "test": 0.2}
COLUMNS = {
    "patientid": pl.String,
    "sex": pl.String,
    "age": pl.Float32,
    "finding": pl.String,
    "view": pl.String,
    "modality": pl.String,
    "folder": pl.String,
    "filename": pl.String,
    "clinical_notes": pl.String,
}


def read(root: Path, *, labels: str, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:  # noqa: ARG001
    """Read the corpus tables.

    Args:
        root: holds the table and images/.
        labels: the table's name.
        views: wanted values of view, out of PA, AP, AP Supine and AP Erect; none means all of these.
        sections: not used, the notes have no headed sections.
        seed: of the hash rule that splits the patients.

    Raises:
        DatasetError: a file or column is missing, a value is not as published, or nothing remains.
    """
    rows, counts = read_images(root, labels, views, seed)
    noted = rows.filter(pl.col("clinical_notes").is_not_null())
    study = pl.format("{}-{}", "patient_id", pl.col("clinical_notes").rank("dense").over("patient_id"))
    noted = noted.with_columns(study_id=study)
    studies = noted.unique("study_id", keep="first", maintain_order=True).select(
        "study_id", "patient_id", "split", report="clinical_notes", sections=pl.lit("clinical_notes")
    )
    images = noted.drop("line", "clinical_notes", "finding")
    counts |= {"images_without_notes": rows.height - noted.height} | count_kept(studies, images)
    if studies.is_empty():
        raise DatasetError(f"{root / labels} has no frontal X-ray with a file and notes: fetch the dataset again.")
    return Corpus(studies, images, counts, describe_rule(seed, FRACTIONS))


def read_images(root: Path, labels: str, views: Sequence[str], seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """The frontal X-rays that have a file, once each: schemas.IMAGES but study_id, and line, finding, clinical_notes.

    Returns:
        The rows, sorted by image_id, and the counts of what was left out.
    """
    path = find_label_file(root, labels, SOURCE.name)
    unknown = sorted(set(views) - set(FRONTAL))
    if unknown:
        raise DatasetError(
            f"{SOURCE.name} has no frontal view {unknown[0]!r}: set corpus.views to some of {', '.join(FRONTAL)}."
        )
    table = read_csv(path, COLUMNS)
    for name in ("patientid", "filename"):
        require(table, path, name, pl.col(name).is_not_null(), "a name")
    require(table, path, "sex", pl.col("sex").is_in(["F", "M"]) | pl.col("sex").is_null(), "F, M or nothing")
    listed = _one_patient_per_image(table).unique("filename", keep="first", maintain_order=True)
    xrays = listed.filter(pl.col("modality") == "X-ray")
    frontal = xrays.filter(pl.col("view").is_in(list(views or FRONTAL)))
    located = frontal.with_columns(path=pl.format("{}/{}", "folder", "filename"))
    present = located.join(list_files(root, ["images"], IMAGE_SUFFIXES).select("path", "bytes"), on="path", how="inner")
    counts = {
        "rows_published": table.height,
        "rows_of_repeated_images": table.height - listed.height,
        "images_not_xray": listed.height - xrays.height,
        "images_of_other_views": xrays.height - frontal.height,
        "images_missing": frontal.height - present.height,
    }
    split = hash_split(present["patient_id"], seed, FRACTIONS)
    chosen = ["line", "patient_id", "split", "path", "bytes", "view", "sex", "age", "finding", "clinical_notes"]
    return present.with_columns(split).select(pl.col("filename").alias("image_id"), *chosen).sort("image_id"), counts


def _one_patient_per_image(table: pl.DataFrame) -> pl.DataFrame:
    """Add patient_id: the first number of those that share an image or differ in a final letter only."""
    numbered = table.with_columns(patient_id=pl.col("patientid").str.replace(r"^(\d+)[a-z]$", "$1"))
    patient = numbered["patient_id"].rank("dense").to_numpy()
    image = numbered["filename"].rank("dense").to_numpy() + patient.max(initial=0)
    nodes = int(image.max(initial=0)) + 1
    edges = coo_array((np.ones(len(patient)), (patient, image)), shape=(nodes, nodes))
    group = connected_components(edges, directed=False)[1][patient]
    return numbered.with_columns(pl.col("patient_id").first().over(pl.Series(group)))
