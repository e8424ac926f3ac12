"""See that a file or folder which the user supplies is there, before any stage needs it."""

from pathlib import Path

from pipeline.params.inputs import require_input
from stages.common import run


def main(name: str, path: Path) -> None:
    require_input(name, path)


if __name__ == "__main__":
    run(main, puts_back=False)  # the output that DVC has on record is the user's
