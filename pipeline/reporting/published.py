"""The figures that the two papers print, as rows to put beside this project's runs.

They were measured on the papers' data and are never this project's results; `published.yaml` cites the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pipeline.tracking import PublishedRun

MAIN_MODELS = {"medslip": "medslip/MeDSLIP", "medfilip": "medfilip/MedFILIP"}  # by method: its authors' own row


@dataclass(frozen=True)
class Paper:
    """A paper whose figures are quoted."""

    name: str
    citation: str
    url: str
    data: str


@cache
def papers() -> Mapping[str, Paper]:
    """The quoted papers by key, `medslip` and `medfilip`."""
    return {
        key: Paper(row["name"], row["citation"], row["url"], row["data"]) for key, row in _content()["papers"].items()
    }


@cache
def published_rows() -> tuple[PublishedRun, ...]:
    """Every row of the papers' tables, those of one model in one paper merged, the papers' own models first.

    Metrics are fractions in [0, 1] under the names of `tracking.flat_metrics`; F1 and accuracy end in `_oracle`,
    because both papers choose the threshold on the test images.
    """
    content = _content()
    metrics: dict[tuple[str, str], dict[str, float]] = {}
    for table in content["tables"]:
        for model, benchmarks in table["rows"].items():
            metrics.setdefault((table["paper"], model), {}).update(_metrics(table, benchmarks))
    rows = [_row(content["papers"][paper], paper, model, row) for (paper, model), row in metrics.items()]
    return tuple(sorted(rows, key=lambda row: row.key not in MAIN_MODELS.values()))


def own_figures(method: str) -> Mapping[str, float]:
    """The figures that a method's authors print of it, by metric; none of an unknown method."""
    return next((row.metrics for row in published_rows() if row.key == MAIN_MODELS.get(method)), {})


def _metrics(table: Mapping[str, Any], benchmarks: Mapping[str, list[float]]) -> dict[str, float]:
    return {
        f"{table['task']}.{benchmark}.{score}": round(percent / 100, 6)
        for benchmark, percents in benchmarks.items()
        for score, percent in zip(table["scores"], percents, strict=True)
    }


def _row(paper: Mapping[str, Any], key: str, model: str, metrics: dict[str, float]) -> PublishedRun:
    note = f"Not a run of this project. Printed in: {paper['citation']} {paper['url']} ({paper['data']})"
    name, _, switches = model.partition(" ablation, ")
    table = "ablation, " if switches else ""
    full = f"published: {name} ({table}{paper['name']})"
    return PublishedRun(f"{key}/{model}", full, switches, note, paper["date"], metrics)


def _content() -> dict[str, Any]:
    content = yaml.safe_load((files("pipeline.reporting") / "published.yaml").read_text())
    assert isinstance(content, dict)
    return content
