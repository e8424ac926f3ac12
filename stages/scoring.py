"""What evaluations share: the trained model as a scorer, encoders to fine-tune, a benchmark's images and prompts."""

from collections.abc import Collection
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.errors import EvaluationError
from pipeline.evaluation.encoders import encoders_of
from pipeline.evaluation.scorer import MeDSLIPScorer, Prompts, Scorer
from pipeline.images.shards import ImageShards
from pipeline.networks.backbone import PatchEncoder
from pipeline.networks.io import StoredModel, load_model, load_tokenizer
from pipeline.params import Finetune
from pipeline.schemas import IMAGES, LABELS, PROMPTS, read_table
from stages.trained import PRETRAINED, VECTORS

BENCHMARKS, BENCHMARK_PROMPTS = Path("data/benchmarks"), Path("models/benchmark_prompts")


def load_scorer() -> Scorer:
    """The best model of the pre-training."""
    stored, device = load_model(PRETRAINED / "best"), "cuda" if torch.cuda.is_available() else "cpu"
    stored.model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolves faster
    if isinstance(stored, StoredModel):
        return MeDSLIPScorer(stored.model, load_file(VECTORS)["pathology/explanation"])
    from pipeline.evaluation.medfilip_scorer import MedFILIPScorer  # late: MeDSLIP does without transformers

    return MedFILIPScorer(stored.model, load_tokenizer(stored.tokenizer))


def load_encoders(chosen: Finetune, seed: int) -> dict[str, PatchEncoder]:
    """The best model's image encoder, and those that it is compared with (`evaluation.encoders`)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pretrained = load_model(PRETRAINED / "best").model.backbone.to(device)
    return encoders_of(chosen.inits, pretrained, chosen.imagenet, seed)


def load_benchmark(name: str) -> tuple[ImageShards, pl.DataFrame, pl.DataFrame]:
    """The decoded images of a benchmark, its images (schema IMAGES) and its labels (schema LABELS)."""
    tables = BENCHMARKS / name
    images, labels = read_table(tables / "images.parquet", IMAGES), read_table(tables / "labels.parquet", LABELS)
    return ImageShards(Path("data/images") / name), images, labels


def benchmark_prompts(benchmark: str, labelled: Collection[str]) -> tuple[list[str], dict[str, Prompts]]:
    """The labelled findings of a benchmark, N in the order of its prompts, and the prompts by style.

    Raises:
        EvaluationError: a labelled finding has no prompt.
    """
    table = read_table(BENCHMARK_PROMPTS / "prompts.parquet", PROMPTS)
    rows = table.filter(pl.col("group") == benchmark, pl.col("name").is_in(list(labelled)))
    if mute := sorted({*labelled} - {*rows["name"]}):
        raise EvaluationError(f"{benchmark} has labels of {', '.join(mute)} but no prompt: run `dvc repro prompts`.")
    vectors = load_file(BENCHMARK_PROMPTS / "vectors.safetensors")
    styles = rows.partition_by("style", as_dict=True, maintain_order=True)
    prompts = {
        str(style): Prompts(tuple(own["text"]), vectors[f"{benchmark}/{style}"][own["index"].to_list()])
        for (style,), own in styles.items()
    }
    return rows["name"].unique(maintain_order=True).to_list(), prompts
