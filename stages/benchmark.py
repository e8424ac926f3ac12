"""Read one evaluation dataset into its tables."""

import shutil
from pathlib import Path

import polars as pl

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.benchmarks.base import require_both_classes
from pipeline.schemas import BOXES, IMAGES, LABELS, MASKS, SPLITS, write_table
from stages.common import run, stage_params, write_metrics


def main(name: str) -> None:
    params = stage_params("seed", "data", "benchmarks")
    chosen = params.benchmarks[name]
    settings = chosen.model_dump(exclude={"folder"}, exclude_none=True)
    folder = Path(params.data.root) / chosen.folder
    benchmark = BENCHMARKS[name].read(folder, seed=params.seed, **settings)
    require_both_classes(benchmark, folder / chosen.labels)
    write_benchmark(benchmark, Path("data/benchmarks") / name)


def write_benchmark(benchmark: Benchmark, out: Path) -> None:
    """The tables of a benchmark, and what was counted, in place of earlier ones."""
    shutil.rmtree(out, ignore_errors=True)
    write_table(benchmark.images, out / "images.parquet", IMAGES)
    patients = benchmark.images.select("patient_id", "split").unique().sort("patient_id")
    write_table(patients.with_columns(rule=pl.lit(benchmark.split_rule)), out / "splits.parquet", SPLITS)
    write_metrics(out / "counts.json", benchmark.counts)
    write_table(benchmark.labels, out / "labels.parquet", LABELS)
    if benchmark.boxes is not None:
        write_table(benchmark.boxes, out / "boxes.parquet", BOXES)
    if benchmark.masks is not None:
        write_table(benchmark.masks, out / "masks.parquet", MASKS)


if __name__ == "__main__":
    run(main)
