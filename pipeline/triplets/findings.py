"""Triplets to a dataset's labels: one 0/1 column per finding, named as in its label file.

Which pathologies make a finding is data (`label_sets` in `lexicon.yaml`); this module only counts.
"""

from collections.abc import Sequence

import polars as pl

from pipeline.errors import ParamsError
from pipeline.schemas import PRESENT
from pipeline.triplets.lexicon import LabelSet, load_lexicon


def findings(triplets: pl.DataFrame, label_set: str, studies: Sequence[str] | pl.Series | None = None) -> pl.DataFrame:
    """The findings of studies: 1 when a pathology of the finding is present in the report, else 0.

    Args:
        triplets: columns study_id, pathology and existence.
        label_set: "cxr14" or "chexpert" (names of `label_sets` in the lexicon).
        studies: the studies to list, in this order; those without triplets have none of the findings. By default the
            studies of the triplets, in the order of their first triplet.

    Returns:
        Columns study_id and one int8 per finding, in the lexicon's order.

    Raises:
        ParamsError: the label set is unknown.
    """
    sets = load_lexicon().label_sets
    if label_set not in sets:
        raise ParamsError(f"The label set {label_set!r} is unknown: use one of {', '.join(sets)}.")
    listed = triplets["study_id"] if studies is None else pl.Series("study_id", list(studies), dtype=pl.String)
    rows = pl.DataFrame({"study_id": listed.unique(maintain_order=True)})
    names = sets[label_set].findings
    wide = _wide(triplets.filter(pl.col("existence") == PRESENT), sets[label_set])
    filled = rows.join(wide, on="study_id", how="left", maintain_order="left").with_columns(pl.col(*names).fill_null(0))
    return _with_no_finding(filled, sets[label_set])


def _wide(present: pl.DataFrame, labels: LabelSet) -> pl.DataFrame:
    """[studies with a triplet present, findings] of 0 and 1."""
    columns = [
        pl.col("pathology").is_in(list(pathologies)).any().cast(pl.Int8).alias(name)
        for name, pathologies in labels.findings.items()
    ]
    return present.group_by("study_id", maintain_order=True).agg(columns)


def _with_no_finding(rows: pl.DataFrame, labels: LabelSet) -> pl.DataFrame:
    if labels.no_finding is None:
        return rows
    harmful = [name for name in labels.findings if name not in labels.harmless]
    none = (pl.max_horizontal(harmful) == 0).cast(pl.Int8).alias(labels.no_finding)
    return rows.select("study_id", none, *labels.findings)
