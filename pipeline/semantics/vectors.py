"""Prompts' vectors from a frozen text encoder, which stays as it is while a model trains: each is computed once."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from pipeline.semantics.query_sets import KINDS
from pipeline.semantics.text_encoder import Pooling, TextEncoder


def encode_prompts(table: pl.DataFrame, encoder: TextEncoder, pooling: Pooling) -> dict[str, torch.Tensor]:
    """The vectors of a prompt table.

    Returns:
        "<group>/<style>" -> float32 [N, h], rows in the order of `index`. Equal texts have equal vectors.
    """
    # Apart, as the texts encoded together decide the last bits: what benchmarks ask must not change what is learned.
    learned = table.filter(pl.col("group").is_in(KINDS))["text"].unique(maintain_order=True).to_list()
    asked = table.filter(~pl.col("text").is_in(learned))["text"].unique(maintain_order=True).to_list()
    row_of = {text: row for row, text in enumerate([*learned, *asked])}
    vectors = torch.cat([encoder.encode(learned, pooling), encoder.encode(asked, pooling)])  # [distinct texts, h]
    groups = table.sort("index", maintain_order=True).group_by("group", "style", maintain_order=True)
    return {
        f"{group}/{style}": vectors[[row_of[text] for text in rows["text"]]].contiguous()
        for (group, style), rows in groups
    }


def write_vectors(vectors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write the vectors of `encode_prompts` as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(vectors), path)
