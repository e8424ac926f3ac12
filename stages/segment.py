"""Fine-tuned segmentation of one benchmark."""

from pathlib import Path

import numpy as np
import torch

from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.results import write_results
from pipeline.evaluation.segmentation import SegmentationConfig, evaluate_segmentation
from pipeline.images.shards import ImageShards
from pipeline.schemas import DICE, IMAGES, LABELS, MASKS, SUBSETS, read_table, write_table
from stages.common import fix_torch, run, stage_params
from stages.scoring import load_encoders


def main(name: str) -> None:
    params = stage_params("seed", "threads", "evaluation", "finetune")
    torch.set_flush_denormal(
        True
    )  # before threads start, which inherit it: numbers near 0 slow a decoder's step fivefold
    fix_torch(params)
    tables, chosen = Path("data/benchmarks") / name, params.finetune
    result = evaluate_segmentation(
        load_encoders(chosen.inits, chosen.imagenet, params.seed),
        ImageShards(Path("data/images") / name),
        read_table(tables / "images.parquet", IMAGES),
        read_table(tables / "labels.parquet", LABELS),
        read_table(tables / "masks.parquet", MASKS),
        SegmentationConfig(
            draws=chosen.decoder_seeds,
            fit=FitConfig(**chosen.decoder.model_dump()),
            resamples=params.evaluation.resamples,
            seed=params.seed,
        ),
        benchmark=name,
    )
    path = Path("reports/segmentation") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.dice, path.with_suffix(".parquet"), DICE)
    write_table(result.subsets, path.with_name(f"{name}_subsets.parquet"), SUBSETS)
    np.savez(path.with_suffix(".npz"), **vars(result.examples))


if __name__ == "__main__":
    run(main)
