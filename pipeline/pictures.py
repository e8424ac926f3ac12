"""Files of example images with what a model drew on them, for the report.

They are safetensors: without a date inside, as `.npz` has, the same results are the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.errors import TableError

Arrays = Mapping[str, NDArray[Any]]


def write_pictures(path: Path, captions: Sequence[str], arrays: Arrays) -> None:
    """Write arrays by name, and a caption for each picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    together = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(together, path, {"captions": json.dumps(list(captions))})


def read_pictures(path: Path, *names: str) -> tuple[tuple[str, ...], Arrays]:
    """The captions, and the arrays of some names.

    Raises:
        TableError: the file cannot be read, or lacks an array.
    """
    try:
        with safe_open(path, "numpy") as stored:
            captions = json.loads(stored.metadata()["captions"])
            return tuple(captions), {name: stored.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TableError(f"{path} cannot be read ({error}): delete it and run `dvc repro`.") from error
