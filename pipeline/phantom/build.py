"""Draws all phantom datasets below one folder, and beside them the truth that no real dataset has.

One seed gives the same bytes, whatever the number of workers. How a dataset lies on disk is up to `layouts`.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from pipeline.errors import ParamsError
from pipeline.phantom.cohort import Visit, sample_cohort
from pipeline.phantom.layouts import covidx, cxr14, mimic_cxr, rahman, rsna, siim, vinbigdata
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.scene import SEEN, UNSEEN

SMALLEST = 64  # pixels that a chest can still be drawn on
MINIMUM = 12  # images per dataset, so that each split has some of each label
POSITIVE_SHARES = {rsna.FOLDER: 0.35, siim.FOLDER: 0.35, covidx.FOLDER: 0.45}
CXR14_TESTED = 0.25
RAHMAN_SHARES = {"COVID": 0.35, "Lung_Opacity": 0.25, "Viral Pneumonia": 0.1}  # the others are normal
# The findings of a film of each class of Rahman et al.: one of these at least.
RAHMAN_FINDINGS = {
    "COVID": [UNSEEN],
    "Lung_Opacity": ["infiltrate", "consolidation", "ground-glass opacity", "edema"],
    "Viral Pneumonia": ["pneumonia"],
}
COVIDX_SHARES = {"train": 0.71, "val": 0.12, "test": 0.17}
# What a reader of films would also call pneumonia: a phantom with one of these would have no certain RSNA label.
LIKE_PNEUMONIA = ("consolidation", "infiltrate", "ground-glass opacity")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class PhantomParams:
    """How many phantoms to draw, and how large.

    Attributes:
        seed: of everything.
        size: pixels of the square images.
        studies: of the pre-training corpus; about one in twelve has a second image.
        cxr14: images, a quarter of them in the test list.
        rsna: images.
        siim: images.
        covidx: images, in three splits.
        vinbigdata: images.
        rahman: images.
    """

    seed: int
    size: int
    studies: int
    cxr14: int
    rsna: int
    siim: int
    covidx: int
    vinbigdata: int
    rahman: int


def build(root: Path, params: PhantomParams, workers: int = 1) -> None:
    """Write the seven datasets and `truth/` below root, replacing earlier ones.

    `truth/triplets.parquet`: study_id, pathology, anatomy, existence, severity of the reports as dictated.
    `truth/severity.parquet`: dataset (its folder), image_id, finding, severity of every drawn finding.

    Raises:
        ParamsError: a size or count is too small.
    """
    _check(params)
    with Darkroom(workers) as darkroom:
        triplets, severities = _write_corpus(root, params, darkroom)
        tables = {mimic_cxr.FOLDER: severities} | {
            folder: write(_fresh(root / folder), params, darkroom) for folder, write in _BENCHMARKS.items()
        }
    truth = _fresh(root / "truth")
    triplets.write_parquet(truth / "triplets.parquet")
    named = [table.select(pl.lit(folder).alias("dataset"), pl.all()) for folder, table in tables.items()]
    pl.concat(named).write_parquet(truth / "severity.parquet")


def _check(params: PhantomParams) -> None:
    if params.size < SMALLEST:
        raise ParamsError(f"phantom.size is {params.size}: set it to at least {SMALLEST} pixels.")
    for name in ("studies", "cxr14", "rsna", "siim", "covidx", "vinbigdata", "rahman"):
        if getattr(params, name) < MINIMUM:
            raise ParamsError(f"phantom.{name} is {getattr(params, name)}: set it to at least {MINIMUM}.")


def _fresh(folder: Path) -> Path:
    """An empty folder, so that nothing of an earlier build remains."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _rngs(params: PhantomParams, dataset: int) -> tuple[np.random.Generator, np.random.Generator]:
    """One generator for the cases and one for the layout; datasets do not depend on each other's size."""
    cases, layout = np.random.SeedSequence([params.seed, dataset]).spawn(2)
    return np.random.default_rng(cases), np.random.default_rng(layout)


def _write_corpus(root: Path, params: PhantomParams, darkroom: Darkroom) -> tuple[pl.DataFrame, pl.DataFrame]:
    cases, layout = _rngs(params, 0)
    visits = sample_cohort(cases, params.studies)
    return mimic_cxr.write_mimic_cxr(_fresh(root / mimic_cxr.FOLDER), visits, params.size, layout, darkroom)


def _write_cxr14(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 1)
    tested = round(CXR14_TESTED * params.cxr14)
    counts = {"train_val": params.cxr14 - tested, "test": tested}
    splits = {part: sample_cohort(cases, count, share=0.6, returning=0.3) for part, count in counts.items()}
    return cxr14.write_cxr14(folder, splits, params.size, layout, darkroom)


def _write_rsna(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 2)
    allowed = [name for name in SEEN if name not in LIKE_PNEUMONIA]
    visits = _positives_among(cases, params.rsna, POSITIVE_SHARES[rsna.FOLDER], rsna.TARGET, allowed)
    return rsna.write_rsna(folder, visits, params.size, layout, darkroom)


def _write_siim(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 3)
    visits = _positives_among(cases, params.siim, POSITIVE_SHARES[siim.FOLDER], siim.TARGET, SEEN)
    return siim.write_siim(folder, visits, params.size, layout, darkroom)


def _write_covidx(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 4)
    counts = {part: round(share * params.covidx) for part, share in COVIDX_SHARES.items()}
    counts["train"] = params.covidx - counts["val"] - counts["test"]
    share, allowed = POSITIVE_SHARES[covidx.FOLDER], (*SEEN, UNSEEN)
    splits = {part: _positives_among(cases, count, share, UNSEEN, allowed) for part, count in counts.items()}
    return covidx.write_covidx(folder, splits, params.size, layout, darkroom)


def _write_vinbigdata(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 5)
    named = tuple(vinbigdata.CLASSES)
    visits = sample_cohort(cases, params.vinbigdata, wanted=named, share=0.6, allowed=named, returning=0)
    return vinbigdata.write_vinbigdata(folder, visits, params.size, layout, darkroom)


def _write_rahman(folder: Path, params: PhantomParams, darkroom: Darkroom) -> pl.DataFrame:
    cases, layout = _rngs(params, 6)
    counts = {label: round(share * params.rahman) for label, share in RAHMAN_SHARES.items()}
    classes = {
        label: sample_cohort(
            cases, count, wanted=RAHMAN_FINDINGS[label], share=1, allowed=(*SEEN, *RAHMAN_FINDINGS[label]), returning=0
        )
        for label, count in counts.items()
    }
    normal = params.rahman - sum(counts.values())
    classes["Normal"] = sample_cohort(cases, normal, share=0, normal=1, returning=0)
    return rahman.write_rahman(folder, classes, params.size, layout, darkroom)


def _positives_among(
    rng: np.random.Generator, count: int, share: float, target: str, allowed: Sequence[str]
) -> list[Visit]:
    """One study per patient; a fixed share shows the target, the others never do."""
    positive = round(share * count)
    others = [name for name in allowed if name != target]
    with_target = sample_cohort(rng, positive, wanted=[target], share=1, allowed=allowed, returning=0)
    without = sample_cohort(rng, count - positive, share=0, allowed=others, returning=0)
    return _shuffled([*with_target, *without], rng)


def _shuffled(items: Sequence[_Item], rng: np.random.Generator) -> list[_Item]:
    return [items[index] for index in rng.permutation(len(items))]


_BENCHMARKS: dict[str, Callable[[Path, PhantomParams, Darkroom], pl.DataFrame]] = {
    cxr14.FOLDER: _write_cxr14,
    rsna.FOLDER: _write_rsna,
    siim.FOLDER: _write_siim,
    covidx.FOLDER: _write_covidx,
    vinbigdata.FOLDER: _write_vinbigdata,
    rahman.FOLDER: _write_rahman,
}
