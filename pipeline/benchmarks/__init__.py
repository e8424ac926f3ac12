"""Evaluation datasets, one module each: raw downloads in; images, labels and regions out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.benchmarks import covid_chestxray, covidx, cxr14, rsna, siim
from pipeline.benchmarks.base import Benchmark


class Reader(Protocol):
    """What every benchmark offers."""

    def __call__(self, root: Path, *, seed: int) -> Benchmark:
        """Read the dataset in its folder."""
        ...


@dataclass(frozen=True)
class Spec:
    """One evaluation dataset.

    Attributes:
        name: how people call it.
        read: its reader.
        findings: the dataset's label -> canonical pathology.
        folder: its usual folder below data.root.
        label_files: what the reader reads beside the images, below that folder.
        licence: under which its images may be used.
        access: where to ask for it.
    """

    name: str
    read: Reader
    findings: Mapping[str, str]
    folder: str
    label_files: tuple[str, ...]
    licence: str
    access: str


BENCHMARKS: dict[str, Spec] = {
    "cxr14": Spec(
        name=cxr14.NAME,
        read=cxr14.read,
        findings=cxr14.FINDINGS,
        folder="nih-chestxray14",
        label_files=(cxr14.ENTRIES[0], cxr14.TRAIN_LIST, cxr14.TEST_LIST, cxr14.BOXES),
        licence="no restriction; name the NIH Clinical Center",
        access="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    ),
    "rsna": Spec(
        name=rsna.NAME,
        read=rsna.read,
        findings=rsna.FINDINGS,
        folder="rsna-pneumonia",
        label_files=(rsna.LABELS,),
        licence="RSNA terms, non-commercial research and education",
        access="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    ),
    "siim": Spec(
        name=siim.NAME,
        read=siim.read,
        findings=siim.FINDINGS,
        folder="siim-acr",
        label_files=(siim.LABELS[0],),
        licence="competition rules, non-commercial research and education",
        access="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
    ),
    "covidx": Spec(
        name=covidx.NAME,
        read=covidx.read,
        findings=covidx.FINDINGS,
        folder="covidx-cxr4",
        label_files=tuple(covidx.LISTS),
        licence="each source's own",
        access="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
    ),
    "covid_chestxray": Spec(
        name=covid_chestxray.NAME,
        read=covid_chestxray.read,
        findings=covid_chestxray.FINDINGS,
        folder="covid-chestxray",
        label_files=(covid_chestxray.METADATA,),
        licence="per image, in metadata.csv; metadata CC BY-NC-SA 4.0",
        access="https://github.com/ieee8023/covid-chestxray-dataset",
    ),
}

__all__ = ["BENCHMARKS", "Benchmark", "Reader", "Spec"]
