"""UMAP of diseased against healthy test images of one benchmark, finding by finding."""

from pathlib import Path

from pipeline.evaluation.finding_maps import map_findings
from pipeline.evaluation.results import write_results
from pipeline.schemas import FINDING_POINTS, write_table
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import benchmark_prompts, load_benchmark, load_scorer


def main(name: str) -> None:
    params = stage_params("seed", "threads", "evaluation")
    fix_torch(params)
    shards, images, labels = load_benchmark(name)
    findings, prompts = benchmark_prompts(name, labels["finding"].unique().to_list())
    result = map_findings(
        load_scorer(),
        shards,
        images,
        labels,
        prompts[params.evaluation.prompt_style],
        findings,
        benchmark=name,
        seed=params.seed,
    )
    path = Path("reports/finding_maps") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.points, path.with_suffix(".parquet"), FINDING_POINTS)


if __name__ == "__main__":
    run(main)
