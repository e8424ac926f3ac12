"""Looks at the configured experiment's datasets, at the others in their usual folders, and says whether it can run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmarks import BENCHMARKS
from pipeline.check.datasets import Inspected, Look, inspect_benchmark, inspect_corpus
from pipeline.corpora import CORPORA
from pipeline.errors import DatasetError, ParamsError
from pipeline.params import BenchmarkFolder, Corpus, Params
from pipeline.params.inputs import PHANTOM, SETTINGS, find_inputs, require_input
from pipeline.triplets.llm_server import check_endpoint

LISTINGS = Path(".checkpoints/check")
TRUTH = "truth"  # what only phantoms have beside their datasets
RETRIEVED = 10  # test images that retrieval needs: the largest K of its precision at K


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
    if root == PHANTOM and not phantoms:
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
            yield inspect_corpus(key, chosen, root, look, _corpus_needs(params, configured), configured=configured)
    finetuned = (*params.finetune.benchmarks, *params.finetune.segmentation)
    for key in BENCHMARKS:
        if dataset in (None, key):
            folder = params.benchmarks.get(key, _usual_benchmark(key))
            needed = {"train": int(key in finetuned), "validate": 1, "test": 1}
            yield inspect_benchmark(key, folder, root, look, needed, configured=key in params.benchmarks)


def _corpus_needs(params: Params, configured: bool) -> dict[str, int]:
    """Images that each split of a corpus needs: test images only where the experiment tests on them."""
    tested = max(int(bool(params.corpus_benchmarks)), RETRIEVED * bool(params.retrieval))
    return {"train": 1, "validate": 1, "test": tested if configured else 0}


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
    problems = [
        f"{folder} is missing: set {setting} to where it is."
        for setting, folder in _folders(params)
        if not Path(folder).exists()
    ]
    for name, path in find_inputs(params.model_dump()).items():
        try:
            if name in SETTINGS or Path(path).exists():  # a dataset that is missing has been told
                require_input(name, Path(path))
        except DatasetError as error:
            problems.append(str(error))
    if params.extraction.source == "llm":
        llm = params.extraction.llm
        try:
            check_endpoint(llm.base_url, llm.model, llm.allow_remote)
        except ParamsError as error:
            problems.append(str(error))
    return problems


def _folders(params: Params) -> Iterator[tuple[str, str]]:
    """The settings that name a folder, each with it; what may be an id on the hub is none."""
    if params.model.imported is not None:
        yield "model.imported", params.model.imported
    hub_or_folder = {"text_encoder.source": params.text_encoder.source}
    if "imagenet" in params.finetune.inits and (params.finetune.benchmarks or params.finetune.segmentation):
        hub_or_folder["finetune.imagenet"] = params.finetune.imagenet
    yield from ((setting, name) for setting, name in hub_or_folder.items() if name.startswith(("/", "./", "../", "~")))
