"""Models on disk: weights in safetensors beside a config.json; reading them executes nothing."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class StoredModel:
    """A model with what is needed to use it.

    Attributes:
        model: in evaluation mode, on the CPU.
        pathologies: names of the pathology queries it was trained on.
        anatomies: names of the anatomy queries.
        extra: whatever else was stored, such as the training's configuration.
    """

    model: MeDSLIP
    pathologies: tuple[str, ...]
    anatomies: tuple[str, ...]
    extra: Mapping[str, Any]


def save_model(
    folder: Path,
    config: MeDSLIPConfig,
    weights: Mapping[str, Tensor],
    pathologies: tuple[str, ...],
    anatomies: tuple[str, ...],
    extra: Mapping[str, Any],
) -> None:
    """Write a model; each file appears whole or not at all.

    Args:
        folder: made where it is missing.
        config: of the network.
        weights: its state dict.
        pathologies: names of its pathology queries.
        anatomies: names of its anatomy queries.
        extra: further entries of config.json, JSON values.

    Raises:
        ModelError: the files cannot be written.
    """
    described = {"model": asdict(config), "pathologies": pathologies, "anatomies": anatomies, "extra": extra}
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    # cloned, as safetensors refuses the shared memory of shared layers
    content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(save(content)))
        write_atomically(folder / CONFIG, lambda path: path.write_text(text))
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error.strerror}): make room or change its rights.") from error


def load_model(folder: Path) -> StoredModel:
    """Read a model that `save_model` wrote.

    Raises:
        ModelError: a file is missing or unreadable, or weights and config do not fit.
    """
    stored = _read_config(folder / CONFIG)
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["model"].items()}
        model = MeDSLIP(MeDSLIPConfig(**values))
        names = tuple(stored["pathologies"]), tuple(stored["anatomies"])
        extra = stored["extra"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder / CONFIG} is not of this version ({error}): train or import the model anew."
        ) from error
    _load_weights(model, folder / WEIGHTS)
    return StoredModel(model.eval(), *names, extra)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under another name, flushed to disk, then renamed; a failure leaves the old file.

    Raises:
        OSError: no room, no right, or no folder; also whatever `write` raises.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        write(unfinished)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} is missing: run `dvc repro pretrain`, or `dvc pull` to fetch the model.")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): train or import the model anew.") from error
    return content


def _load_weights(model: MeDSLIP, path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing: run `dvc repro pretrain`, or `dvc pull` to fetch the model.")
    try:
        model.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise ModelError(
            f"{path} is not a readable safetensors file ({error}): train or fetch the model anew."
        ) from error
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} does not fit its {CONFIG} ({problem}): train or import the model anew.") from error
