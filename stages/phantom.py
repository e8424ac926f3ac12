"""Draw the phantoms' datasets, unless data.root points at real ones."""

from pathlib import Path

import numpy as np

from pipeline.phantom.build import PhantomParams, build
from pipeline.phantom.contact_sheet import contact_sheet
from pipeline.phantom.scene import SEEN, UNSEEN, sample_case
from stages.common import run, stage_params, workers

OUT = Path("data/phantom")
SHOWN = 29  # findings of the contact sheet, besides the unseen one


def main() -> None:
    params = stage_params("seed", "data", "phantom")
    OUT.mkdir(parents=True, exist_ok=True)
    if Path(params.data.root) != OUT:
        (OUT / "UNUSED.txt").write_text("data.root points elsewhere, so no phantoms were drawn.\n")
        return
    build(OUT, PhantomParams(seed=params.seed, **params.phantom.model_dump()), workers=workers())
    rng = np.random.default_rng(params.seed)
    shown = [sample_case(rng, allowed=[*SEEN, UNSEEN], required=(name,)) for name in [*SEEN[:SHOWN], UNSEEN]]
    contact_sheet(shown, OUT / "contact_sheet.png", size=192)


if __name__ == "__main__":
    run(main)
