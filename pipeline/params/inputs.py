"""What the user supplies must be there: datasets' label files, published annotations, RadGraph's folder.

Phantoms are no inputs, as the pipeline draws them, and neither are the project's own files that stand for what is not
supplied. Whether an input's content is as published is the business of the stage that reads it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import DatasetError
from pipeline.params.data import BenchmarkFolder, Corpus, Data

PHANTOM = Path("data/phantom")  # as data.root it means the phantoms that the pipeline draws itself
OWN = (PHANTOM, Path("pipeline"))
SETTINGS = {
    "graphs": "set extraction.graphs to where the annotations are.",
    "radgraph": "set extraction.radgraph.folder to where it is.",
}
DATASETS = (
    "unpack the dataset there, set data.root, its folder or its labels to what you have, or leave a benchmark you lack "
    "out of `benchmarks`; `cxr check` shows what is there."
)


def find_inputs(values: Mapping[str, Any]) -> dict[str, str]:
    """The inputs that parameters name, as params.yaml lists them for DVC.

    Args:
        values: the composed parameters, not validated yet: what lacks a part is left to the validation.

    Returns:
        Who reads it (corpus, a benchmark, graphs, radgraph) -> the file or folder; one of two readers stands for both.
    """
    datasets = {"corpus": _part(values, "corpus"), **_mapping(_part(values, "benchmarks"))}
    parts = {name: [_part(values, "data", "root"), *_table(one)] for name, one in datasets.items()}
    parts["graphs"] = [_part(values, "extraction", "graphs")]
    parts["radgraph"] = [_part(values, "extraction", "radgraph", "folder")]
    named = {name: Path(*whole) for name, whole in parts.items() if all(isinstance(part, str) for part in whole)}
    readers = {path: name for name, path in reversed(named.items())}
    supplied = {name: path for path, name in readers.items() if not any(path.is_relative_to(own) for own in OWN)}
    return {name: str(supplied[name]) for name in named if name in supplied}


def require_input(name: str, path: Path, project: Path = Path()) -> None:
    """Look for one input.

    Args:
        name: who reads it.
        path: the file or folder.
        project: the folder that a relative path is below.

    Raises:
        DatasetError: it is missing.
    """
    if not (project / path).exists():
        raise DatasetError(f"{path} is missing: {SETTINGS.get(name, DATASETS)}")


def require_datasets(data: Data, corpus: Corpus, benchmarks: Mapping[str, BenchmarkFolder]) -> None:
    """Look for the table of the corpus and of every benchmark, which of phantoms are there once they are drawn.

    Raises:
        DatasetError: one of them is missing.
    """
    datasets: dict[str, Corpus | BenchmarkFolder] = {"corpus": corpus, **benchmarks}
    for name, dataset in datasets.items():
        require_input(name, Path(data.root) / dataset.folder / dataset.labels)


def _mapping(values: Any) -> Mapping[str, Any]:
    return values if isinstance(values, Mapping) else {}


def _table(dataset: Any) -> list[Any]:
    return [_part(dataset, "folder"), _part(dataset, "labels")]


def _part(values: Any, *names: str) -> Any:
    for name in names:
        values = _mapping(values).get(name)
    return values
