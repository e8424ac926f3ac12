"""Zero-shot classification of one benchmark, whose images are in a folder of shards, at every style of prompt."""

from pathlib import Path

from pipeline.evaluation.common_findings import COMMON, common_subset
from pipeline.evaluation.results import write_results
from pipeline.evaluation.zero_shot import evaluate_zero_shot
from pipeline.images.shards import ImageShards
from pipeline.schemas import IMAGES, LABELS, SCORES, read_table, write_table
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import benchmark_prompts, load_scorer


def main(name: str, images: Path) -> None:
    params = stage_params("seed", "threads", "evaluation")
    fix_torch(params)
    tables = Path("data/benchmarks") / name
    labels = read_table(tables / "labels.parquet", LABELS)
    findings, prompts = benchmark_prompts(name, labels["finding"].unique().to_list())
    result = evaluate_zero_shot(
        load_scorer(),
        ImageShards(images),
        read_table(tables / "images.parquet", IMAGES),
        labels,
        prompts,
        findings,
        benchmark=name,
        prompt_style=params.evaluation.prompt_style,
        resamples=params.evaluation.resamples,
        seed=params.seed,
    )
    metrics = result.metrics
    if name in COMMON:
        metrics[f"common{COMMON[name]}"] = common_subset(metrics, COMMON[name])
    path = Path("reports/zero_shot") / f"{name}.json"
    write_results(metrics, path)
    write_table(result.scores, path.with_suffix(".parquet"), SCORES)


if __name__ == "__main__":
    run(main)
