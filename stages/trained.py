"""What the stages after pre-training share: the trained model's identity, and what determined it."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.params import Params, compose
from pipeline.schemas import IMAGES, read_table
from pipeline.tracking import Training
from stages.common import content_hash

PRETRAINED = Path("models/pretrained")
TRAINING = PRETRAINED / "training.json"
VECTORS = Path("models/prompts.safetensors")
LABELS, LABEL_VECTORS = Path("data/labels"), Path("models/label_vectors.safetensors")
UPSTREAM = {"images": ("size",), "extraction": ("source",), "text_encoder": ("source", "pooling")}
CODE = tuple(map(Path, ("pipeline/networks", "pipeline/losses", "pipeline/training", "pipeline/laterality.py")))


def model_hash() -> str:
    """Content hash of the best weights."""
    return content_hash([PRETRAINED / "best" / "model.safetensors"])


def stored_training() -> Training:
    """What the pre-training stage recorded of itself."""
    return Training(**json.loads(TRAINING.read_text()))


def split_images(split: str, decoded: pl.Series) -> pl.DataFrame:
    """The corpus images of a split that are among the decoded ones, by image_id: schema IMAGES."""
    images = read_table(Path("data/corpus/images.parquet"), IMAGES)
    return images.filter(pl.col("split") == split, pl.col("image_id").is_in(decoded.implode()))


def training_record(params: Params, inputs: Sequence[Path]) -> Training:
    """What determines a training: parameters, inputs and code; and what the defaults of its method and scale are."""
    chosen = _described(params.model_dump(mode="json"))
    defaults = _described(compose(Path("conf"), [f"method={params.method}", f"scale={params.scale}"])[1])
    defaults = {name: defaults[name] for name in chosen} | {"scale": "demo"}
    text = json.dumps([chosen, content_hash([*CODE, *inputs])], sort_keys=True)
    if params.model.imported:
        chosen, defaults = _of_imported(chosen), _of_imported(defaults)
    return Training(sha256(text.encode()).hexdigest()[:24], chosen, defaults)


def _of_imported(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters without those that say how a model is built and trained here."""
    kept = {name: value for name, value in params.items() if name not in ("loss", "train", "augment")}
    return kept | {"model": {"imported": params["model"]["imported"]}}


def _described(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that tell models apart; of the corpus its name alone, as folders differ by machine."""
    above = {section: {name: params[section][name] for name in names} for section, names in UPSTREAM.items()}
    return params | above | {"corpus": params["corpus"]["name"]}
