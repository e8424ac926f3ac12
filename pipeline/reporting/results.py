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
from pipeline.params.inputs import PHANTOM
from pipeline.pictures import read_pictures
from pipeline.schemas import FINDING_POINTS, POINTS, SCORES, read_table
from pipeline.tracking import flat_metrics

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
        return Path(self.params["data"]["root"]) == PHANTOM


@dataclass(frozen=True)
class HeatMaps:
    """Example images with their heat maps and boxes; boxes are rows of example, x, y, width, height in pixels."""

    images: NDArray[np.uint8]  # [n, S, S]
    maps: NDArray[np.float32]  # [n, g, g], not negative
    boxes: NDArray[np.float64]  # [boxes, 5]
    captions: tuple[str, ...]  # n


@dataclass(frozen=True)
class Masks:
    """Example images with the true regions and those that a model outlined."""

    images: NDArray[np.uint8]  # [n, S, S]
    truth: NDArray[np.bool_]  # [n, S, S]
    predicted: NDArray[np.bool_]  # [n, S, S]
    captions: tuple[str, ...]  # n


@dataclass(frozen=True)
class Outcome:
    """All results of one run; those of a task by benchmark."""

    corpus: Results | None
    training: Results | None
    curves: pl.DataFrame | None  # one row per epoch; None of an imported model
    triplets: Results | None
    tasks: Mapping[str, Mapping[str, Results]]  # those of `evaluations`, each with the results that are there
    scores: Mapping[str, pl.DataFrame]  # zero-shot scores of the test images (schemas.SCORES)
    heat_maps: Mapping[str, HeatMaps]
    masks: Mapping[str, Masks]
    finding_points: Mapping[str, pl.DataFrame]  # schemas.FINDING_POINTS
    streams: pl.DataFrame | None  # schemas.POINTS; None of a model that has no two streams, or in a clone without it
    silhouette: float | None
    case_study: Results | None

    @property
    def zero_shot(self) -> Mapping[str, Results]:
        """Zero-shot classification by benchmark."""
        return self.tasks["zero_shot"]

    @property
    def grounding(self) -> Mapping[str, Results]:
        """Zero-shot grounding by benchmark."""
        return self.tasks["grounding"]

    @property
    def imported(self) -> str | None:
        """The folder of the imported model that was evaluated; None when it was trained here."""
        return self.training.get("imported") if self.training else None

    def metrics(self) -> dict[str, float]:
        """The numbers under the names that MLflow and `cxr compare` use, as in `zero_shot.cxr14.auroc`."""
        return {
            name: value
            for task, benchmarks in self.tasks.items()
            for benchmark, results in benchmarks.items()
            for name, value in flat_metrics(results, task, benchmark).items()
        }


def evaluations(params: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a run evaluates: task -> its benchmarks. A task's results lie in the folder of its name below reports/.

    Args:
        params: nested as in params.yaml.
    """
    finetune = params["finetune"]
    zero_shot = [*params["benchmarks"], *params["corpus_benchmarks"]]
    return {
        "zero_shot": zero_shot,
        "grounding": [*params["grounding"]],
        "finetune": [*finetune["benchmarks"]],
        "segmentation": [*finetune["segmentation"]],
        "retrieval": [*params["retrieval"]],
        "unseen": [*params["unseen"]],
        "finding_maps": [*params["finding_maps"]],
    }


def load_outcome(reports: Path, params: Mapping[str, Any]) -> Outcome:
    """Read what is there of the run's results; files of benchmarks that the run leaves out are left alone.

    Args:
        reports: the folder of metrics, scores and curves.
        params: nested as in params.yaml; they name the evaluations of the run.

    Raises:
        TableError: a file is not what its stage writes.
    """
    tasks = {task: _all_json(reports / task, names) for task, names in evaluations(params).items()}

    def beside(task: str, suffix: str) -> dict[str, Path]:
        paths = {name: reports / task / f"{name}{suffix}" for name in tasks[task]}
        return {name: path for name, path in paths.items() if path.is_file()}

    embeddings = _json(reports / "embeddings.json")
    silhouette, points = embeddings["silhouette"] if embeddings else None, reports / "embeddings.parquet"
    return Outcome(
        corpus=_json(reports / "corpus.json"),
        training=_json(reports / "pretrain" / "metrics.json"),
        curves=_curves(reports / "pretrain" / "curves.csv"),
        triplets=_json(reports / "triplets.json"),
        tasks=tasks,
        scores={name: _test_scores(path) for name, path in beside("zero_shot", ".parquet").items()},
        heat_maps={name: _heat_maps(path) for name, path in beside("grounding", ".safetensors").items()},
        masks={name: _masks(path) for name, path in beside("segmentation", ".safetensors").items()},
        finding_points={
            name: read_table(path, FINDING_POINTS) for name, path in beside("finding_maps", ".parquet").items()
        },
        streams=read_table(points, POINTS) if silhouette is not None and points.is_file() else None,
        silhouette=silhouette,
        case_study=_json(reports / "case_study.json"),
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
    captions, stored = read_pictures(path, "images", "maps", "boxes")
    return HeatMaps(stored["images"], stored["maps"], stored["boxes"].reshape(-1, 5), captions)


def _masks(path: Path) -> Masks:
    captions, stored = read_pictures(path, "images", "truth", "predicted")
    return Masks(stored["images"], stored["truth"], stored["predicted"], captions)


def _unreadable(path: Path, error: Exception) -> TableError:
    return TableError(f"{path} cannot be read ({error}): delete it and run `dvc repro`.")
