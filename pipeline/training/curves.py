"""The curves of a training as a CSV file for plots: one row per epoch, nothing that depends on the machine's speed."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_curves(path: Path, curves: Sequence[Mapping[str, float]]) -> None:
    """Write rows of numbers under the names of all that any row holds, six significant digits each.

    Args:
        path: of the CSV file; its folder is made.
        curves: such as `loop.Result.curves`; a row may lack a figure that is not defined for it.
    """
    names = list(dict.fromkeys(name for row in curves for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in curves)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue())
