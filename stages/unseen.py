"""A disease unseen in pre-training, named by category against named by explanation, on one benchmark."""

from pathlib import Path

from pipeline.evaluation.results import write_results
from pipeline.evaluation.unseen import CATEGORY, EXPLANATION, KNOWN, NAME, evaluate_unseen
from pipeline.images.shards import ImageShards
from pipeline.schemas import IMAGES, LABELS, SCORES, read_table, write_table
from pipeline.semantics.prompts import KNOWN_DISEASE, UNSEEN
from stages.common import fix_torch, run, stage_params
from stages.scoring import class_prompts, load_scorer

FINDING = "covid-19"


def main(name: str) -> None:
    params = stage_params("seed", "threads")
    fix_torch(params)
    tables = Path("data/benchmarks") / name
    asked = {
        CATEGORY: class_prompts(UNSEEN, "template", [KNOWN_DISEASE])[1],
        KNOWN: class_prompts(UNSEEN, "explanation", [KNOWN_DISEASE])[1],
        NAME: class_prompts(name, "template", [FINDING])[1],
        EXPLANATION: class_prompts(name, "explanation", [FINDING])[1],
    }
    result = evaluate_unseen(
        load_scorer(),
        ImageShards(Path("data/images") / name),
        read_table(tables / "images.parquet", IMAGES),
        read_table(tables / "labels.parquet", LABELS),
        FINDING,
        asked,
        benchmark=name,
    )
    path = Path("reports/unseen") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.scores, path.with_suffix(".parquet"), SCORES)


if __name__ == "__main__":
    run(main)
