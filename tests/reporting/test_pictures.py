"""What the report says of zero-shot classification and of training, from the numbers in the files."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes

from pipeline.reporting import figures
from pipeline.reporting.pictures import subgroup_pictures, training_pictures, zero_shot_pictures
from pipeline.reporting.results import Outcome, ReportInputs, load_outcome


@pytest.fixture(scope="module")
def outcome(inputs: ReportInputs) -> Outcome:
    return load_outcome(inputs.reports, inputs.params)


def changed(outcome: Outcome, **parts: Any) -> Outcome:
    """With parts of the results of one benchmark, the only one."""
    results = {**outcome.zero_shot["siim"], **parts}
    return replace(outcome, tasks={**outcome.tasks, "zero_shot": {"siim": results}}, scores={})


def sentence(pictures, name: str) -> str:
    return next(picture.see for picture in pictures if picture.name == name)


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        (([0.6, 0.8], [0.55, 0.7], [0.5, 0.7]), "2 of 3 intervals lie above chance (dashed line)."),
        (([0.6, 0.8], [0.2, 0.4], [0.3, 0.5]), "1 of 3 intervals lie above chance (dashed line), 1 below."),
        (([0.4, 0.8], [0.4, 0.7], [0.3, 0.5]), "0 of 3 intervals lie above chance (dashed line)."),
    ],
)
def test_intervals_on_either_side_of_chance_are_counted(outcome: Outcome, intervals, said: str) -> None:
    rows = {
        f"finding{place}": {"auroc": np.mean(one), "auroc_interval": one, "positives": 9}
        for place, one in enumerate(intervals)
    }
    assert sentence(zero_shot_pictures(changed(outcome, per_class=rows)), "auroc_siim").endswith(said)


def test_the_calibration_error_is_that_of_the_diagram(outcome: Outcome) -> None:
    bins = [
        {"low": 0.1, "high": 0.2, "count": 30, "confidence": 0.15, "frequency": 0.25},
        {"low": 0.8, "high": 0.9, "count": 10, "confidence": 0.85, "frequency": 0.55},
    ]
    shown = changed(outcome, calibration={"ece": 0.9, "per_class": {}, "reliability": bins})
    # (30 * 0.1 + 10 * 0.3) / 40
    assert sentence(zero_shot_pictures(shown), "reliability").endswith("in the diagram: SIIM-ACR Pneumothorax 0.150.")


def test_severities_are_compared_over_the_findings_that_both_have(outcome: Outcome, monkeypatch) -> None:
    drawn, original = [], Axes.errorbar

    def errorbar(axes, *args, **options):
        drawn.append(options["label"])
        return original(axes, *args, **options)

    monkeypatch.setattr(Axes, "errorbar", errorbar)
    rows = {
        "subtle": {"mass": 0.6, "macro": 0.6},
        "severe": {"mass": 0.7, "edema": 0.4, "macro": 0.55},  # lower, but for edema, which is never subtle
    }
    counts = {name: {"macro_interval": None, "positives": 9} for name in rows}
    shown = list(zero_shot_pictures(changed(outcome, by_severity=rows, severity_counts=counts)))
    assert "subtle ones score lower than severe ones in 1 of 1 benchmarks" in sentence(shown, "severity")
    assert "SIIM-ACR Pneumothorax (1 to 2)" in drawn


def test_the_axis_of_severities_holds_every_interval(monkeypatch) -> None:
    limits = []

    def svg(figure):
        limits.append(figure.axes[0].get_ylim())

    monkeypatch.setattr(figures, "svg", svg)
    figures.severity_points({"A": {"subtle": (0.4, (0.1, 0.7)), "severe": (0.9, (0.8, 1.0))}})
    assert limits[0][0] < 0.1 < 1.0 < limits[0][1]


def test_a_subgroup_over_fewer_findings_says_so(outcome: Outcome, monkeypatch) -> None:
    named = []
    monkeypatch.setattr(figures, "subgroup_points", lambda groups, *_: named.extend(groups))
    row = {"auroc": 0.8, "auroc_interval": None, "n": 1200, "findings": 2}
    groups = {"sex": {"F": row, "M": row | {"findings": 1}}}
    per_class = {"mass": {}, "edema": {}}
    (picture,) = subgroup_pictures(changed(outcome, subgroups=groups, per_class=per_class))
    assert picture.see.endswith("images in brackets, and findings where not all 2 can be scored.")
    assert named == ["sex F (1,200)", "sex M (1,200, 1 findings)"]


def test_the_rise_is_to_the_epoch_whose_weights_are_evaluated(outcome: Outcome) -> None:
    curves = pl.DataFrame({
        "epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "validation_loss": [3.0, 2.0, 2.5],
        "validation_auroc_pathology": [0.5, 0.7, 0.6], "validation_auroc_anatomy": [0.4, 0.6, 0.8],
    })  # fmt: skip
    shown = replace(outcome, curves=curves, training={**outcome.training, "best_epoch": 2})
    assert sentence(training_pictures(shown), "validation_auroc") == (
        "From the first epoch to the best (2), AUROC of questions about validation images: pathology from 0.500 to "
        "0.700, anatomy from 0.400 to 0.600."
    )
