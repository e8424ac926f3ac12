"""Train a small BERT on the training reports and the explanations, or fetch the one that params.yaml names."""

from pathlib import Path

import polars as pl

from pipeline.params import TextEncoder
from pipeline.schemas import QUERY_SETS, STUDIES, read_table
from pipeline.semantics.encoder_training import EncoderConfig, train_encoder
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.query_sets import query_names
from pipeline.semantics.text_encoder import load_encoder
from stages.common import run, stage_params, write_metrics
from stages.determinism import fix_torch

OUT = Path("models/text_encoder")


def main() -> None:
    params = stage_params("seed", "threads", "text_encoder")
    fix_torch(params)
    settings = params.text_encoder
    metrics = train_from_reports(settings, params.seed) if settings.source == "corpus" else fetch(settings.source)
    write_metrics(Path("reports/text_encoder.json"), metrics)


def train_from_reports(settings: TextEncoder, seed: int) -> dict[str, float]:
    studies = read_table(Path("data/corpus/studies.parquet"), STUDIES)
    reports = {split: studies.filter(pl.col("split") == split)["report"].to_list() for split in ("train", "validate")}
    queries = query_names(read_table(Path("data/query_sets.parquet"), QUERY_SETS), "pathology")
    descriptions = load_knowledge().descriptions(queries)  # a finding outside the query set stays unseen
    config = EncoderConfig(**settings.model_dump(exclude={"source", "pooling"}))
    return train_encoder(reports["train"], descriptions, reports["validate"], OUT, config, seed)


def fetch(source: str) -> dict[str, float]:
    encoder = load_encoder(source)
    encoder.model.save_pretrained(OUT)
    encoder.tokenizer.save_pretrained(OUT)
    return {"vocabulary": len(encoder.tokenizer), "width": encoder.width}


if __name__ == "__main__":
    run(main)
