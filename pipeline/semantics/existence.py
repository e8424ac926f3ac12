"""Existence matrices: what each study's report says of every (anatomy, pathology) pair of the query sets.

Sparse, as a table: a pair that the report does not mention has no row. What an unmentioned or uncertain pair means to a
loss is decided in training.
"""

import polars as pl

from pipeline.semantics.query_sets import query_rows

_RANKS = {"absent": 0, "uncertain": 1, "present": 2}  # the stronger statement of a pair wins
_VALUES = {0: 0, 1: 2, 2: 1}  # rank -> value of the schema


def build_existence(triplets: pl.DataFrame, query_sets: pl.DataFrame) -> pl.DataFrame:
    """Pool triplets into one value per study and pair: present > uncertain > absent.

    Args:
        triplets: schema TRIPLETS, any split.
        query_sets: schema QUERY_SETS. An anatomy outside the set falls to its nearest parent region in the set, else to
            "other"; a triplet whose pathology is outside the set is dropped.

    Returns:
        Schema EXISTENCE, sorted by study, anatomy and pathology.
    """
    pair = ("study_id", "anatomy", "pathology")
    rank = pl.col("existence").replace_strict(_RANKS, return_dtype=pl.Int8)
    located = triplets.select("study_id", rank.alias("rank"), **query_rows(query_sets).locate())
    strongest = located.drop_nulls("pathology").group_by(pair).agg(pl.col("rank").max()).sort(pair)
    return strongest.select(*pair, value=pl.col("rank").replace_strict(_VALUES, return_dtype=pl.Int8))


def count_coverage(triplets: pl.DataFrame, query_sets: pl.DataFrame) -> dict[str, int]:
    """How many triplets the query sets keep, drop and move to a wider region.

    Returns:
        `triplets`; `dropped`, whose pathology is outside the set; and of the kept ones `to_parent_region` and
        `to_other`, whose anatomy has no row of its own.
    """
    rows = query_rows(query_sets)
    kept = triplets.filter(pl.col("pathology").is_in(list(rows.pathology)))
    wider = kept.filter(~pl.col("anatomy").is_in(list(rows.exact)))
    to_parent = wider.filter(pl.col("anatomy").is_in(list(rows.anatomy))).height
    return {
        "triplets": triplets.height,
        "dropped": triplets.height - kept.height,
        "to_parent_region": to_parent,
        "to_other": wider.height - to_parent,
    }
