"""Metrics of scored images: macro and per finding, with intervals, by severity, by subgroup, calibration.

Works on a table of scores (`schemas.SCORES`) whatever model made them, so that zero-shot and fine-tuned
classification share it. Thresholds come from validation images; those chosen on test images are named `_oracle`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.errors import EvaluationError
from pipeline.evaluation import metrics, statistics
from pipeline.evaluation.score_table import ScoreTable, labelled, tabulate
from pipeline.evaluation.statistics import RESAMPLES, Counts, Values, known_mean
from pipeline.evaluation.strata import by_severity, severity_counts, severity_parts, subgroups

METRICS = ("auroc", "average_precision", "f1", "accuracy", "f1_oracle", "accuracy_oracle")
RESAMPLED = ("auroc", "f1", "accuracy", "f1_oracle", "accuracy_oracle")
FEW = 30  # fewer positive or negative images than this are pointed out


@dataclass(frozen=True)
class FindingScores:
    """One finding's metrics on the test images, and the same in every resample."""

    values: dict[str, float | None]  # METRICS, thresholds, prevalence
    resampled: dict[str, Values]  # RESAMPLED -> [R]


def summarise(
    scores: pl.DataFrame, images: pl.DataFrame, benchmark: str, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Score a benchmark from its table of scores.

    A finding without a positive or without a negative test image is listed under `not_scored` and left out of the
    macro means; one without a positive validation image has no honest threshold, so its F1 and accuracy are null, and
    the oracle ones too, as the means of both shall be over the same findings.

    Args:
        scores: `schemas.SCORES`, the validate and test splits.
        images: `schemas.IMAGES`, for the subgroups.
        benchmark: its name, for errors.
        resamples: R, bootstrap resamples of the test patients.
        seed: of the resampling.

    Returns:
        Plain values for JSON: the macro metrics at the top level, the rest under other keys.

    Raises:
        EvaluationError: a split has no images, or no finding has both positive and negative test images.
    """
    validation, test = tabulate(scores, "validate", benchmark), tabulate(scores, "test", benchmark)
    not_scored = _not_scored(test)
    counts = statistics.resample_patients(test.patients, resamples, seed)
    scored = _score_findings(validation, test, counts)
    severities = severity_parts(test, counts)
    return {
        **{name: known_mean([one.values[name] for one in scored.values()]) for name in METRICS},
        "per_class": {name: _with_interval(one) for name, one in scored.items()},
        "intervals": {name: _macro_interval(list(scored.values()), name) for name in RESAMPLED},
        "not_scored": not_scored,
        "by_severity": by_severity(severities),
        "severity_counts": severity_counts(severities),
        "subgroups": subgroups(test, images, counts),
        "calibration": _calibration(test, list(scored)),
        "counts": _counts(validation, test, resamples),
        "notes": _notes(scored, not_scored),
    }


@dataclass(frozen=True)
class Headline:
    """The few figures by which scores of the same images are set side by side, and the AUROC of each finding."""

    metrics: dict[str, Any]  # auroc, auroc_interval, f1, accuracy: macro
    aurocs: dict[str, float]


def headline(scores: pl.DataFrame, benchmark: str, resamples: int = RESAMPLES, seed: int = 0) -> Headline:
    """The headline of a table of scores alone; arguments, errors and values are those of `summarise`."""
    validation, test = tabulate(scores, "validate", benchmark), tabulate(scores, "test", benchmark)
    scored = _score_findings(validation, test, statistics.resample_patients(test.patients, resamples, seed))
    macro = {name: known_mean([one.values[name] for one in scored.values()]) for name in ("auroc", "f1", "accuracy")}
    interval = _macro_interval(list(scored.values()), "auroc")
    aurocs = {name: float(one.values["auroc"] or 0.0) for name, one in scored.items()}
    return Headline(macro | {"auroc_interval": interval}, aurocs)


def macro_metric(scores: pl.DataFrame, benchmark: str, metric: str, counts: Counts) -> tuple[float | None, Values]:
    """One of RESAMPLED over the findings that can be scored: on the test images, and in every resample.

    Args:
        scores: `schemas.SCORES`, the validate and test splits.
        benchmark: its name, for errors.
        metric: its name.
        counts: [R, n] of the test images in the order of their ids.

    Returns:
        The macro mean, None where no finding has the metric, and [R] its values in the resamples.

    Raises:
        EvaluationError: as `summarise`.
    """
    validation, test = tabulate(scores, "validate", benchmark), tabulate(scores, "test", benchmark)
    left_out = _not_scored(test)
    columns = [column for column, name in enumerate(test.findings) if name not in left_out]
    scored = [_score_finding(validation, test, column, counts) for column in columns]
    resampled = [one.resampled[metric] for one in scored if metric in one.resampled]
    values = statistics.macro(resampled) if resampled else np.full(len(counts), np.nan)
    return known_mean([one.values[metric] for one in scored]), values


def _not_scored(test: ScoreTable) -> dict[str, str]:
    """Findings that cannot be scored, and why."""
    reasons = {}
    for column, name in enumerate(test.findings):
        lacking = [
            word for word, label in (("positive", 1), ("negative", 0)) if not (test.labels[:, column] == label).any()
        ]
        if lacking:
            reasons[name] = f"no {' and no '.join(lacking)} test image"
    if len(reasons) == len(test.findings):
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise EvaluationError(
            f"{test.benchmark} cannot be scored ({listed}): check its labels file and test split, or leave it out."
        )
    return reasons


def _score_findings(validation: ScoreTable, test: ScoreTable, counts: Counts) -> dict[str, FindingScores]:
    """Every finding that can be scored."""
    not_scored = _not_scored(test)
    return {
        name: _score_finding(validation, test, column, counts)
        for column, name in enumerate(test.findings) if name not in not_scored
    }  # fmt: skip


def _score_finding(validation: ScoreTable, test: ScoreTable, column: int, counts: Counts) -> FindingScores:
    rows, labels, scores = labelled(test, column)
    drawn = counts[:, rows]  # [R, labelled]
    values: dict[str, float | None] = {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "positives": int(labels.sum()),
        "negatives": int(len(labels) - labels.sum()),
        "prevalence": float(labels.mean()),
    }
    resampled = {"auroc": statistics.resampled_auroc(labels, scores, drawn)}
    honest = _threshold(validation, column)
    oracle = None if honest is None else metrics.best_threshold(labels, scores)  # so that means are over the same
    thresholds = {"": honest, "_oracle": oracle}
    for suffix, threshold in thresholds.items():
        values |= {f"threshold{suffix}": threshold, f"f1{suffix}": None, f"accuracy{suffix}": None}
        if threshold is not None:
            decision = metrics.decide(labels, scores, threshold)
            values |= {f"f1{suffix}": decision.f1, f"accuracy{suffix}": decision.accuracy}
            f1, accuracy = statistics.resampled_decision(labels, scores, threshold, drawn)
            resampled |= {f"f1{suffix}": f1, f"accuracy{suffix}": accuracy}
    return FindingScores(values, resampled)


def _threshold(validation: ScoreTable, column: int) -> float | None:
    """The threshold that maximises F1 on the validation images; None when none of them is positive."""
    _, labels, scores = labelled(validation, column)
    return metrics.best_threshold(labels, scores) if (labels == 1).any() else None


def _macro_interval(scored: list[FindingScores], metric: str) -> list[float] | None:
    known = [one.resampled[metric] for one in scored if metric in one.resampled]
    return statistics.percentile_interval(statistics.macro(known)) if known else None


def _with_interval(one: FindingScores) -> dict[str, Any]:
    return {**one.values, "auroc_interval": statistics.percentile_interval(one.resampled["auroc"])}


def _calibration(test: ScoreTable, findings: list[str]) -> dict[str, Any]:
    """Expected calibration error per finding and their mean, and the reliability diagram of all pairs together."""
    columns = [test.findings.index(name) for name in findings]
    errors = {
        name: metrics.calibration_error(metrics.reliability(*labelled(test, column)[1:]))
        for name, column in zip(findings, columns, strict=True)
    }
    pairs = test.labels[:, columns] >= 0
    pooled = metrics.reliability(test.labels[:, columns][pairs], test.scores[:, columns][pairs])
    return {"ece": float(np.mean(list(errors.values()))), "per_class": errors, "reliability": metrics.as_rows(pooled)}


def _counts(validation: ScoreTable, test: ScoreTable, resamples: int) -> dict[str, int]:
    return {
        "images": len(test.image_ids),
        "patients": len(np.unique(test.patients)),
        "validation_images": len(validation.image_ids),
        "validation_patients": len(np.unique(validation.patients)),
        "resamples": resamples,
    }


def _notes(scored: dict[str, FindingScores], not_scored: dict[str, str]) -> list[str]:
    """What a reader must know before quoting the figures."""
    notes = []
    few = [
        name for name, one in scored.items() if min(one.values["positives"] or 0, one.values["negatives"] or 0) < FEW
    ]
    unthresholded = [name for name, one in scored.items() if one.values["threshold"] is None]
    if few:
        notes.append(
            f"Fewer than {FEW} positive or negative test images, so the figures mean little: {', '.join(few)}."
        )
    if unthresholded:
        notes.append(
            "No positive validation image, hence no threshold, and no F1 and accuracy, oracle ones included: "
            f"{', '.join(unthresholded)}."
        )
    if not_scored:
        notes.append(f"Left out of the macro means: {', '.join(not_scored)}.")
    return notes
