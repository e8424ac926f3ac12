"""What the user supplies must be there: datasets' label files, published annotations, RadGraph's folder.

Phantoms are no inputs, as the pipeline draws them, and neither are the project's own files that stand for what is not
supplied. Whether an input's content is as published is the business of the stage that reads it.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import DatasetError, ParamsError
from pipeline.params.data import BenchmarkFolder, Corpus, Data
from pipeline.tracking import project_root

PHANTOM = Path("data/phantom")  # as data.root it means the phantoms that the pipeline draws itself
OWN = (PHANTOM, Path("pipeline"))
SETTINGS = {
    "graphs": "set extraction.graphs to where the annotations are.",
    "radgraph": "set extraction.radgraph.folder to where it is.",
}
DATASETS = (
    "unpack the dataset there, set data.root, its folder or its labels to what you have, or leave a benchmark you lack "
    "out of `benchmarks` (in a params.yaml edited by hand out of `inputs` too); `cxr check` shows what is there."
)


def find_inputs(values: Mapping[str, Any]) -> dict[str, str]:
    """The inputs that parameters name, as params.yaml lists them for DVC.

    Args:
        values: the composed parameters, not validated yet: what lacks a part is left to the validation.

    Returns:
        Who reads it (corpus, a benchmark, graphs, radgraph) -> the file or folder. One of two readers stands for both,
        and what a folder holds for the folder.
    """
    datasets = {"corpus": _part(values, "corpus"), **_mapping(_part(values, "benchmarks"))}
    parts = {name: [_part(values, "data", "root"), *_table(one)] for name, one in datasets.items()}
    parts["graphs"] = [_part(values, "extraction", "graphs")]
    parts["radgraph"] = [_part(values, "extraction", "radgraph", "folder")]
    named = {name: Path(*whole) for name, whole in parts.items() if all(isinstance(part, str) for part in whole)}
    readers = {path: name for name, path in reversed(named.items())}
    return {name: str(path) for name, path in named.items() if readers[path] == name and _is_input(path, readers)}


def require_found_inputs(values: Mapping[str, Any]) -> None:
    """See that composed parameters list the inputs that the others name.

    Raises:
        ParamsError: they list others.
    """
    if values.get("inputs") != find_inputs(values):
        raise ParamsError("inputs is not to be set: it lists what the other parameters name, such as data.root.")


def require_input(name: str, path: Path, project: Path = Path()) -> None:
    """Look for one input.

    Args:
        name: who reads it.
        path: the file or folder.
        project: the folder that a relative path is below.

    Raises:
        DatasetError: it is missing there, or lies where `dvc exp run` would commit it to git.
    """
    if not (project / path).exists():
        if (project_root(project) / path).exists():
            raise DatasetError(
                f"{path} is not in the copies that `--temp` and `--queue` run in: give an absolute path."
            )
        raise DatasetError(f"{path} is missing: {SETTINGS.get(name, DATASETS)}")
    if _git_would_take(path, project):
        raise DatasetError(
            f"{path} lies in the project's folder and git does not ignore it, so that `dvc exp run` would commit it: "
            "keep what may hold patients' data in data/raw, or outside of the project."
        )


def require_datasets(data: Data, corpus: Corpus, benchmarks: Mapping[str, BenchmarkFolder]) -> None:
    """Look for the table of the corpus and of every benchmark, which of phantoms are there once they are drawn.

    Raises:
        DatasetError: one of them is missing.
    """
    datasets: dict[str, Corpus | BenchmarkFolder] = {"corpus": corpus, **benchmarks}
    for name, dataset in datasets.items():
        require_input(name, Path(data.root) / dataset.folder / dataset.labels)


def _is_input(path: Path, named: Mapping[Path, str]) -> bool:
    """Whether DVC is to look for it: it is not the pipeline's own, and no folder around another input."""
    own = any((Path.cwd() / path).is_relative_to(Path.cwd() / folder) for folder in OWN)
    return not own and not any(other != path and other.is_relative_to(path) for other in named)


def _git_would_take(path: Path, project: Path) -> bool:
    """DVC gives git what an experiment reads or writes in the repository and its own cache does not hold."""
    command = ["git", "check-ignore", "-q", "--", str(path)]
    return subprocess.run(command, cwd=project, capture_output=True).returncode == 1  # 128 is no repository


def _mapping(values: Any) -> Mapping[str, Any]:
    return values if isinstance(values, Mapping) else {}


def _table(dataset: Any) -> list[Any]:
    return [_part(dataset, "folder"), _part(dataset, "labels")]


def _part(values: Any, *names: str) -> Any:
    for name in names:
        values = _mapping(values).get(name)
    return values
