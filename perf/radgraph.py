"""Reports per second of the `radgraph` source, against the package's own forward over the same reports in the same run.

The archive is of BERT-base size with random weights, scaled so that entities and relations are about as many as in real
reports; these have 1 to 120 words, 60 on average. Run: python -m perf.radgraph. On a CPU times are of one core, so
that other work does not count, and both sides take turns.
"""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from transformers import BertConfig

from pipeline.triplets.radgraph_archive import RadGraphConfig
from pipeline.triplets.radgraph_model import RadGraphModel

sys.path.append(str(Path(__file__).parents[1] / "tests" / "triplets"))
from tiny_radgraph import load_package, reports, write_archive  # it lies with the tests

GPU_BAR, CPU_BAR = 3.0, 1.0  # least ratio


def main(
    number: Annotated[int, typer.Option(help="reports in all")] = 64,
    turns: Annotated[int, typer.Option(help="parts that the two sides read in turn")] = 2,
    batch: Annotated[int, typer.Option(help="reports at a time, of ours")] = 16,
) -> None:
    """Print both rates and their ratio, after a check that both sides say the same."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the package warns of reports of one word
    gpu = torch.cuda.is_available()
    with TemporaryDirectory() as folder:
        write_archive(Path(folder), bert=BertConfig())
        ours = RadGraphModel(RadGraphConfig(folder=folder, batch=batch))
        package = load_package(Path(folder), gpu=0 if gpu else -1)
    texts = reports(number, longest=120, seed=7)
    package(texts[:1]), ours.annotate(texts[:1])  # memory and kernels are set up
    seconds, same = [0.0, 0.0], 0
    for turn in range(turns):
        part = texts[turn::turns]
        annotations = _timed(lambda part=part: ours.annotate(part), seconds, 0, gpu)
        expected = _timed(lambda part=part: package(part), seconds, 1, gpu)
        same += sum(each["entities"] == expected[str(row)]["entities"] for row, each in enumerate(annotations))
    ratio, bar = seconds[1] / seconds[0], GPU_BAR if gpu else CPU_BAR
    print(
        f"{torch.cuda.get_device_name() if gpu else 'one CPU core'}, {number} reports, {same} annotated alike: ", end=""
    )
    print(f"{number / seconds[0]:.2f} reports/s, the package {number / seconds[1]:.2f}; ", end="")
    print(f"ratio {ratio:.2f}, at least {bar:.1f} is required")


def _timed(read: Callable[[], Any], seconds: list[float], side: int, gpu: bool) -> Any:
    """Run one side and add what it took."""
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    result = read()
    seconds[side] += clock() - start
    return result


if __name__ == "__main__":
    typer.run(main)
