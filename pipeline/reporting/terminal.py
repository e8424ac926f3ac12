"""Tables in the terminal: the results of the last run, and the comparison of all runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline import tracking
from pipeline.errors import PipelineError
from pipeline.reporting.compare import Comparison, Row, comparison, figure, rows_of_runs
from pipeline.reporting.published import published_rows
from pipeline.reporting.results import Outcome, Results, load_outcome

NOTE = "Rows named `published` are the papers' own figures, measured on other data than this project's."


def print_results(reports: Path, params: Mapping[str, Any]) -> None:
    """Print the results of the last run and where to see more.

    Args:
        reports: the folder of the results.
        params: nested as in params.yaml; its benchmarks are shown.

    Raises:
        PipelineError: there are none yet.
    """
    outcome = load_outcome(reports, params)
    if not outcome.zero_shot:
        raise PipelineError(f"{reports}/zero_shot holds no results: run `dvc repro` first.")
    console = Console()
    console.print(results_table(outcome))
    for benchmark, results in {**outcome.zero_shot, **outcome.grounding}.items():
        for note in results.get("notes", []):
            console.print(f"{benchmark}: {note}", highlight=False)
    console.print(
        f"\nReport:  open {reports / 'index.html'} in a browser\n"
        "MLflow:  MLFLOW_DISABLE_TELEMETRY=true mlflow server --backend-store-uri sqlite:///mlflow.db\n"
        f"         then {tracking.results_page()}\n"
        "Compare: cxr compare",
        highlight=False,
        soft_wrap=True,
    )


def results_table(outcome: Outcome) -> Table:
    """One line per evaluation: headline figure with its 95 % interval, F1 and accuracy, and the test images."""
    table = Table(title="Results on test images, macro means with 95 % intervals by patient")
    for name in ("evaluation", "headline", "95 % interval", "F1", "accuracy", "chance", "images"):
        table.add_column(name, justify="left" if name == "evaluation" else "right")
    for benchmark, results in outcome.zero_shot.items():
        table.add_row(f"zero-shot {benchmark}", *_cells(results, "auroc", "AUROC"), "0.500", _images(results))
    for benchmark, results in outcome.grounding.items():
        chance = figure(results.get("chance", {}).get("pointing_game"))
        table.add_row(f"grounding {benchmark}", *_cells(results, "pointing_game", "pointing"), chance, _images(results))
    return table


def print_comparison(sort: str | None, markdown: bool) -> None:
    """Print this project's runs beside the published rows, highest first when sorted.

    Raises:
        ParamsError: no run has the metric to sort by.
        PipelineError: MLflow's store does not answer, or no run has results.
    """
    own = rows_of_runs(tracking.runs())
    if not own:
        raise PipelineError("MLflow holds no evaluated run yet: run `dvc repro` first.")
    compared = comparison(own, published_rows(), sort)
    if markdown:
        print(f"{compared.markdown()}\n{NOTE}")
        return
    console = Console()
    console.print(comparison_table(compared))
    console.print(NOTE, highlight=False)


def comparison_table(compared: Comparison) -> Table:
    """The comparison for a terminal: own runs plain, their best figures bold, published rows dim."""
    table = Table(box=box.SIMPLE, pad_edge=False)  # 80 columns hold whole names beside five metrics
    table.add_column("run, switches changed", overflow="fold")
    for column in compared.columns:
        table.add_column(column.replace(".", "\n"), justify="right", no_wrap=True)
    for row in compared.rows:
        cells = [_cell(compared, row, column) for column in compared.columns]
        table.add_row(f"{row.name} {row.switches}".rstrip(), *cells, style="dim" if row.published else None)
    return table


def _cell(compared: Comparison, row: Row, column: str) -> str:
    text, value = figure(row.metrics.get(column)), row.metrics.get(column)
    return f"[bold]{text}[/]" if text and not row.published and value == compared.best(column) else text


def _cells(results: Results, headline: str, word: str) -> tuple[str, str, str, str]:
    interval = results.get("intervals", {}).get(headline)
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    return f"{word} {figure(results[headline])}", between, figure(results.get("f1")), figure(results.get("accuracy"))


def _images(results: Results) -> str:
    return str(results.get("counts", {}).get("images", ""))
