"""Decode the images of the corpus or of one benchmark into Arrow shards."""

from pathlib import Path

from pipeline.images.shards import build_shards
from pipeline.schemas import IMAGES, read_table
from stages.common import dataset_folder, run, stage_params, workers


def main(name: str) -> None:
    params = stage_params("data", "corpus", "benchmarks", "images")
    corpus = name == "corpus"
    folder = params.corpus.folder if corpus else params.benchmarks[name].folder
    tables = Path("data/corpus") if corpus else Path("data/benchmarks") / name
    build_shards(
        read_table(tables / "images.parquet", IMAGES),
        dataset_folder(params.data.root, folder),
        Path("data/images") / name,
        size=params.images.size,
        workers=workers(),
        max_broken=params.images.max_broken,
    )


if __name__ == "__main__":
    run(main)
