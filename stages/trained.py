"""What the stages after pre-training share: the trained model, its identity, and the prompts of a benchmark."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.evaluation.scorer import MeDSLIPScorer
from pipeline.networks.io import load_model
from pipeline.params import Params, compose
from pipeline.schemas import PROMPTS, read_table
from pipeline.tracking import Training
from stages.common import content_hash

PRETRAINED = Path("models/pretrained")
TRAINING = PRETRAINED / "training.json"
VECTORS = Path("models/prompts.safetensors")
CODE = (Path("pipeline/networks"), Path("pipeline/losses.py"), Path("pipeline/training"))
BENCHMARK_PROMPTS = Path("models/benchmark_prompts")


def load_scorer() -> MeDSLIPScorer:
    """The best model of the pre-training."""
    model = load_model(PRETRAINED / "best").model.to("cuda" if torch.cuda.is_available() else "cpu")
    return MeDSLIPScorer(model, load_file(VECTORS)["pathology/explanation"])


def class_prompts(benchmark: str, style: str, labelled: Iterable[str]) -> tuple[list[str], Tensor]:
    """The labelled findings of a benchmark, N in the order of its prompts, and their vectors [N, h]."""
    table = read_table(BENCHMARK_PROMPTS / "prompts.parquet", PROMPTS)
    rows = table.filter(pl.col("group") == benchmark, pl.col("style") == style, pl.col("name").is_in(list(labelled)))
    vectors = load_file(BENCHMARK_PROMPTS / "vectors.safetensors")[f"{benchmark}/{style}"]
    return rows["name"].to_list(), vectors[rows["index"].to_list()]


def model_hash() -> str:
    """Content hash of the best weights."""
    return content_hash([PRETRAINED / "best" / "model.safetensors"])


def stored_training() -> Training:
    """What the pre-training stage recorded of itself."""
    return Training(**json.loads(TRAINING.read_text()))


def training_record(params: Params, inputs: Sequence[Path]) -> Training:
    """What determines a training: its parameters, inputs and code; and what the defaults of its scale are."""
    chosen = _described(params.model_dump(mode="json"))
    defaults = _described(compose(Path("conf"), [f"scale={params.scale}"])[1])
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
    return params | {"corpus": params["corpus"]["name"]}
