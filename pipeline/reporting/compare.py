"""Runs side by side: this project's own and the papers' published rows, which are always named as such.

Makes the table's content and its Markdown; `terminal` prints it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.errors import ParamsError
from pipeline.reporting.results import ORDER
from pipeline.tracking import PublishedRun

HEADLINES = ("auroc", "pointing_game")  # shown of every evaluation; the others by `sort`


@dataclass(frozen=True)
class Row:
    """One line of a comparison; metrics are fractions by name, as in `zero_shot.cxr14.auroc`."""

    name: str
    switches: str
    published: bool
    metrics: Mapping[str, float]


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
        """The table in Markdown; the best of this project's own rows is bold."""
        cells = [["run", "switches changed", *self.columns], ["---", "---", *["---:"] * len(self.columns)]]
        cells += [[row.name, row.switches, *(self._cell(row, column) for column in self.columns)] for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def _cell(self, row: Row, column: str) -> str:
        text = figure(row.metrics.get(column))
        return f"**{text}**" if not row.published and row.metrics.get(column) == self.best(column) and text else text


def comparison(own: Sequence[Row], published: Sequence[PublishedRun], sort: str | None = None) -> Comparison:
    """Put runs and published rows under the headline metrics of the runs.

    Args:
        own: this project's runs.
        published: rows of the papers; those without any of the shown metrics are left out.
        sort: metric to show and to sort by, highest first; in the given order, own runs first, when None.

    Raises:
        ParamsError: no run has the metric to sort by.
    """
    known = list(dict.fromkeys(name for row in own for name in row.metrics))
    if sort is not None and sort not in known:
        raise ParamsError(f"No run has the metric {sort}: sort by one of {', '.join(_sortable(known))}.")
    headlines = [name for name in known if name.rpartition(".")[2] in HEADLINES]
    columns = tuple(dict.fromkeys([*([sort] if sort else []), *headlines]))
    theirs = [Row(row.name, row.switches, True, row.metrics) for row in published if set(columns) & set(row.metrics)]
    rows = [*own, *theirs]
    if sort is not None:
        rows.sort(key=lambda row: -row.metrics.get(sort, float("-inf")))
    return Comparison(columns, tuple(rows))


def rows_of_runs(runs: pl.DataFrame) -> list[Row]:
    """MLflow's runs (`tracking.runs`) as rows; runs that have no evaluation yet are left out."""
    names = [name for name in runs.columns if "." in name and not name.startswith("params.")]
    rows = []
    for run in runs.to_dicts():
        metrics = {name: run[name] for name in _ordered(names) if run[name] is not None}
        rows.append(Row(run["name"].removesuffix(run["switches"]).strip(), run["switches"], False, metrics))
    return [row for row in rows if row.metrics]


def figure(value: float | None) -> str:
    """A fraction as people read it; empty when there is none."""
    return "" if value is None else f"{value:.3f}"


def _sortable(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "/" not in name)


def _ordered(names: Iterable[str]) -> list[str]:
    """Zero-shot results first and the benchmarks in the papers' order."""
    return sorted(names, key=lambda name: (not name.startswith("zero_shot."), _place(name), name))


def _place(name: str) -> int:
    benchmark = name.split(".")[1]
    return ORDER.index(benchmark) if benchmark in ORDER else len(ORDER)
