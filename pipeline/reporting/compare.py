"""Runs side by side: this project's own and the papers' published rows, which are always named as such.

Makes the tables' content; `sheets` shows it. Configurations over several seeds, with tests, are in `trials`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl

from pipeline.errors import ParamsError
from pipeline.reporting.published import own_figures
from pipeline.reporting.results import ORDER
from pipeline.reporting.sheets import Line, Sheet
from pipeline.tracking import HEADLINES, PublishedRun, is_headline


@dataclass(frozen=True)
class Row:
    """One line of a comparison; metrics are fractions by name, as in `zero_shot.cxr14.auroc`."""

    name: str
    switches: str
    published: bool
    metrics: Mapping[str, float]
    method: str = ""  # whose paper's metrics are shown too; empty of published rows


@dataclass(frozen=True)
class Comparison:
    """Lines under the same metrics."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def best(self, column: str) -> float | None:
        """The highest figure among this project's own rows."""
        return max(
            (row.metrics[column] for row in self.rows if not row.published and column in row.metrics), default=None
        )

    def markdown(self) -> str:
        """One table in Markdown; the best of this project's own rows is bold."""
        return self._sheet("", self.columns).markdown()

    def sheets(self) -> list[Sheet]:
        """One table per task, each with the rows that have one of its metrics."""
        tasks = dict.fromkeys(column.partition(".")[0] for column in self.columns)
        parts = {task: [column for column in self.columns if column.startswith(f"{task}.")] for task in tasks}
        return [self._sheet(task.replace("_", "-"), columns) for task, columns in parts.items()]

    def _sheet(self, title: str, columns: Sequence[str]) -> Sheet:
        lines = [self._line(row, columns) for row in self.rows if not columns or set(columns) & row.metrics.keys()]
        header = (column.partition(".")[2] if title else column for column in columns)  # the title names the task
        return Sheet(title, ("run, switches changed", *header), tuple(lines))

    def _line(self, row: Row, columns: Sequence[str]) -> Line:
        values = [row.metrics.get(column) for column in columns]
        best = [
            place for place, (column, value) in enumerate(zip(columns, values, strict=True), 1)
            if not row.published and value is not None and value == self.best(column)
        ]  # fmt: skip
        return Line((f"{row.name} {row.switches}".rstrip(), *map(figure, values)), frozenset(best), row.published)


def comparison(own: Sequence[Row], published: Sequence[PublishedRun], sort: str | None = None) -> Comparison:
    """Put runs and published rows under the metrics that `shown_metrics` chooses.

    Args:
        own: this project's runs.
        published: rows of the papers; those without any of the shown metrics are left out.
        sort: metric to show and to sort by, highest first; in the given order, own runs first, when None.

    Raises:
        ParamsError: no run has the metric to sort by.
    """
    columns = shown_metrics([(row.method, row.metrics) for row in own], sort)
    theirs = [Row(row.name, row.switches, True, row.metrics) for row in published if set(columns) & set(row.metrics)]
    rows = [*own, *theirs]
    if sort is not None:
        rows.sort(key=lambda row: -row.metrics.get(sort, float("-inf")))
    return Comparison(columns, tuple(rows))


def shown_metrics(runs: Sequence[tuple[str, Iterable[str]]], sort: str | None) -> tuple[str, ...]:
    """The headlines among the runs' metrics and what their methods' papers print, after the one to sort by.

    Args:
        runs: the method and the metrics of each.
        sort: metric to show first.

    Raises:
        ParamsError: no run has the metric to sort by.
    """
    known = list(dict.fromkeys(name for _, names in runs for name in names))
    if sort is not None and sort not in known:
        near = get_close_matches(sort, _sortable(known), n=5, cutoff=0.3) or _sortable(known)
        raise ParamsError(f"No run has the metric {sort}: sort by one such as {', '.join(near)}.")
    printed = {name for method, _ in runs for name in own_figures(method)}
    shown = (name for name in _ordered(known) if is_headline(name) or name in printed)
    return tuple(dict.fromkeys([*([sort] if sort else []), *shown]))


def rows_of_runs(runs: pl.DataFrame) -> list[Row]:
    """MLflow's runs (`tracking.runs`) as rows; runs that have no evaluation yet are left out."""
    return [
        Row(run["name"].removesuffix(run["switches"]).strip(), run["switches"], False, metrics, method_of(run))
        for run in runs.to_dicts()
        if (metrics := metrics_of(run))
    ]


def metrics_of(run: Mapping[str, Any]) -> dict[str, float]:
    """The evaluations' metrics of one of MLflow's runs."""
    names = [name for name, value in run.items() if name.partition(".")[0] in HEADLINES and value is not None]
    return {name: run[name] for name in _ordered(names)}


def method_of(run: Mapping[str, Any]) -> str:
    """The method of one of MLflow's runs; empty where it is not logged."""
    return run.get("params.method") or ""


def figure(value: float | None) -> str:
    """A fraction as people read it; empty when there is none."""
    return "" if value is None else f"{value:.3f}"


def _sortable(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "/" not in name)


def _ordered(names: Iterable[str]) -> list[str]:
    """Metrics in the order of the tasks, the benchmarks in the papers' order, headlines before the others."""
    tasks = [*HEADLINES]

    def key(name: str) -> tuple[int, int, str, bool, str]:
        task, benchmark = name.split(".")[:2]
        return tasks.index(task), _place(benchmark), benchmark, not is_headline(name), name

    return sorted(names, key=key)


def _place(benchmark: str) -> int:
    return ORDER.index(benchmark) if benchmark in ORDER else len(ORDER)
