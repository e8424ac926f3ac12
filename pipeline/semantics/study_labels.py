"""The structured label of a study: what diseases its report names as present, where and how severe.

Normal findings, devices and names too broad to be a disease are left out (`diseases`).
"""

import polars as pl

from pipeline.schemas import PRESENT, SEVERITIES
from pipeline.semantics.diseases import by_disease
from pipeline.semantics.knowledge import Knowledge
from pipeline.semantics.label_texts import label_text


def study_labels(triplets: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame:
    """The studies that have a disease, with their labels and texts.

    A disease that a report names several times at one place is there once, at its worst stated severity. The diseases
    of a study are in the order of their names.

    Args:
        triplets: schema TRIPLETS.
        knowledge: explains the diseases.

    Returns:
        study_id, label ("mild left pleura pleural effusion; nodule") and text (the label texts with their
        explanations, joined), sorted by study.

    Raises:
        ParamsError: a disease has no explanation.
    """
    present = by_disease(triplets).filter(pl.col("existence") == PRESENT)
    severity = pl.col("severity").cast(pl.Enum(SEVERITIES)).max().cast(pl.String)
    rows = present.group_by("study_id", "pathology", "anatomy").agg(severity).sort("study_id", "pathology", "anatomy")
    named = rows.select("pathology", "anatomy", "severity").unique(maintain_order=True)
    texts = [
        (pathology, anatomy, grade, label_text(pathology, anatomy, grade, None)[:-1],
         label_text(pathology, anatomy, grade, knowledge))
        for pathology, anatomy, grade in named.rows()
    ]  # fmt: skip
    worded = pl.DataFrame(
        texts, schema=dict.fromkeys(("pathology", "anatomy", "severity", "label", "text"), pl.String), orient="row"
    )
    keys = ["pathology", "anatomy", "severity"]
    joined = rows.join(worded, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.group_by("study_id", maintain_order=True).agg(
        pl.col("label").str.join("; "), pl.col("text").str.join(" ")
    )
