"""Per-image results of every evaluated model, kept on this machine so that models can be tested against each other.

They name patients' images, so they never go to MLflow, whose server may be elsewhere. They lie in `.scores` of the
project's own folder, also from `dvc exp run --temp` and `--queue`, by the hash of the model's weights; git and DVC
leave them alone. Holds no statistics (see `evaluation.pairing`).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.schemas import GROUNDED, SCORES, read_table
from pipeline.tracking import project_root

_SCHEMAS = {"zero_shot": SCORES, "grounding": GROUNDED}


def keep_scores(model_hash: str, task: str, results: Path) -> None:
    """Keep an evaluation's JSON file and, where there is one, the table of per-image results beside it."""
    folder = _folder(model_hash, task)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (results, results.with_suffix(".parquet")):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def kept_results(model_hash: str, task: str, benchmark: str) -> Mapping[str, Any] | None:
    """The content of an evaluation's JSON file; None when it was not kept here."""
    path = _folder(model_hash, task) / f"{benchmark}.json"
    return dict(json.loads(path.read_text())) if path.is_file() else None


def kept_scores(model_hash: str, task: str, benchmark: str) -> pl.DataFrame | None:
    """The per-image results of an evaluation; None when they were not kept here.

    Raises:
        TableError: the file breaks its schema.
    """
    path = _folder(model_hash, task) / f"{benchmark}.parquet"
    return read_table(path, _SCHEMAS[task]) if task in _SCHEMAS and path.is_file() else None


def _folder(model_hash: str, task: str) -> Path:
    return project_root() / ".scores" / model_hash / task
