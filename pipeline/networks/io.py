"""Models on disk: weights in safetensors beside a config.json; reading them executes nothing."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.networks.medfilip import MedFILIP, MedFILIPConfig
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
TOKENIZER = "tokenizer"  # folder beside them, as Hugging Face's tokenizers are stored


@dataclass(frozen=True)
class StoredModel:
    """MeDSLIP with what is needed to use it.

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


@dataclass(frozen=True)
class StoredMedFILIP:
    """MedFILIP with what is needed to use it.

    Attributes:
        model: in evaluation mode, on the CPU.
        tokenizer: folder of the text transformer's tokenizer.
        categories: names of the categories it was trained on.
        extra: whatever else was stored, such as the training's configuration.
    """

    model: MedFILIP
    tokenizer: Path
    categories: tuple[str, ...]
    extra: Mapping[str, Any]


def save_model(
    folder: Path,
    config: MeDSLIPConfig,
    weights: Mapping[str, Tensor],
    pathologies: tuple[str, ...],
    anatomies: tuple[str, ...],
    extra: Mapping[str, Any],
) -> None:
    """Write MeDSLIP; each file appears whole or not at all.

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
    _save(
        folder, {"model": asdict(config), "pathologies": pathologies, "anatomies": anatomies, "extra": extra}, weights
    )


def save_medfilip(
    folder: Path,
    config: MedFILIPConfig,
    weights: Mapping[str, Tensor],
    categories: tuple[str, ...],
    tokenizer: Path,
    extra: Mapping[str, Any],
) -> None:
    """Write MedFILIP with its tokenizer; each file appears whole or not at all.

    Args:
        folder: made where it is missing.
        config: of the network.
        weights: its state dict.
        categories: names of the categories it was trained on.
        tokenizer: folder with the tokenizer's files; others in it are left.
        extra: further entries of config.json, JSON values.

    Raises:
        ModelError: the files cannot be written.
    """
    _save(folder, {"method": "medfilip", "model": asdict(config), "categories": categories, "extra": extra}, weights)
    try:
        (folder / TOKENIZER).mkdir(exist_ok=True)
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                write_atomically(folder / TOKENIZER / name, partial(copyfile, tokenizer / name))
    except OSError as error:
        raise _unwritable(folder, error) from error


def load_model(folder: Path) -> StoredModel | StoredMedFILIP:
    """Read a model that `save_model` or `save_medfilip` wrote.

    Raises:
        ModelError: a file is missing or unreadable, or weights and config do not fit.
    """
    stored = _read_config(folder / CONFIG)
    try:
        found = _medfilip(folder, stored) if stored.get("method") == "medfilip" else _medslip(stored)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(
            f"{folder / CONFIG} is not of this version ({error}): train or import the model anew."
        ) from error
    _load_weights(found.model, folder / WEIGHTS)
    found.model.eval()
    return found


def load_medslip(folder: Path) -> StoredModel:
    """Read MeDSLIP.

    Raises:
        ModelError: as `load_model`, or the model is of another method.
    """
    found = load_model(folder)
    if not isinstance(found, StoredModel):
        raise ModelError(f"{folder} holds MedFILIP, and this is for MeDSLIP only: pre-train with method=medslip.")
    return found


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer that `save_medfilip` stored.

    Raises:
        ModelError: its files are missing or unreadable.
    """
    from transformers import AutoTokenizer  # late: evaluations of other models do without

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
            folder, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder} holds no readable tokenizer: run `dvc repro pretrain`, or `dvc pull` to fetch the model."
        ) from error
    return tokenizer


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


def _save(folder: Path, described: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    # cloned, as safetensors refuses the shared memory of shared layers
    content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(save(content)))
        write_atomically(folder / CONFIG, lambda path: path.write_text(text))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ModelError:
    return ModelError(f"{folder} cannot be written ({error.strerror}): make room or change its rights.")


def _medslip(stored: Mapping[str, Any]) -> StoredModel:
    model = MeDSLIP(MeDSLIPConfig(**_values(stored)))
    return StoredModel(model, tuple(stored["pathologies"]), tuple(stored["anatomies"]), stored["extra"])


def _medfilip(folder: Path, stored: Mapping[str, Any]) -> StoredMedFILIP:
    model = MedFILIP(MedFILIPConfig(**_values(stored)))
    return StoredMedFILIP(model, folder / TOKENIZER, tuple(stored["categories"]), stored["extra"])


def _values(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored["model"].items()}


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} is missing: run `dvc repro pretrain`, or `dvc pull` to fetch the model.")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): train or import the model anew.") from error
    return content


def _load_weights(model: nn.Module, path: Path) -> None:
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
