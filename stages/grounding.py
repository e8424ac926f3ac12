"""Zero-shot grounding on one benchmark's boxes."""

from pathlib import Path

import polars as pl

from pipeline.evaluation.grounding import BoxedImages, GroundingResult, evaluate_grounding
from pipeline.evaluation.results import write_results
from pipeline.images.geometry import boxes_to_square
from pipeline.images.shards import ImageShards
from pipeline.pictures import write_pictures
from pipeline.schemas import BOXES, GROUNDED, read_table, write_table
from stages.common import run, stage_params
from stages.determinism import fix_torch
from stages.scoring import BENCHMARKS, benchmark_prompts, load_benchmark, load_scorer

EXAMPLES = 8


def main(name: str) -> None:
    params = stage_params("seed", "threads", "evaluation")
    fix_torch(params)
    shards, images, labels = load_benchmark(name)
    boxed = BoxedImages(images, labels, read_table(BENCHMARKS / name / "boxes.parquet", BOXES), shards.index)
    findings, prompts = benchmark_prompts(name, boxed.boxes["finding"].unique().to_list())
    result = evaluate_grounding(
        load_scorer(),
        shards,
        boxed,
        prompts[params.evaluation.prompt_style],
        findings,
        benchmark=name,
        prompt_style=params.evaluation.prompt_style,
        resamples=params.evaluation.resamples,
        seed=params.seed,
    )
    path = Path("reports/grounding") / f"{name}.json"
    write_results(result.metrics, path)
    write_table(result.pairs, path.with_suffix(".parquet"), GROUNDED)
    write_examples(result, shards, boxed, path.with_suffix(".safetensors"))


def write_examples(result: GroundingResult, shards: ImageShards, boxed: BoxedImages, path: Path) -> None:
    """A few test images with heat map and boxes, for the report: the first of each severity, then the first others."""
    test = result.pairs.with_row_index("pair").filter(pl.col("split") == "test")
    ranked = test.with_columns(rank=pl.int_range(pl.len()).over("severity")).sort("rank", "severity", "image_id")
    shown = ranked.head(EXAMPLES)
    places = shown.select("image_id", "finding", example=pl.int_range(pl.len()))
    boxes = boxes_to_square(boxed.boxes, boxed.index, shards.size).join(places, on=["image_id", "finding"])
    captions = [f"{row['finding']}, {row['severity'] or 'boxed'}" for row in shown.to_dicts()]
    arrays = {
        "images": shards.gather(shards.row_of(shown["image_id"])).numpy(),  # [n, S, S]
        "maps": result.maps[shown["pair"].to_numpy()],  # [n, g, g]
        "boxes": boxes.select("example", "x", "y", "width", "height").sort(pl.all()).to_numpy(),  # [boxes, 5]
    }
    write_pictures(path, captions, arrays)


if __name__ == "__main__":
    run(main)
