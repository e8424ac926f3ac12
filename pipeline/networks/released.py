"""The authors' released MeDSLIP checkpoint and this project's model: each one's weights under the other's names.

A checkpoint is read without executing anything in it. It holds neither a text encoder nor prompts: prompts are the
business of `pipeline.semantics`, and what an import leaves on disk that of `pipeline.imported`.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.networks.io import write_atomically
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig

# The paper's sizes, and where the released code departs from the paper.
RELEASED = MeDSLIPConfig(mask="linear", shared_norm=True, icl_similarity="dot", head_dropout=0.1)
STARTS = (b"PK", b"\x80")  # of torch's zip archives and of pickles
ALIASES = {"disease_embedding_layer": "pathology_embedding_layer"}  # in the authors' grounding sample
TRAINING_ONLY = {  # no answer depends on them
    "dropout", "head_dropout", "icl", "icl_similarity", "icl_scale", "tau", "learn_tau",
}  # fmt: skip
SHOWN = 3  # names in an error

# This project's names -> the checkpoint's, applied one after the other.
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^backbone\.resnet\.embedder\.embedder\.convolution", "res_features.0"),
        (r"^backbone\.resnet\.embedder\.embedder\.normalization", "res_features.1"),
        (r"^backbone\.resnet\.encoder\.stages\.0\.layers", "res_features.4"),
        (r"^backbone\.resnet\.encoder\.stages\.1\.layers", "res_features.5"),
        (r"^backbone\.resnet\.encoder\.stages\.2\.layers", "res_features.6"),
        (r"layer\.0\.convolution", "conv1"),
        (r"layer\.1\.convolution", "conv2"),
        (r"layer\.2\.convolution", "conv3"),
        (r"layer\.0\.normalization", "bn1"),
        (r"layer\.1\.normalization", "bn2"),
        (r"layer\.2\.normalization", "bn3"),
        (r"shortcut\.convolution", "downsample.0"),
        (r"shortcut\.normalization", "downsample.1"),
        (r"^prompt_projection", "pathology_embedding_layer"),
        (r"^(pathology|anatomy)\.embed([12])", r"res_l\2_\1"),
        (r"^(pathology|anatomy)\.decoder", r"decoder_\1"),
        (r"^(pathology|anatomy)\.predictor", r"classifier_\1"),
        (r"^(pathology|anatomy)\.to_text", r"cl_fc_\1"),
    )
)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a torch pickle {"model": state dict, ...}, under the authors' names.

    Raises:
        ModelError: the file is missing or damaged, holds more than plain data, or no state dict.
    """
    try:
        content = _load(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: give the path of the downloaded checkpoint.") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds something other than tensors, numbers and text, so it was not read and nothing in it was "
            'executed: ask for a file that holds {"model": state dict} alone.'
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is no readable torch checkpoint: download it anew.") from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelError(f"{path} holds no state dict under `model`: give the authors' checkpoint as it was published.")
    return {_canonical(name): tensor for name, tensor in state.items()}


def write_checkpoint(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write {"model": state dict}, tensors alone.

    Raises:
        ModelError: the file cannot be written.
    """
    try:
        write_atomically(path, lambda unfinished: torch.save({"model": dict(state)}, unfinished))
    except (OSError, RuntimeError) as error:  # torch reports a missing folder and a full disk as RuntimeError
        raise ModelError(f"{path} cannot be written: make its folder, make room or change its rights.") from error


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `MeDSLIP(RELEASED)` from those of the authors' model.

    Raises:
        ModelError: parameters are missing, unknown, or of another shape; names them.
    """
    shapes = {released_name(name): shape for name, shape in _shapes().items()}
    _reject("lacks", [name for name in shapes if name not in state])
    _reject("holds, but the released model does not,", [name for name in state if name not in shapes])
    found = {name: tuple(state[name].shape) for name in shapes}
    misshapen = [name for name, shape in shapes.items() if found[name] != shape]
    _reject("holds", [f"{name} {found[name]} instead of {shapes[name]}" for name in misshapen])
    weights = {name: state[released_name(name)] for name in _shapes()}
    for part in ("weight", "bias"):  # the authors' two query networks end in one and the same layer
        weights[f"anatomy.decoder.norm.{part}"] = weights[f"pathology.decoder.norm.{part}"]
    return weights


def to_released(config: MeDSLIPConfig, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of the authors' model from this project's.

    Args:
        config: of the network; all that its answers depend on must be as in RELEASED.
        weights: its state dict.

    Returns:
        The authors' state dict, and the parameters that have no place there, which serve training alone.

    Raises:
        ModelError: the authors' model would answer differently; names the settings.
    """
    own, theirs = asdict(config), asdict(RELEASED)
    other = [name for name in own if name not in TRAINING_ONLY and own[name] != theirs[name]]
    if other:
        settings = ", ".join(f"{name} = {own[name]} (there {theirs[name]})" for name in other)
        raise ModelError(f"The authors' model has no counterpart of {settings}: train a model with their values.")
    state = {released_name(name): weights[name].detach().cpu().clone() for name in _shapes()}
    return state, sorted(weights.keys() - _shapes().keys())


def released_name(name: str) -> str:
    """The authors' name of a parameter or buffer of `MeDSLIP(RELEASED)`."""
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


@cache
def _shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the released model under this project's names."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in MeDSLIP(RELEASED).state_dict().items()}


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(2).startswith(STARTS):
            raise ValueError("such as a web page stored in place of the file")
    return torch.load(path, map_location="cpu", weights_only=True)


def _canonical(name: str) -> str:
    """The authors' name of a parameter, also of a model that was stored as wrapped for several GPUs."""
    module, dot, rest = name.removeprefix("module.").partition(".")
    return ALIASES.get(module, module) + dot + rest


def _reject(verb: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ModelError(
            f"The checkpoint {verb} {', '.join(names[:SHOWN])}{more}: give one of the authors' released MeDSLIP model."
        )
