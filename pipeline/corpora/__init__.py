"""Sources of image-report pairs, one module each: raw downloads in, the corpus tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipeline.corpora import covid_chestxray, csv_table, mimic_cxr, openi
from pipeline.corpora.base import Corpus
from pipeline.label_files import Source


class Reader(Protocol):
    """What every corpus' module offers.

    Attributes:
        SOURCE: what the dataset is called, and where it comes from.
    """

    @property
    def SOURCE(self) -> Source: ...  # noqa: D102, N802

    def read(self, root: Path, *, labels: str, views: Sequence[str], sections: Sequence[str], seed: int) -> Corpus:
        """Read the dataset in its folder; no views means all images, whether their view is known or not."""
        ...


CORPORA: dict[str, Reader] = {
    "mimic_cxr": mimic_cxr,
    "covid_chestxray": covid_chestxray,
    "openi": openi,
    "csv": csv_table,
}

__all__ = ["CORPORA", "Corpus", "Reader"]
