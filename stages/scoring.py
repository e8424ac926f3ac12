"""What the evaluations share: the trained model as a scorer, and the prompts of a benchmark."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts, Scorer
from pipeline.networks.io import StoredModel, load_model, load_tokenizer
from pipeline.schemas import PROMPTS, read_table
from stages.trained import PRETRAINED, VECTORS

BENCHMARK_PROMPTS = Path("models/benchmark_prompts")


def load_scorer() -> Scorer:
    """The best model of the pre-training."""
    stored, device = load_model(PRETRAINED / "best"), "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(stored, StoredModel):
        return MeDSLIPScorer(stored.model.to(device), load_file(VECTORS)["pathology/explanation"])
    from pipeline.evaluation.medfilip_scorer import MedFILIPScorer  # late: MeDSLIP does without transformers

    return MedFILIPScorer(stored.model.to(device), load_tokenizer(stored.tokenizer))


def class_prompts(benchmark: str, style: str, labelled: Iterable[str]) -> tuple[list[str], Prompts]:
    """The labelled findings of a benchmark, N in the order of its prompts, and the prompts."""
    table = read_table(BENCHMARK_PROMPTS / "prompts.parquet", PROMPTS)
    rows = table.filter(pl.col("group") == benchmark, pl.col("style") == style, pl.col("name").is_in(list(labelled)))
    vectors = load_file(BENCHMARK_PROMPTS / "vectors.safetensors")[f"{benchmark}/{style}"]
    return rows["name"].to_list(), Prompts(tuple(rows["text"]), vectors[rows["index"].to_list()])
