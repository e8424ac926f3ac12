"""Draw the phantoms' datasets, unless data.root points at real ones."""

from pathlib import Path

import numpy as np

from pipeline.errors import DatasetError
from pipeline.params import BenchmarkFolder, Corpus, Params
from pipeline.phantom.build import PhantomParams, build
from pipeline.phantom.contact_sheet import contact_sheet
from pipeline.phantom.scene import SEEN, UNSEEN, sample_case
from stages.common import content_hash, run, stage_params, workers

OUT = Path("data/phantom")
STAMP = Path("data/phantom.sha256")  # what later stages depend on: DVC need not walk thousands of files for each
SHOWN = 29  # findings of the contact sheet, besides the unseen one


def main() -> None:
    params = stage_params("seed", "data", "phantom", "corpus", "benchmarks")
    OUT.mkdir(parents=True, exist_ok=True)
    if Path(params.data.root) == OUT:
        draw(params)
    else:
        datasets: list[Corpus | BenchmarkFolder] = [params.corpus, *params.benchmarks.values()]
        for dataset in datasets:
            check(Path(params.data.root) / dataset.folder / dataset.labels)
        (OUT / "UNUSED.txt").write_text("data.root points elsewhere, so no phantoms were drawn.\n")
    STAMP.write_text(content_hash([OUT]) + "\n")


def check(labels: Path) -> None:
    """Before DVC looks for the file and names no remedy."""
    if not labels.exists():
        raise DatasetError(
            f"{labels} is missing: unpack the dataset there, set data.root, its folder or its labels to what you have, "
            "or leave a benchmark you lack out of `benchmarks`; `cxr check` shows what is there."
        )


def draw(params: Params) -> None:
    build(OUT, PhantomParams(seed=params.seed, **params.phantom.model_dump()), workers=workers())
    rng = np.random.default_rng(params.seed)
    shown = [sample_case(rng, allowed=[*SEEN, UNSEEN], required=(name,)) for name in [*SEEN[:SHOWN], UNSEEN]]
    contact_sheet(shown, OUT / "contact_sheet.png", size=192)


if __name__ == "__main__":
    run(main)
