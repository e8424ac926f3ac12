"""Make one benchmark of the corpus' validation and test images, labelled by their reports."""

from pathlib import Path

from pipeline.benchmarks.corpus import read_corpus_benchmark
from pipeline.schemas import IMAGES, STUDIES, TRIPLETS, read_table
from stages.benchmark import write_benchmark
from stages.common import run, stage_params

CORPUS = Path("data/corpus")


def main(name: str) -> None:
    params = stage_params("data", "corpus")
    benchmark = read_corpus_benchmark(
        name,
        read_table(Path("data/triplets.parquet"), TRIPLETS),
        read_table(CORPUS / "studies.parquet", STUDIES),
        read_table(CORPUS / "images.parquet", IMAGES),
        Path(params.data.root) / params.corpus.folder,
    )
    write_benchmark(benchmark, Path("data/benchmarks") / name)


if __name__ == "__main__":
    run(main)
