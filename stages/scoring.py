"""What the evaluations share: the trained model as a scorer, encoders to fine-tune, the prompts of a benchmark."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.evaluation.encoders import encoders_of
from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts, Scorer
from pipeline.networks.backbone import PatchEncoder
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


def load_encoders(inits: Sequence[str], imagenet: str, seed: int) -> dict[str, PatchEncoder]:
    """The best model's image encoder, and those that it is compared with (`evaluation.encoders`)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return encoders_of(inits, load_model(PRETRAINED / "best").model.backbone.to(device), imagenet, seed)


def benchmark_prompts(benchmark: str, labelled: Iterable[str]) -> tuple[list[str], dict[str, Prompts]]:
    """The labelled findings of a benchmark, N in the order of its prompts, and the prompts by style."""
    table = read_table(BENCHMARK_PROMPTS / "prompts.parquet", PROMPTS)
    rows = table.filter(pl.col("group") == benchmark, pl.col("name").is_in(list(labelled)))
    vectors = load_file(BENCHMARK_PROMPTS / "vectors.safetensors")
    styles = rows.partition_by("style", as_dict=True, maintain_order=True)
    prompts = {
        str(style): Prompts(tuple(own["text"]), vectors[f"{benchmark}/{style}"][own["index"].to_list()])
        for (style,), own in styles.items()
    }
    return rows["name"].unique(maintain_order=True).to_list(), prompts
