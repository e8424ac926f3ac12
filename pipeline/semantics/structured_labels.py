"""Structured labels: what MedFILIP matches images with, from triplets; and what reports say of each category.

A label is a category (pathology) with its location and severity where they are known. The categories alone come first
among the labels, so that a category's index is also its label's. Sentences are built in `label_texts`.
"""

from dataclasses import dataclass

import polars as pl

from pipeline.laterality import other_side
from pipeline.schemas import ABSENT, PRESENT, UNCERTAIN
from pipeline.semantics.knowledge import Knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.triplets.lexicon import UNSPECIFIED

NORMAL = "normal"
_RANKS = {ABSENT: 0, UNCERTAIN: 1, PRESENT: 2}  # the stronger statement of a category wins
_LABEL = ("category", "location", "severity")


@dataclass(frozen=True)
class StructuredLabels:
    """All labels of a corpus.

    Attributes:
        texts: schema LABEL_TEXTS, the categories alone first.
        studies: schema STUDY_LABELS, the labels that each study's report states.
        findings: schema FINDINGS, what each study's report says of categories.
    """

    texts: pl.DataFrame
    studies: pl.DataFrame
    findings: pl.DataFrame


def structured_labels(
    triplets: pl.DataFrame, studies: pl.DataFrame, knowledge: Knowledge | None, fine_grained: bool, min_ratio: float
) -> StructuredLabels:
    """Labels from triplets.

    "normal" is said of single places, so its triplets are left out; a study without any present or uncertain finding
    gets the label "normal" instead. Absent findings give no label, as in the paper. A study without any triplet was
    not read, whatever the reason: nothing is known of it, not even that it is normal.

    Args:
        triplets: schema TRIPLETS.
        studies: schema STUDIES.
        knowledge: explains the categories in the texts; without it a text ends with the label itself.
        fine_grained: whether labels have location and severity.
        min_ratio: categories present in no larger share of the training studies are left out.
    """
    said = _findings(triplets, studies, min_ratio)
    categories = said["category"].unique().sort().to_list()
    label = {name: pl.col(name) if fine_grained else pl.lit(None, pl.String) for name in ("location", "severity")}
    stated = said.filter(pl.col("state") != ABSENT).select("study_id", "category", "state", **label)
    texts = _label_table(categories, stated, knowledge)
    ranked = stated.join(texts, on=_LABEL, nulls_equal=True).with_columns(rank=pl.col("state").replace_strict(_RANKS))
    labels = _strongest(ranked, "study_id", pl.col("index").alias("label"))
    index = pl.col("category").replace_strict({name: index for index, name in enumerate(categories)})
    ranked = said.with_columns(rank=pl.col("state").replace_strict(_RANKS))
    findings = _strongest(ranked, "study_id", index.cast(pl.Int32).alias("category"))
    return StructuredLabels(texts, labels, findings)


def whole_reports(found: StructuredLabels, studies: pl.DataFrame) -> StructuredLabels:
    """Each study's label is its whole report, as in ConVIRT; the categories alone stay for validation.

    Equal reports are one label. Studies without any text have none.
    """
    categories = found.texts.filter(pl.col("index") == pl.col("plain"), pl.col("location").is_null())
    categories = categories.filter(pl.col("severity").is_null())
    worded = studies.select("study_id", text=pl.col("report").str.strip_chars()).filter(pl.col("text") != "")
    reports = worded.select(pl.col("text").unique().sort()).with_row_index("index", offset=len(categories))
    index = pl.col("index").cast(pl.Int32)
    reports = reports.with_columns(index, plain=index, mirror=index)
    owned = worded.join(reports, on="text").select("study_id", label="index", state=pl.lit(PRESENT)).sort("study_id")
    return StructuredLabels(pl.concat([categories, reports], how="diagonal"), owned, found.findings)


def _findings(triplets: pl.DataFrame, studies: pl.DataFrame, min_ratio: float) -> pl.DataFrame:
    """What is said of frequent categories: study_id, category, location, severity, state; and who is normal."""
    location = pl.when(pl.col("anatomy") != UNSPECIFIED).then("anatomy").alias("location")
    said = triplets.filter(pl.col("pathology") != NORMAL).select(
        "study_id", "severity", location, category="pathology", state="existence"
    )
    ill = said.filter(pl.col("state") != ABSENT)["study_id"].unique()
    learned = studies.filter(pl.col("split") == "train")["study_id"]
    positive = said.filter(pl.col("state") == PRESENT, pl.col("study_id").is_in(learned.implode()))
    ratio = pl.col("study_id").n_unique() / max(1, len(learned))
    frequent = positive.group_by("category").agg(ratio.alias("ratio")).filter(pl.col("ratio") > min_ratio)
    kept = said.filter(pl.col("category").is_in(frequent["category"].implode()))
    state = pl.when(pl.col("study_id").is_in(ill.implode())).then(pl.lit(ABSENT)).otherwise(pl.lit(PRESENT))
    read = studies.join(triplets, on="study_id", how="semi")
    normal = read.select("study_id", category=pl.lit(NORMAL), state=state)
    return pl.concat([kept, normal], how="diagonal")


def _label_table(categories: list[str], stated: pl.DataFrame, knowledge: Knowledge | None) -> pl.DataFrame:
    """Schema LABEL_TEXTS: categories alone, then each stated label and its mirror, in alphabetical order."""
    alone = pl.DataFrame({"category": categories}, schema={"category": pl.String})
    detailed = stated.select(_LABEL).filter(pl.col("location").is_not_null() | pl.col("severity").is_not_null())
    mirrored = detailed.with_columns(_mirrored())
    detailed = pl.concat([detailed, mirrored]).unique().sort(_LABEL, nulls_last=False)
    table = pl.concat([alone, detailed], how="diagonal").with_row_index("index").cast({"index": pl.Int32})
    plain = pl.col("category").replace_strict({name: index for index, name in enumerate(categories)})
    mirror = table.select(mirror="index", **{name: pl.col(name) for name in _LABEL})
    table = table.with_columns(plain.cast(pl.Int32).alias("plain"), other=_mirrored())
    table = table.join(
        mirror, left_on=["category", "other", "severity"], right_on=_LABEL, nulls_equal=True, maintain_order="left"
    )
    texts = [
        label_text(category, location, severity, knowledge)
        for category, location, severity in table.select(_LABEL).rows()
    ]
    return table.select("index", *_LABEL, "plain", "mirror", text=pl.Series(texts, dtype=pl.String))


def _mirrored() -> pl.Expr:
    return pl.col("location").map_elements(other_side, return_dtype=pl.String)


def _strongest(ranked: pl.DataFrame, *by: str | pl.Expr) -> pl.DataFrame:
    """One row per study and label or category: what is most certain of it."""
    names = {rank: state for state, rank in _RANKS.items()}
    pair = ranked.select(*by, "rank")
    keys = pair.columns[:-1]
    pooled = pair.group_by(keys).agg(pl.col("rank").max()).sort(keys)
    return pooled.select(*keys, state=pl.col("rank").replace_strict(names, return_dtype=pl.String))
