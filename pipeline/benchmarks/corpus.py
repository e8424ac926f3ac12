"""Benchmarks made of the corpus' own validation and test images, labelled by their reports (MedFILIP, section 4.1).

* mimic16: diseases told apart one at a time. Images whose report names exactly one of the 16, and none as uncertain.
* mimic_multi: the same diseases in all images, any number in each.
* mimic_fg: the 5 most common diseases, each as mild, moderate and severe. A subtle one counts as mild.

The paper describes its two sets of 16 diseases in the same words, but for single-label in the first and multi-label in
the second, and names none of the diseases: they are the corpus' most frequent ones here, each in more than 1 % of the
studies. A disease that a report does not mention is absent; one that it leaves uncertain is not labelled. Images of
studies without any triplet are left out: their report was not read.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from pipeline import schemas
from pipeline.benchmarks.base import Benchmark, count_kept, with_severity
from pipeline.errors import DatasetError
from pipeline.semantics.diseases import by_disease
from pipeline.semantics.prompts import Finding

CORPUS_BENCHMARKS = ("mimic16", "mimic_multi", "mimic_fg")
DISEASES = 16
GRADED = 5  # of them by severity
MIN_RATIO = 0.01  # of the studies
GRADES = {"subtle": "mild", "mild": "mild", "moderate": "moderate", "severe": "severe"}
SPLITS = ("validate", "test")
SPLIT_RULE = "the corpus' own split"


def corpus_findings(name: str, triplets: pl.DataFrame, studies: pl.DataFrame) -> dict[str, Finding]:
    """The findings that a benchmark asks for, the most frequent disease first.

    Args:
        name: one of `CORPUS_BENCHMARKS`.
        triplets: schema TRIPLETS.
        studies: schema STUDIES.

    Raises:
        DatasetError: no disease is frequent enough.
    """
    present = by_disease(triplets).filter(pl.col("existence") == schemas.PRESENT)
    counts = present.group_by("disease").agg(pl.col("study_id").n_unique().alias("studies"))
    frequent = counts.filter(pl.col("studies") > MIN_RATIO * studies.height)
    diseases = frequent.sort("studies", "disease", descending=[True, False])["disease"].head(DISEASES).to_list()
    if not diseases:
        raise DatasetError(
            f"No disease is present in more than {MIN_RATIO:.0%} of {studies.height} reports, so that {name} has "
            "nothing to ask for: see reports/triplets.json for what was extracted, or take another corpus."
        )
    if name == "mimic_fg":
        grades = dict.fromkeys(GRADES.values())
        return {f"{grade} {disease}": (disease, grade) for disease in diseases[:GRADED] for grade in grades}
    return {disease: (disease, None) for disease in diseases}


def read_corpus_benchmark(
    name: str, triplets: pl.DataFrame, studies: pl.DataFrame, images: pl.DataFrame, root: Path
) -> Benchmark:
    """Make a benchmark of the corpus.

    Args:
        name: one of `CORPUS_BENCHMARKS`.
        triplets: schema TRIPLETS.
        studies: schema STUDIES.
        images: schema IMAGES of the corpus.
        root: the corpus' folder, beside which phantoms keep their truth.

    Raises:
        DatasetError: no disease is frequent enough, or no image remains.
    """
    findings = corpus_findings(name, triplets, studies)
    held_out = images.filter(pl.col("split").is_in(SPLITS))
    known = _graded(triplets, findings) if name == "mimic_fg" else _named(triplets, findings)
    read = held_out.join(triplets, on="study_id", how="semi")
    pairs = read.select("image_id", "study_id").join(pl.DataFrame({"finding": list(findings)}), how="cross")
    # a finding that the report does not mention has no row: it is absent
    labels = pairs.join(known.with_columns(mentioned=True), on=["study_id", "finding"], how="left").with_columns(
        label=pl.when(pl.col("mentioned")).then("label").otherwise(pl.lit(0, pl.Int8))
    )
    if name == "mimic16":
        single = (pl.col("label").sum() == 1) & (pl.col("label").null_count() == 0)
        labels = labels.filter(single.over("image_id"))
    kept = held_out.join(labels, on="image_id", how="semi").sort("image_id")
    if kept.is_empty():
        raise DatasetError(f"The corpus has no validation or test image for {name}: leave it out of corpus_benchmarks.")
    labelled = with_severity(labels.drop_nulls("label").select("image_id", "finding", "label"), root)
    counts = {
        "images_of_corpus": held_out.height,
        "images_left_out": held_out.height - kept.height,
        "labels_left_out": labels["label"].null_count(),  # uncertain, or of no stated severity
    }
    labelled = labelled.sort("image_id", "finding")
    return Benchmark(kept, labelled, None, None, counts | count_kept(kept, labelled), SPLIT_RULE)


def _named(triplets: pl.DataFrame, findings: Mapping[str, Finding]) -> pl.DataFrame:
    """study_id, finding, label of what reports mention: 1 present, null uncertain, 0 absent."""
    mentioned = by_disease(triplets).filter(pl.col("disease").is_in(list(findings)))
    return mentioned.group_by("study_id", finding="disease").agg(label=_label())


def _label() -> pl.Expr:
    """One disease of one study: present where any triplet says so, else not known where any is uncertain."""
    present, uncertain = ((pl.col("existence") == state).any() for state in (schemas.PRESENT, schemas.UNCERTAIN))
    return pl.when(present).then(pl.lit(1, pl.Int8)).when(~uncertain).then(pl.lit(0, pl.Int8))


def _graded(triplets: pl.DataFrame, findings: Mapping[str, Finding]) -> pl.DataFrame:
    """study_id, finding, label: 1 for a stated severity, 0 for others; null where none is stated or it is uncertain."""
    asked = pl.DataFrame(
        [(finding, disease, grade) for finding, (disease, grade) in findings.items()],
        schema=dict.fromkeys(("finding", "disease", "grade"), pl.String),
        orient="row",
    )
    stated = pl.col("severity").replace_strict(GRADES, default=None).filter(pl.col("existence") == schemas.PRESENT)
    of_study = by_disease(triplets).group_by("study_id", "disease").agg(label=_label(), grades=stated.drop_nulls())
    named = pl.col("grades").list.contains(pl.col("grade"))
    unknown = (pl.col("label") == 1) & (pl.col("grades").list.len() == 0)
    label = pl.when(named).then(pl.lit(1, pl.Int8)).when(unknown | pl.col("label").is_null()).then(None)
    return of_study.join(asked, on="disease").select("study_id", "finding", label=label.otherwise(pl.lit(0, pl.Int8)))
