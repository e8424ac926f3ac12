"""How well extracted triplets agree with the truth, as sets per study; the arithmetic only, no files."""

from collections.abc import Sequence

import polars as pl

from pipeline.errors import EvaluationError
from pipeline.schemas import PRESENT

Score = dict[str, float]


def score(predicted: pl.DataFrame, truth: pl.DataFrame) -> dict[str, dict[str, float] | dict[str, Score]]:
    """Precision, recall and F1 of per-study sets of triplets.

    F1 = 2 TP / (2 TP + FP + FN), where a true positive is a (study, pathology, anatomy, existence) in both tables.
    Micro pools all triplets; macro is the mean over the truth's pathologies.

    Args:
        predicted, truth: columns study_id, pathology, anatomy and existence; repeated rows count once.

    Returns:
        "triplets" and "pathology_existence" (places ignored), each with micro and macro precision, recall and f1 in
        [0, 1]; "per_pathology": name -> precision, recall, f1 and the truth's count.

    Raises:
        EvaluationError: the truth holds no triplets.
    """
    if truth.is_empty():
        raise EvaluationError("The true triplets are empty: there is nothing to score against.")
    full = _per_pathology(predicted, truth, ["study_id", "pathology", "anatomy", "existence"])
    short = _per_pathology(predicted, truth, ["study_id", "pathology", "existence"])
    names = full.filter(pl.col("truth") > 0).select("pathology", "precision", "recall", "f1", "truth").rows(named=True)
    return {
        "triplets": _summary(full),
        "pathology_existence": _summary(short),
        "per_pathology": {
            row["pathology"]: {k: row[k] for k in ("precision", "recall", "f1", "truth")} for row in names
        },
    }


def score_severity(predicted: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float]:
    """How often findings that are rightly called present get the right severity.

    What a report grades in several ways counts as right when all of them are found, and no other.

    Args:
        predicted, truth: columns study_id, pathology, anatomy, existence and severity (null for none).

    Returns:
        "findings": the (study, pathology, anatomy) present in both tables; "graded": those of them with a severity in
        the truth; "accuracy" and "accuracy_graded" in [0, 1] over either, left out where there are none.
    """
    keys = ["study_id", "pathology", "anatomy"]
    grades = [
        table.filter(pl.col("existence") == PRESENT).group_by(keys).agg(pl.col("severity").unique().sort().alias(name))
        for name, table in (("predicted", predicted), ("truth", truth))
    ]
    both = grades[0].join(grades[1], on=keys).with_columns(right=pl.col("predicted") == pl.col("truth"))
    graded = both.filter(pl.col("truth").list.drop_nulls().list.len() > 0)
    accuracies = {"accuracy": both["right"].mean(), "accuracy_graded": graded["right"].mean()}
    known = {name: float(value) for name, value in accuracies.items() if isinstance(value, float)}
    return {"findings": len(both), "graded": len(graded), **known}


def _per_pathology(predicted: pl.DataFrame, truth: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """pathology, hits, predicted, truth (counts) and precision, recall, f1, sorted by name."""
    guessed, true = predicted.select(keys).unique(), truth.select(keys).unique()
    counts = [
        table.group_by("pathology").agg(pl.len().cast(pl.Int64).alias(name))
        for name, table in (
            ("hits", guessed.join(true, on=list(keys), how="semi")),
            ("predicted", guessed),
            ("truth", true),
        )
    ]
    joined = counts[1].join(counts[2], on="pathology", how="full", coalesce=True)
    joined = joined.join(counts[0], on="pathology", how="left").with_columns(pl.exclude("pathology").fill_null(0))
    return joined.with_columns(*_ratios(pl.col("hits"), pl.col("predicted"), pl.col("truth"))).sort("pathology")


def _ratios(hits: pl.Expr, predicted: pl.Expr, truth: pl.Expr) -> list[pl.Expr]:
    """Precision, recall and F1; 0 where nothing was predicted or true."""
    return [
        (hits / predicted).fill_nan(0.0).alias("precision"),
        (hits / truth).fill_nan(0.0).alias("recall"),
        (2 * hits / (predicted + truth)).fill_nan(0.0).alias("f1"),
    ]


def _summary(rows: pl.DataFrame) -> Score:
    micro = rows.select(*_ratios(pl.col("hits").sum(), pl.col("predicted").sum(), pl.col("truth").sum())).row(
        0, named=True
    )
    macro = rows.filter(pl.col("truth") > 0).select(pl.col("precision", "recall", "f1").mean()).row(0, named=True)
    return {
        f"{kind}_{name}": value for kind, row in (("micro", micro), ("macro", macro)) for name, value in row.items()
    }
