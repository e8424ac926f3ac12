from datetime import date

import polars as pl
import pytest

from pipeline.errors import ParamsError
from pipeline.reporting.compare import Row, comparison, rows_of_runs
from pipeline.tracking import PublishedRun

FULL = Row("medslip", "", False, {"zero_shot.cxr14.auroc": 0.82, "zero_shot.cxr14.f1": 0.3, "grounding.rsna.iou": 0.2})
LESS = Row("medslip", "icl=false", False, {"zero_shot.cxr14.auroc": 0.80, "zero_shot.cxr14.f1": 0.4})
THEIRS = PublishedRun("p/A", "published: A", "", "", date(2025, 1, 1), {"zero_shot.cxr14.auroc": 0.81})
OTHER = PublishedRun("p/B", "published: B", "", "", date(2025, 1, 1), {"retrieval.mimic.p1": 0.1})


def test_own_runs_come_first_and_rows_that_share_nothing_stay_away() -> None:
    compared = comparison([FULL, LESS], [THEIRS, OTHER])
    assert compared.columns == ("zero_shot.cxr14.auroc",)
    assert [(row.name, row.switches) for row in compared.rows] == [
        ("medslip", ""), ("medslip", "icl=false"), ("published: A", ""),
    ]  # fmt: skip


def test_what_the_methods_paper_prints_is_shown_after_the_headline() -> None:
    metrics = {f"zero_shot.{name}": 0.5 for name in ("rsna.f1", "rsna.accuracy_oracle", "rsna.auroc", "siim.f1_oracle")}
    named = Row("medfilip", "", False, metrics, "medfilip")
    assert comparison([named], []).columns == ("zero_shot.rsna.auroc", "zero_shot.rsna.accuracy_oracle")


def test_sorting_adds_the_metric_and_puts_rows_without_it_last() -> None:
    by_auroc = comparison([LESS, FULL], [THEIRS], "zero_shot.cxr14.auroc")
    assert [row.metrics["zero_shot.cxr14.auroc"] for row in by_auroc.rows] == [0.82, 0.81, 0.80]
    by_f1 = comparison([FULL, LESS], [THEIRS], "zero_shot.cxr14.f1")
    assert by_f1.columns[0] == "zero_shot.cxr14.f1"
    assert [row.switches for row in by_f1.rows[:2]] == ["icl=false", ""]
    assert by_f1.rows[2].published


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ParamsError, match=r"zero_shot\.cxr14\.auc: sort by one such as zero_shot\.cxr14\.auroc"):
        comparison([FULL], [THEIRS], "zero_shot.cxr14.auc")


def test_markdown_marks_the_best_own_run_only() -> None:
    text = comparison([FULL, LESS], [THEIRS]).markdown()
    assert text.splitlines() == [
        "| run, switches changed | zero_shot.cxr14.auroc |",
        "| --- | ---: |",
        "| medslip | **0.820** |",
        "| medslip icl=false | 0.800 |",
        "| published: A | 0.810 |",
    ]


def test_runs_of_mlflow_become_rows_in_the_papers_order() -> None:
    runs = pl.DataFrame({
        "name": ["medslip icl=false", "medslip seed=1"],
        "switches": ["icl=false", "seed=1"],
        "status": ["FINISHED", "RUNNING"],
        "model_hash": ["a", None],
        "grounding.rsna.iou": [0.2, None],
        "zero_shot.covidx.auroc": [0.7, None],
        "zero_shot.siim.auroc": [0.8, None],
        "params.loss.icl": ["false", "true"],
    }, schema_overrides={"grounding.rsna.iou": pl.Float64})  # fmt: skip
    (row,) = rows_of_runs(runs)
    assert (row.name, row.switches) == ("medslip", "icl=false")
    assert list(row.metrics) == ["zero_shot.siim.auroc", "zero_shot.covidx.auroc", "grounding.rsna.iou"]


def test_each_task_is_a_table_of_the_rows_that_have_it() -> None:
    ours = Row("medslip", "", False, {"zero_shot.cxr14.auroc": 0.82, "grounding.rsna.pointing_game": 0.6})
    first, second = comparison([ours, LESS], [THEIRS]).sheets()
    assert (first.title, second.title) == ("zero-shot", "grounding")
    assert first.header == ("run, switches changed", "cxr14.auroc")
    assert [line.cells for line in second.lines] == [("medslip", "0.600")]
    assert first.lines[0].best == {1}
    assert [line.quiet for line in first.lines] == [False, False, True]
