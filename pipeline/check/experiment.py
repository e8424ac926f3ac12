"""Looks at the configured experiment's datasets, at the others in their usual folders, and says whether it can run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmarks import BENCHMARKS
from pipeline.check.datasets import Inspected, Look, inspect_benchmark, inspect_corpus
from pipeline.corpora import CORPORA
from pipeline.errors import DatasetError, ParamsError
from pipeline.params import BenchmarkFolder, Corpus, Params
from pipeline.triplets.llm_server import check_endpoint

LISTINGS = Path(".checkpoints/check")
DRAWN = Path("data/phantom")  # the data.root that the pipeline fills itself
TRUTH = "truth"  # what only phantoms have beside their datasets


@dataclass(frozen=True)
class Examined:
    """What was seen below data.root.

    Attributes:
        root: data.root.
        phantoms: it holds phantoms.
        datasets: those of the experiment first.
        problems: what keeps the experiment from running.
    """

    root: Path
    phantoms: bool
    datasets: list[Inspected]
    problems: list[str]


def examine(params: Params, dataset: str | None, workers: int | None) -> Examined:
    """Look at data.root.

    Args:
        params: the experiment.
        dataset: look at this one alone: a corpus, a benchmark or, where the name is both, both.
        workers: processes to decode every image in; None decodes a few of each dataset.

    Raises:
        ParamsError: no dataset has this name.
        DatasetError: data.root is for phantoms, and none are drawn yet.
    """
    if dataset is not None and dataset not in {*CORPORA, *BENCHMARKS}:
        known = ", ".join(dict.fromkeys([*CORPORA, *BENCHMARKS]))
        raise ParamsError(f"{dataset} is no dataset: name one of {known}.")
    root = Path(params.data.root)
    phantoms = (root / TRUTH / "severity.parquet").is_file()
    if root == DRAWN and not phantoms:
        raise DatasetError(
            f"{root} holds no phantoms yet: `dvc repro phantom` draws them; or set data.root to your datasets."
        )
    look = Look(params.seed, params.images.size, params.images.max_broken, workers, phantoms, LISTINGS)
    seen = sorted(_inspect(params, root, look, dataset), key=lambda one: not one.configured)
    wanted = [one for one in seen if one.configured or dataset is not None]
    problems = [problem for one in wanted for problem in one.problems]
    return Examined(root, phantoms, seen, problems + (_other_problems(params) if dataset is None else []))


def _inspect(params: Params, root: Path, look: Look, dataset: str | None) -> Iterator[Inspected]:
    for key in CORPORA:
        configured = key == params.corpus.name
        if dataset in (None, key) and (configured or key != "csv"):  # a table of one's own has no usual place
            chosen = params.corpus if configured else _usual_corpus(key)
            yield inspect_corpus(key, chosen, root, look, configured=configured)
    for key in BENCHMARKS:
        if dataset in (None, key):
            folder = params.benchmarks.get(key, _usual_benchmark(key))
            yield inspect_benchmark(key, folder, root, look, configured=key in params.benchmarks)


def _usual_corpus(key: str) -> Corpus:
    source = CORPORA[key].SOURCE
    return Corpus(
        name=key,  # type: ignore[arg-type]  # checked by pydantic
        folder=source.folder,
        labels=source.label_files[0],
        views=(),
        sections=("findings", "impression"),
    )


def _usual_benchmark(key: str) -> BenchmarkFolder:
    source = BENCHMARKS[key].SOURCE
    return BenchmarkFolder(folder=source.folder, labels=source.label_files[0])


def _other_problems(params: Params) -> list[str]:
    """What the experiment needs beside readable datasets."""
    problems = []
    if not Path(params.extraction.graphs).is_file():
        problems.append(f"{params.extraction.graphs} is missing: set extraction.graphs to where the annotations are.")
    if params.extraction.source == "llm":
        llm = params.extraction.llm
        try:
            check_endpoint(llm.base_url, llm.model, llm.allow_remote)
        except ParamsError as error:
            problems.append(str(error))
    return problems
