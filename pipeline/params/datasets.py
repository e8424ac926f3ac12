"""The datasets that params.yaml names must be there."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import DatasetError
from pipeline.params.data import BenchmarkFolder, Corpus, Data

PHANTOM = Path("data/phantom")  # as data.root it means the phantoms that the pipeline draws itself


def require_datasets(
    data: Data, corpus: Corpus, benchmarks: Mapping[str, BenchmarkFolder], project: Path = Path()
) -> None:
    """Look for the table of the corpus and of every benchmark, which of phantoms are there once they are drawn.

    Args:
        data: where the datasets lie.
        corpus: the image-report pairs.
        benchmarks: the evaluation datasets.
        project: the folder that a relative data.root is below.

    Raises:
        DatasetError: one of them is missing.
    """
    root = Path(data.root)
    datasets: list[Corpus | BenchmarkFolder] = [corpus, *benchmarks.values()]
    for dataset in datasets:
        labels = root / dataset.folder / dataset.labels
        if not (project / labels).exists():
            raise DatasetError(
                f"{labels} is missing: unpack the dataset there, set data.root, its folder or its labels to what you "
                "have, or leave a benchmark you lack out of `benchmarks`; `cxr check` shows what is there."
            )
