"""Decode the images of one benchmark into Arrow shards."""

from pathlib import Path

from stages.common import run, stage_params
from stages.images import decode_dataset


def main(name: str, size: int) -> None:
    params = stage_params("data", "benchmarks", "images")
    folder = Path(params.data.root) / params.benchmarks[name].folder
    decode_dataset(Path("data/benchmarks") / name, folder, Path("data/images") / name, size, params.images.max_broken)


if __name__ == "__main__":
    run(main)
