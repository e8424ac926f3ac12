"""Tables in the terminal: the results of the last run, and the comparison of all runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from pipeline import tracking
from pipeline.errors import PipelineError
from pipeline.reporting.compare import comparison, figure, rows_of_runs
from pipeline.reporting.published import published_rows
from pipeline.reporting.results import Outcome, Results, load_outcome
from pipeline.reporting.sheets import Sheet, page, terminal_table

NOTE = "Rows named `published` are the papers' own figures, measured on other data than this project's."


@dataclass(frozen=True)
class Shown:
    """How to show tables: for a terminal, or in Markdown; and, where a file is named, as an HTML page too."""

    markdown: bool = False
    html: Path | None = None

    def show(self, title: str, sheets: Sequence[Sheet], notes: Sequence[str]) -> None:
        """Show tables and the notes on how to read them."""
        console = Console()
        for sheet in sheets:
            if self.markdown:
                print(f"### {sheet.title}\n\n{sheet.markdown()}")
            else:
                console.print(*map(terminal_table, sheet.split(console.width)))
        for note in notes:
            console.print(note, highlight=False, markup=False, soft_wrap=self.markdown)
        if self.html:
            self.html.write_text(page(title, sheets, notes))


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
    if any(results.get("notes") for task in outcome.tasks.values() for results in task.values()):
        console.print("Which findings have few images, and what was left out, is told at the end of the report.")
    console.print(
        f"\nReport:  open {reports / 'index.html'} in a browser\n"
        "MLflow:  MLFLOW_DISABLE_TELEMETRY=true mlflow server --backend-store-uri sqlite:///mlflow.db\n"
        f"         then {tracking.results_page()}\n"
        "Compare: cxr compare",
        highlight=False,
        soft_wrap=True,
    )


def results_table(outcome: Outcome) -> Table:
    """One line per figure: headline with its 95 % interval, F1 and accuracy, what it has to beat, and the images."""
    table = Table(title="Results on test images, macro means with 95 % intervals by patient")
    for name in ("evaluation", "headline", "95 % interval", "F1", "accuracy", "to beat", "images"):
        table.add_column(name, justify="left" if name == "evaluation" else "right")
    for benchmark, results in outcome.zero_shot.items():
        table.add_row(f"zero-shot {benchmark}", *_cells(results, "auroc", "AUROC"), "0.500", _images(results))
    for benchmark, results in outcome.grounding.items():
        chance = figure(results.get("chance", {}).get("pointing_game"))
        table.add_row(f"grounding {benchmark}", *_cells(results, "pointing_game", "pointing"), chance, _images(results))
    for task, metric, word in (("finetune", "auroc", "AUROC"), ("segmentation", "dice", "Dice")):
        for benchmark, results in outcome.tasks[task].items():
            for row in _tuned(results["runs"], metric, word):
                table.add_row(f"{task} {benchmark}, {row[0]}", *row[1:])
    for name, results in outcome.tasks["retrieval"].items():
        chance, pairs = figure(results["chance_p_at_10"]), str(results["pairs"])
        table.add_row(f"retrieval {name}", f"P@10 {figure(results['p_at_10'])}", "", "", "", chance, pairs)
    return table


def _tuned(runs: Mapping[str, Any], metric: str, word: str) -> Iterator[tuple[str, ...]]:
    """By share of the training images: the pre-trained encoder's figure, which has random weights to beat."""
    random = runs.get("random", {})
    for percent, run in runs["pretrained"].items():
        low, high = run[f"{metric}_interval"]
        beaten = figure(random[percent][metric]) if random else ""
        learned = f"{percent} % ({run['images']} images)"
        yield learned, f"{word} {figure(run[metric])}", f"{low:.3f} to {high:.3f}", "", "", beaten


def print_comparison(sort: str | None, shown: Shown) -> None:
    """Print this project's runs beside the published rows, highest first when sorted.

    Raises:
        ParamsError: no run has the metric to sort by.
        PipelineError: MLflow's store does not answer, or no run has results.
    """
    compared = comparison(rows_of_runs(evaluated_runs()), published_rows(), sort)
    shown.show("Runs compared", compared.sheets(), [NOTE])


def evaluated_runs() -> pl.DataFrame:
    """This project's runs in MLflow, as `tracking.runs` has them.

    Raises:
        PipelineError: MLflow's store does not answer, or no run has results.
    """
    runs = tracking.runs()
    if not rows_of_runs(runs):
        raise PipelineError(
            "MLflow holds no evaluated run yet: run `dvc repro`, or, where it finds nothing changed (as after "
            "`dvc pull`), `dvc repro --force --single-item report`, which logs the results that are there."
        )
    return runs


def _cells(results: Results, headline: str, word: str) -> tuple[str, str, str, str]:
    interval = results.get("intervals", {}).get(headline)
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    return f"{word} {figure(results[headline])}", between, figure(results.get("f1")), figure(results.get("accuracy"))


def _images(results: Results) -> str:
    return str(results.get("counts", {}).get("images", ""))
