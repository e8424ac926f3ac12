"""What the evaluations share: the trained model as a scorer, encoders to fine-tune, the prompts of a benchmark."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.evaluation.encoders import encoders_of
from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts
from pipeline.networks.backbone import PatchEncoder
from pipeline.networks.io import load_model
from pipeline.schemas import PROMPTS, read_table
from stages.trained import PRETRAINED, VECTORS

BENCHMARK_PROMPTS = Path("models/benchmark_prompts")


def load_scorer() -> MeDSLIPScorer:
    """The best model of the pre-training."""
    model = load_model(PRETRAINED / "best").model.to("cuda" if torch.cuda.is_available() else "cpu")
    return MeDSLIPScorer(model, load_file(VECTORS)["pathology/explanation"])


def load_encoders(inits: Sequence[str], imagenet: str, seed: int) -> dict[str, PatchEncoder]:
    """The best model's image encoder, and those that it is compared with (`evaluation.encoders`)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return encoders_of(inits, load_model(PRETRAINED / "best").model.backbone.to(device), imagenet, seed)


def class_prompts(benchmark: str, style: str, labelled: Iterable[str]) -> tuple[list[str], Prompts]:
    """The labelled findings of a benchmark, N in the order of its prompts, and the prompts."""
    table = read_table(BENCHMARK_PROMPTS / "prompts.parquet", PROMPTS)
    rows = table.filter(pl.col("group") == benchmark, pl.col("style") == style, pl.col("name").is_in(list(labelled)))
    vectors = load_file(BENCHMARK_PROMPTS / "vectors.safetensors")[f"{benchmark}/{style}"]
    return rows["name"].to_list(), Prompts(tuple(rows["text"]), vectors[rows["index"].to_list()])
