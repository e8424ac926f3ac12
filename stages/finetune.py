"""Fine-tuned classification of one benchmark."""

from pathlib import Path

from pipeline.evaluation.finetune import FinetuneConfig, evaluate_finetuned
from pipeline.evaluation.fitting import FitConfig
from pipeline.evaluation.results import write_results
from pipeline.schemas import FINETUNED_SCORES, SUBSETS, write_table
from pipeline.training.augmentation import AugmentConfig
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import load_benchmark, load_encoders


def main(name: str) -> None:
    params = stage_params("seed", "threads", "augment", "evaluation", "finetune")
    fix_torch(params)
    chosen = params.finetune
    result = evaluate_finetuned(
        load_encoders(chosen, params.seed),
        *load_benchmark(name),
        FinetuneConfig(
            encoder=chosen.encoder,
            draws=chosen.seeds,
            fit=FitConfig(**chosen.tuning.model_dump()),
            augment=AugmentConfig(**params.augment.model_dump()),
            resamples=params.evaluation.resamples,
            seed=params.seed,
        ),
        benchmark=name,
    )
    path = Path("reports/finetune") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.scores, path.with_suffix(".parquet"), FINETUNED_SCORES)
    write_table(result.subsets, path.with_name(f"{name}_subsets.parquet"), SUBSETS)


if __name__ == "__main__":
    run(main)
