"""Sources of image-report pairs, one module each: raw downloads in, the corpus tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.corpora import covid_chestxray, mimic_cxr
from pipeline.corpora.base import Corpus


class Reader(Protocol):
    """What every source offers."""

    def __call__(self, root: Path, *, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:
        """Read the dataset in its folder."""
        ...


READERS: dict[str, Reader] = {"mimic_cxr": mimic_cxr.read, "covid_chestxray": covid_chestxray.read}

__all__ = ["READERS", "Corpus", "Reader"]
