"""Fine-tuned segmentation of one benchmark."""

from pathlib import Path

from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.results import write_results
from pipeline.evaluation.segmentation import SegmentationConfig, evaluate_segmentation
from pipeline.pictures import write_pictures
from pipeline.schemas import DICE, MASKS, SUBSETS, read_table, write_table
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import BENCHMARKS, load_benchmark, load_encoders


def main(name: str) -> None:
    params = stage_params("seed", "threads", "evaluation", "finetune")
    fix_torch(params)
    chosen = params.finetune
    result = evaluate_segmentation(
        load_encoders(chosen, params.seed),
        *load_benchmark(name),
        read_table(BENCHMARKS / name / "masks.parquet", MASKS),
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
    shown = result.examples
    arrays = {"images": shown.images, "truth": shown.truth, "predicted": shown.predicted}
    write_pictures(path.with_suffix(".safetensors"), shown.captions, arrays)


if __name__ == "__main__":
    run(main)
