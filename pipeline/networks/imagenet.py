"""Encoders with published ImageNet weights: a Hugging Face ResNet read into a PatchEncoder.

Any folder or hub repository in the format of transformers' ResNet will do, such as microsoft/resnet-50. Reading one
executes nothing and needs no transformers.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import ModelError
from pipeline.networks.backbone import PatchEncoder
from pipeline.networks.io import CONFIG, WEIGHTS

_HUB_SECONDS = 5.0  # a hospital's firewall drops packets: do not wait for it
_PREFIX = "resnet."  # of the encoder within a classifier
# Settings of a ResNet that PatchEncoder has fixed; left out of a config.json where they are the default.
_FIXED = {
    "num_channels": 3,
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
}


def load_imagenet(source: str, stages: int) -> PatchEncoder:
    """Read a ResNet, cut after some of its stages.

    Args:
        source: a folder with config.json and model.safetensors, or an id on the Hugging Face hub, taken from the local
            cache where it is there.
        stages: how many of its stages to keep, all where it has fewer.

    Returns:
        The encoder, of 3 channels and in evaluation mode.

    Raises:
        ModelError: a file is missing or unreadable, or is not that of a ResNet as PatchEncoder builds it.
    """
    folder = Path(source) if Path(source).is_dir() else _fetch(source)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"The ResNet in {source} lacks {name}: {_what_to_bring(source)}")
    encoder = _build(folder, source, stages)
    _load_weights(encoder, folder, source)
    return encoder.eval()


def _fetch(source: str) -> Path:
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {source} with a ResNet: {_what_to_bring(source)}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=[CONFIG, WEIGHTS], etag_timeout=_HUB_SECONDS))
    except Exception as error:  # the hub's client raises its own, requests' and the socket's errors
        raise ModelError(
            f"The ResNet {source} is no folder, not in the local cache, and the hub gave none "
            f"({type(error).__name__}): {_what_to_bring(source)}"
        ) from error


def _build(folder: Path, source: str, stages: int) -> PatchEncoder:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        shape = config["layer_type"], config["depths"][:stages], config["hidden_sizes"][:stages]
        stem = config["embedding_size"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{CONFIG} of {source} describes no ResNet ({type(error).__name__}: {error}): {_what_to_bring(source)}"
        ) from error
    for name, value in _FIXED.items():
        if config.get(name, value) != value:
            raise ModelError(f"The ResNet {source} has {name} {config[name]}, not {value}: {_what_to_bring(source)}")
    return PatchEncoder(*shape, stem, channels=3)


def _load_weights(encoder: PatchEncoder, folder: Path, source: str) -> None:
    try:
        weights = {name.removeprefix(_PREFIX): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    except SafetensorError as error:
        raise ModelError(f"{WEIGHTS} of {source} is not readable ({error}): copy it anew.") from error
    # how many batches a normalisation has seen does not matter in use, and not every file says it
    wanted = {name: own for name, own in encoder.resnet.state_dict().items() if not name.endswith("batches_tracked")}
    wrong = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
    if wrong:
        raise ModelError(
            f"The weights of the ResNet {source} hold no fitting {wrong[0]} ({len(wrong)} are wrong in all): bring the "
            f"weights that belong to its {CONFIG}."
        )
    encoder.resnet.load_state_dict({name: weights[name] for name in wanted}, strict=False)


def _what_to_bring(source: str) -> str:
    return (
        f"bring {CONFIG} and {WEIGHTS} of a ResNet in transformers' format, such as microsoft/resnet-50, into one "
        f"folder and set finetune.imagenet to it, correct {source!r}, or leave imagenet out of finetune.inits."
    )
