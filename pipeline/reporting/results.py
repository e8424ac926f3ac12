"""What the stages wrote below reports/, read back for people: the only place that knows the files' names.

A part that was not computed is None or empty; a file that cannot be read is an error.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.schemas import POINTS, SCORES, read_table

ORDER = ("cxr14", "rsna", "siim", "covidx")  # the papers' order of benchmarks; others come after them
Results = Mapping[str, Any]  # the content of one evaluation's JSON file


@dataclass(frozen=True)
class ReportInputs:
    """Where a report's content lies, and what the run was.

    Attributes:
        reports: the folder of metrics, scores and curves.
        contact_sheet: PNG of phantoms with their findings outlined; None on real data.
        params: nested as in params.yaml; `method`, `scale`, `data.root` and `corpus.name` are named in the page.
    """

    reports: Path
    contact_sheet: Path | None
    params: Mapping[str, Any]

    @property
    def phantoms(self) -> bool:
        """Whether the images were drawn by this project."""
        return str(self.params["data"]["root"]) == "data/phantom"


@dataclass(frozen=True)
class HeatMaps:
    """Example images with their heat maps and boxes; boxes are rows of example, x, y, width, height in pixels."""

    images: NDArray[np.uint8]  # [n, S, S]
    maps: NDArray[np.float32]  # [n, g, g], not negative
    boxes: NDArray[np.float64]  # [boxes, 5]
    captions: tuple[str, ...]  # n


@dataclass(frozen=True)
class Outcome:
    """All results of one run."""

    corpus: Results | None
    training: Results | None
    curves: pl.DataFrame | None  # one row per epoch; None of an imported model
    triplets: Results | None
    zero_shot: Mapping[str, Results]  # by benchmark
    scores: Mapping[str, pl.DataFrame]  # by benchmark, the test images' (schemas.SCORES)
    grounding: Mapping[str, Results]  # by benchmark
    heat_maps: Mapping[str, HeatMaps]  # by benchmark
    streams: pl.DataFrame | None  # schemas.POINTS
    silhouette: float | None

    @property
    def imported(self) -> str | None:
        """The folder of the imported model that was evaluated; None when it was trained here."""
        return self.training.get("imported") if self.training else None

    def metrics(self) -> dict[str, float]:
        """The headline numbers under the names that MLflow and `cxr compare` use, as in `zero_shot.cxr14.auroc`."""
        tasks = {"zero_shot": self.zero_shot, "grounding": self.grounding}
        return {
            f"{task}.{benchmark}.{name}": float(value)
            for task, benchmarks in tasks.items()
            for benchmark, results in benchmarks.items()
            for name, value in results.items()
            if isinstance(value, int | float)
        }


def load_outcome(reports: Path, params: Mapping[str, Any]) -> Outcome:
    """Read what is there of the run's results; files of benchmarks that the run leaves out are left alone.

    Args:
        reports: the folder of metrics, scores and curves.
        params: `benchmarks` and `grounding` name the evaluations of the run.

    Raises:
        TableError: a file is not what its stage writes.
    """
    zero_shot = _all_json(reports / "zero_shot", params["benchmarks"])
    grounding = _all_json(reports / "grounding", params["grounding"])
    maps = {name: reports / "grounding" / f"{name}.npz" for name in grounding}
    scores = {name: reports / "zero_shot" / f"{name}.parquet" for name in zero_shot}
    points, silhouette = reports / "embeddings.parquet", _json(reports / "embeddings.json")
    return Outcome(
        corpus=_json(reports / "corpus.json"),
        training=_json(reports / "pretrain" / "metrics.json"),
        curves=_curves(reports / "pretrain" / "curves.csv"),
        triplets=_json(reports / "triplets.json"),
        zero_shot=zero_shot,
        scores={name: _test_scores(path) for name, path in scores.items() if path.is_file()},
        grounding=grounding,
        heat_maps={name: _heat_maps(path) for name, path in maps.items() if path.is_file()},
        streams=read_table(points, POINTS) if points.is_file() else None,
        silhouette=silhouette["silhouette"] if silhouette else None,
    )


def _json(path: Path) -> Results | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict):
        raise _unreadable(path, TypeError("it holds no object"))
    return content


def _all_json(folder: Path, names: Iterable[str]) -> dict[str, Results]:
    found = {name: _json(folder / f"{name}.json") for name in names}
    return {name: content for name, content in found.items() if content is not None}


def _curves(path: Path) -> pl.DataFrame | None:
    if not path.is_file():
        return None
    try:
        curves = pl.read_csv(path, infer_schema_length=None)
        curves = curves.select(pl.col("epoch"), pl.exclude("epoch").cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error) from error
    return curves if len(curves) else None


def _test_scores(path: Path) -> pl.DataFrame:
    return read_table(path, SCORES).filter(pl.col("split") == "test")


def _heat_maps(path: Path) -> HeatMaps:
    try:
        with np.load(path) as stored:
            captions = tuple(str(caption) for caption in stored["captions"])
            return HeatMaps(stored["images"], stored["maps"], stored["boxes"].reshape(-1, 5), captions)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> TableError:
    return TableError(f"{path} cannot be read ({error}): delete it and run `dvc repro`.")
