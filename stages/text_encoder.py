"""Train a small BERT on the training reports, or fetch the one that params.yaml names."""

from pathlib import Path

from pipeline.schemas import STUDIES, read_table
from pipeline.semantics.text_encoder import EncoderConfig, fetch_encoder, train_encoder
from stages.common import fix_torch, run, stage_params, write_metrics

OUT = Path("models/text_encoder")


def main() -> None:
    params = stage_params("seed", "threads", "text_encoder")
    fix_torch(params)
    ...


if __name__ == "__main__":
    run(main)
