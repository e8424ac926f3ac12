"""Draw the phantoms' datasets, unless data.root points at real ones."""

from pathlib import Path

import numpy as np

from pipeline.params import Params
from pipeline.params.inputs import PHANTOM, require_datasets
from pipeline.phantom.build import PhantomParams, build
from pipeline.phantom.contact_sheet import contact_sheet
from pipeline.phantom.scene import SEEN, UNSEEN, sample_case
from stages.common import content_hash, run, stage_params, workers

STAMP = Path("data/phantom.sha256")  # what later stages depend on: DVC need not walk thousands of files for each
SHOWN = 29  # findings of the contact sheet, besides the unseen one


def main(size: int) -> None:
    params = stage_params("seed", "data", "phantom", "corpus", "benchmarks")
    PHANTOM.mkdir(parents=True, exist_ok=True)
    if Path(params.data.root) == PHANTOM:
        draw(params, size)
    else:
        (PHANTOM / "UNUSED.txt").write_text("data.root points elsewhere, so no phantoms were drawn.\n")
    require_datasets(params.data, params.corpus, params.benchmarks)  # of a missing one DVC would name no remedy
    STAMP.write_text(content_hash([PHANTOM]) + "\n")


def draw(params: Params, size: int) -> None:
    settings = params.phantom.model_dump() | {"seed": params.seed, "size": size}
    build(PHANTOM, PhantomParams(**settings), workers=workers())
    rng = np.random.default_rng(params.seed)
    shown = [sample_case(rng, allowed=[*SEEN, UNSEEN], required=(name,)) for name in [*SEEN[:SHOWN], UNSEEN]]
    contact_sheet(shown, PHANTOM / "contact_sheet.png", size=192)


if __name__ == "__main__":
    run(main)
