"""covid-chestxray-dataset as a benchmark: its findings on the validation and test patients of the corpus' own split.

A finding is a path such as Pneumonia/Viral/COVID-19 in the current file and a single name in older ones, where every
infection is a pneumonia. Images not yet labelled are left out, and so are findings that lack positives or negatives
among the validation or the test images; both are counted.
"""

from pathlib import Path

import polars as pl

from pipeline import schemas
from pipeline.benchmarks.base import Benchmark, count_kept, long_labels
from pipeline.corpora.covid_chestxray import FRACTIONS, FRONTAL, METADATA, SOURCE, read_images
from pipeline.errors import DatasetError
from pipeline.label_files import require
from pipeline.splits import describe_rule

__all__ = ["FINDINGS", "SOURCE", "read"]

FINDINGS = {
    "COVID-19": "covid-19",
    "Pneumonia": "pneumonia",
    "Tuberculosis": "tuberculosis",
    "No Finding": "normal",
}
UNLABELLED = ("todo", "Unknown")
# Older files name the cause alone.
PNEUMONIAS = (
    *("COVID-19", "SARS", "MERS-CoV", "Varicella", "Influenza", "Herpes", "Viral", "Aspergillosis", "Pneumocystis"),
    *("Streptococcus", "Klebsiella", "Legionella", "E.Coli", "Nocardia", "Chlamydophila", "Staphylococcus", "Fungal"),
    *("Mycoplasma", "Mycoplasma Bacterial Pneumonia", "Bacterial", "Lipoid", "Aspiration"),
)


def read(root: Path, *, labels: str = METADATA, seed: int) -> Benchmark:
    """Read the images and labels of the held-out patients.

    Args:
        root: holds the table and images/.
        labels: the table's name.
        seed: of the hash rule that splits the patients; the corpus must use the same.

    Raises:
        DatasetError: a file or column is missing, or a value is not as published.
    """
    rows, counts = read_images(root, labels, FRONTAL, seed)
    held_out = rows.filter(pl.col("split") != "train")
    labelled = held_out.filter(~pl.col("finding").is_in(UNLABELLED).fill_null(value=True))
    images = labelled.with_columns(study_id="image_id").select(schemas.IMAGES.names)
    found = long_labels(images, _positives(labelled, root / labels), FINDINGS, root)
    scored = _scorable(found, images)
    counts |= {
        "images_of_training_patients": rows.height - held_out.height,
        "images_unlabelled": held_out.height - labelled.height,
        "findings_without_both_classes": len(FINDINGS) - scored["finding"].n_unique(),
    }
    if scored.is_empty():
        raise DatasetError(
            f"{root / labels}: no finding has positives and negatives among both validation and test patients; "
            f"fetch the whole dataset or set another seed."
        )
    return Benchmark(images, scored, None, None, counts | count_kept(images, scored), describe_rule(seed, FRACTIONS))


def _positives(labelled: pl.DataFrame, path: Path) -> pl.DataFrame:
    """One row per image and finding of FINDINGS that its paths name or imply."""
    parts = labelled.select("line", "image_id", pl.col("finding").str.split(",")).explode("finding")
    names = pl.col("finding").str.strip_chars().str.split("/")
    roots = parts.with_columns(names=names, root=names.list.first())
    require(roots, path, "finding", pl.col("root").is_in([*FINDINGS, *PNEUMONIAS, "ARDS"]), "a finding of this dataset")
    implied = pl.when(pl.col("root").is_in(PNEUMONIAS)).then(pl.lit("Pneumonia")).otherwise("root")
    named = roots.select("image_id", finding=pl.concat_list(implied, "names")).explode("finding")
    return named.filter(pl.col("finding").is_in(list(FINDINGS)))


def _scorable(labels: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """The labels of the findings with both classes among the images of both splits."""
    classes = (
        labels.join(images.select("image_id", "split"), on="image_id")
        .group_by("finding")
        .agg(pl.struct("split", "label").n_unique().alias("classes"))
    )
    return labels.join(classes.filter(pl.col("classes") == 4), on="finding", how="semi", maintain_order="left")
