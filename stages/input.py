"""See that a file or folder which the user supplies is there, before any stage needs it."""

from pathlib import Path

from pipeline.params.inputs import require_input
from stages.common import run, stage_params


def main(name: str) -> None:
    params = stage_params("inputs")
    require_input(name, Path(params.inputs[name]))


if __name__ == "__main__":
    run(main, puts_back=False)  # the output that DVC has on record is the user's
