"""What every stage does: read its parameters, write metrics, and end in one clear sentence when something is wrong."""

import gc
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import typer

from pipeline.errors import PipelineError
from pipeline.params import Params, load_params
from stages.outputs import earlier_outputs_kept


def stage_params(*reads: str) -> Params:
    """The sections of params.yaml that dvc.yaml declares for the stage."""
    return load_params(reads)


def workers() -> int:
    """Processes to use for work whose result does not depend on their number."""
    return len(os.sched_getaffinity(0))


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics as JSON with sorted keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n")


def content_hash(paths: Iterable[Path]) -> str:
    """Hash of the bytes of files and of all files below folders."""
    digest = sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix != ".pyc" and file.is_file():
                digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:24]


def run(main: Callable[..., Any], *, puts_back: bool = True) -> None:
    """Run a stage's main function as a command.

    An expected error is one sentence and exit code 1; after any failure the outputs are those of the last run, unless
    `puts_back` is off.
    """
    gc.freeze()  # what has been imported is never looked through for garbage again, not even on the way out
    try:
        with earlier_outputs_kept() if puts_back else nullcontext():
            typer.run(main)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
