"""A disease unseen in pre-training, named by category against named by explanation, on one benchmark."""

from pathlib import Path

from pipeline.evaluation.results import write_results
from pipeline.evaluation.unseen import CATEGORY, EXPLANATION, KNOWN, NAME, evaluate_unseen
from pipeline.schemas import SCORES, write_table
from pipeline.semantics.prompts import KNOWN_DISEASE, UNSEEN
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import benchmark_prompts, load_benchmark, load_scorer

FINDING = "covid-19"


def main(name: str) -> None:
    params = stage_params("seed", "threads")
    fix_torch(params)
    known, own = benchmark_prompts(UNSEEN, [KNOWN_DISEASE])[1], benchmark_prompts(name, [FINDING])[1]
    asked = {
        CATEGORY: known["template"],
        KNOWN: known["explanation"],
        NAME: own["template"],
        EXPLANATION: own["explanation"],
    }
    result = evaluate_unseen(
        load_scorer(),
        *load_benchmark(name),
        FINDING,
        asked,
        benchmark=name,
    )
    path = Path("reports/unseen") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.scores, path.with_suffix(".parquet"), SCORES)


if __name__ == "__main__":
    run(main)
