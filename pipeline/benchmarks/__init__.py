"""Evaluation datasets, one module each: raw downloads in; images, labels and regions out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pipeline.benchmarks import covid_chestxray, covidx, cxr14, rahman, rsna, siim, vinbigdata
from pipeline.benchmarks.base import Benchmark
from pipeline.label_files import Source


class Reader(Protocol):
    """What every benchmark's module offers.

    Attributes:
        SOURCE: what the dataset is called, and where it comes from.
        FINDINGS: the dataset's label -> canonical pathology.
    """

    @property
    def SOURCE(self) -> Source: ...  # noqa: D102, N802

    @property
    def FINDINGS(self) -> Mapping[str, str]: ...  # noqa: D102, N802

    def read(self, root: Path, *, labels: str = ..., seed: int) -> Benchmark:
        """Read the dataset in its folder, `labels` being the name of its label file; `vinbigdata` also takes votes."""
        ...


BENCHMARKS: dict[str, Reader] = {
    "cxr14": cxr14,
    "rsna": rsna,
    "siim": siim,
    "covidx": covidx,
    "covid_chestxray": covid_chestxray,
    "vinbigdata": vinbigdata,
    "rahman": rahman,
}

__all__ = ["BENCHMARKS", "Benchmark", "Reader"]
