"""Prompt texts of the query sets and benchmarks, and their vectors from a frozen text encoder.

The text encoder is frozen while a model trains, so every vector is computed once, here. How queries are chosen is in
`query_sets`, the encoder in `text_encoder`.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from pipeline.semantics.knowledge import Knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.semantics.query_sets import KINDS, pathology_prompts
from pipeline.semantics.text_encoder import Pooling, TextEncoder

TRAINING_STYLES = {"pathology": "explanation", "anatomy": "template"}
KNOWN_DISEASE = "pneumonia"  # by whose name MedFILIP's Table 3 asks for COVID-19, which no model has seen
UNSEEN = "unseen"  # the group of that prompt
BENCHMARK_TEMPLATE = "There is {pathology}."

Finding = tuple[str, str | None]  # canonical pathology, and severity where one is asked for


def prompt_table(
    query_sets: pl.DataFrame, benchmarks: Mapping[str, Mapping[str, Finding]], knowledge: Knowledge
) -> pl.DataFrame:
    """Every prompt that a model is trained or scored with.

    Args:
        query_sets: schema QUERY_SETS.
        benchmarks: benchmark -> {finding: what it is}; the order is the vectors'.
        knowledge: explains the canonical pathologies that no query stands for, such as one never seen in training.

    Returns:
        Schema PROMPTS: the groups `pathology` (style explanation) and `anatomy` (style template), and each benchmark in
        the styles name, template and explanation. A finding that a query stands for is explained in that query's words,
        which the model knows; one of a stated severity by its label text.

    Raises:
        ParamsError: a finding has no explanation.
    """
    rows = [
        (kind, TRAINING_STYLES[kind], *row)
        for kind in KINDS
        for row in query_sets.filter(pl.col("kind") == kind).sort("index").select("index", "name", "prompt").rows()
    ]
    learned = pathology_prompts(query_sets)
    for group, findings in benchmarks.items():
        texts = {name: _styles(*finding, learned, knowledge) for name, finding in findings.items()}
        for style in ("name", "template", "explanation"):
            rows += [(group, style, index, name, texts[name][style]) for index, name in enumerate(findings)]
    schema = {"group": pl.String, "style": pl.String, "index": pl.Int32, "name": pl.String, "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


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


def _styles(pathology: str, severity: str | None, learned: Mapping[str, str], knowledge: Knowledge) -> dict[str, str]:
    name = f"{severity} {pathology}" if severity else pathology
    known = learned.get(pathology) or knowledge.explanation(pathology)
    return {
        "name": name,
        "template": BENCHMARK_TEMPLATE.format(pathology=name),
        "explanation": label_text(pathology, None, severity, knowledge) if severity else known,
    }
