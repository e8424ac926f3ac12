"""Read one evaluation dataset into its tables."""

from pathlib import Path

from pipeline.benchmarks import BENCHMARKS
from pipeline.schemas import BOXES, IMAGES, LABELS, MASKS, write_table
from stages.common import run, stage_params


def main(name: str) -> None:
    params = stage_params("seed", "data", "benchmarks")
    root = Path(params.data.root) / params.benchmarks[name].folder
    benchmark = BENCHMARKS[name].read(root, seed=params.seed)
    out = Path("data/benchmarks") / name
    write_table(benchmark.images, out / "images.parquet", IMAGES)
    write_table(benchmark.labels, out / "labels.parquet", LABELS)
    if benchmark.boxes is not None:
        write_table(benchmark.boxes, out / "boxes.parquet", BOXES)
    if benchmark.masks is not None:
        write_table(benchmark.masks, out / "masks.parquet", MASKS)


if __name__ == "__main__":
    run(main)
