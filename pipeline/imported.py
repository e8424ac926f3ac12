"""Models that were not trained here: what an import leaves on disk for the stages, and the export back.

A folder holds the model in this project's format beside the prompts of its queries, and is named by its content, so
that `model.imported` says which model a result is of. How weights are renamed is in `networks.released`.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import yaml
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.networks.io import CONFIG, load_medslip, save_model, write_atomically
from pipeline.networks.released import RELEASED, from_released, read_checkpoint, to_released, write_checkpoint
from pipeline.semantics.query_sets import authors_queries
from pipeline.tracking import project_root

IMPORTED = Path("models/imported")
QUERIES = "queries.yaml"  # prompts by kind and name; `query_sets.source` may name such a file


def import_released(checkpoint: Path, explanations: Path, folder: Path = IMPORTED) -> Path:
    """Bring the authors' released MeDSLIP model into this project's format.

    Args:
        checkpoint: torch pickle {"model": state dict, ...}; nothing in it is executed.
        explanations: the authors' JSON file that explains each of their pathologies, name -> text.
        folder: in which the model gets a folder of its own.

    Returns:
        The model's folder.

    Raises:
        ModelError: the checkpoint is not that of the released model, or the folder cannot be written.
        ParamsError: the explanations are not the authors'.
    """
    queries, weights = authors_queries(explanations), from_released(read_checkpoint(checkpoint))
    names = tuple(queries["pathology"]), tuple(queries["anatomy"])
    text = yaml.safe_dump(queries, sort_keys=False, allow_unicode=True, width=120)
    own = folder / f"medslip-{_identity(weights, text)}"
    save_model(own, RELEASED, weights, *names, {"imported": "the authors' released checkpoint"})
    write_atomically(own / QUERIES, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
    return own


def export_released(model: Path, checkpoint: Path) -> list[str]:
    """Write a model of this project as a checkpoint of the authors' model.

    Args:
        model: folder of a stored model.
        checkpoint: the file to write.

    Returns:
        The parameters that have no place there, which serve training alone.

    Raises:
        ModelError: the model is missing, has no counterpart there, or the file cannot be written.
    """
    stored = load_medslip(model)
    state, left_out = to_released(stored.model.config, stored.model.state_dict())
    write_checkpoint(checkpoint, state)
    return left_out


def imported_folder(imported: str) -> Path:
    """The folder that `model.imported` names, relative to the project's own folder or absolute.

    Raises:
        ModelError: there is no imported model.
    """
    folder = project_root() / imported
    if not (folder / CONFIG).is_file() or not (folder / QUERIES).is_file():
        raise ModelError(
            f"model.imported = {imported} holds no imported model: set it to the folder that `cxr import-checkpoint` "
            "names, or to null to train one."
        )
    return folder


def _identity(weights: Mapping[str, Tensor], queries: str) -> str:
    digest = sha256(queries.encode())
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return digest.hexdigest()[:12]
