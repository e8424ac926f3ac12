"""Draw the phantoms' datasets, unless data.root points at real ones."""

from pathlib import Path

from pipeline.phantom.build import PhantomParams, build
from stages.common import run, stage_params, workers

OUT = Path("data/phantom")


def main() -> None:
    params = stage_params("seed", "data", "phantom")
    OUT.mkdir(parents=True, exist_ok=True)
    if Path(params.data.root) != OUT:
        (OUT / "UNUSED.txt").write_text("data.root points elsewhere, so no phantoms were drawn.\n")
        return
    build(OUT, PhantomParams(seed=params.seed, **params.phantom.model_dump()), workers=workers())


if __name__ == "__main__":
    run(main)
