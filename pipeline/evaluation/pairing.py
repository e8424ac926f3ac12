"""Two models on the same test images: is one better, beyond what other patients would have shown?

Works on the tables that the evaluations write (`schemas.SCORES` of a zero-shot benchmark, `schemas.GROUNDED`), one pair
of tables per training seed. Only results on the same images with the same labels are paired; others are an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import EvaluationError
from pipeline.evaluation import classification, overlap, statistics
from pipeline.evaluation.score_table import tabulate
from pipeline.evaluation.statistics import RESAMPLES, Counts, PairedTest, Values

Single = tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.str_]]  # labels, scores and patients, [n] each

TESTED = {"zero_shot": classification.RESAMPLED, "grounding": overlap.METRICS}  # metrics by task


class Results(Protocol):
    """A model's results on a benchmark's test images."""

    images: pl.DataFrame  # what two models must share to be paired, and in which order
    patients: NDArray[np.str_]  # [n] the unit of resampling
    single: Single | None  # of the one finding that is scored; None of several

    def measure(self, metric: str, counts: Counts) -> tuple[float | None, Values]:
        """A metric on the images, None where it cannot be computed, and in every resample: counts [R, n] -> [R]."""
        ...


class ScoredImages:
    """Zero-shot scores (`schemas.SCORES`) of a benchmark."""

    def __init__(self, scores: pl.DataFrame, benchmark: str) -> None:
        self.scores, self.benchmark = scores, benchmark
        test = tabulate(scores, "test", benchmark)
        self.images = scores.filter(split="test").select("image_id", "finding", "label").sort("image_id", "finding")
        self.patients = test.patients
        one = len(test.findings) == 1
        self.single: Single | None = (test.labels[:, 0], test.scores[:, 0], test.patients) if one else None

    def measure(self, metric: str, counts: Counts) -> tuple[float | None, Values]:
        """The macro mean of a metric over the findings."""
        return classification.macro_metric(self.scores, self.benchmark, metric, counts)


class GroundedPairs:
    """Pairs of an image and a finding with boxes (`schemas.GROUNDED`)."""

    def __init__(self, pairs: pl.DataFrame) -> None:
        self.test = pairs.filter(split="test").sort("image_id", "finding")
        self.images = self.test.select("image_id", "finding")
        self.patients = self.test["patient_id"].to_numpy()
        self.single: Single | None = None

    def measure(self, metric: str, counts: Counts) -> tuple[float | None, Values]:
        """The macro mean over the findings of a metric's mean over the pairs."""
        parts = self.test.with_row_index("row").partition_by("finding", maintain_order=True)
        means = [statistics.resampled_mean(part[metric], counts[:, part["row"].to_numpy()]) for part in parts]
        return float(np.mean([part[metric].to_numpy().mean() for part in parts])), statistics.macro(means)


@dataclass(frozen=True)
class Verdict:
    """A paired test, and which one: `DeLong` or `bootstrap`."""

    test: PairedTest
    kind: str


def compare(
    metric: str,
    trials: Sequence[tuple[Results, Results]],
    names: tuple[str, str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Test a metric's mean difference, first minus second model, over trials that each hold both models' results.

    AUROC of a single finding is tested by DeLong's test, everything else by bootstrap; both take patients as units.

    Args:
        metric: one of TESTED for the task.
        trials: at least one, such as one per training seed.
        names: of the two models, for errors.
        resamples: bootstrap resamples of the patients of all trials.
        seed: of the resampling.

    Raises:
        EvaluationError: the results of a trial are not of the same images and labels, or cannot be scored.
    """
    for pair in trials:
        _check_same_images(*pair, names)
    single = [(first.single, second.single) for first, second in trials if first.single and second.single]
    if metric == "auroc" and len(single) == len(trials):
        return Verdict(_delong(single), "DeLong")
    return Verdict(_bootstrap(metric, trials, names, resamples, seed), "bootstrap")


def _check_same_images(first: Results, second: Results, names: tuple[str, str]) -> None:
    if first.images.equals(second.images):
        return
    here, there = ({*one.images["image_id"]} for one in (first, second))
    what = "labels of the same test images" if here == there else "test images"
    raise EvaluationError(
        f"{names[0]} and {names[1]} were evaluated on different {what} ({len(here)} and {len(there)} images, "
        f"{len(here & there)} shared): evaluate both on the same data, then compare."
    )


def _delong(trials: Sequence[tuple[Single, Single]]) -> PairedTest:
    parts = [
        (labels, scores, others[1], patients, np.full(len(labels), number))
        for number, ((labels, scores, patients), others) in enumerate(trials)
    ]
    return statistics.delong_test(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _bootstrap(
    metric: str, trials: Sequence[tuple[Results, Results]], names: tuple[str, str], resamples: int, seed: int
) -> PairedTest:
    """Resamples the patients of all trials at once: one who is in several trials is drawn as often in each."""
    patients = [first.patients for first, _ in trials]
    counts = statistics.resample_patients(np.concatenate(patients), resamples, seed)
    parts = np.split(counts, np.cumsum([len(part) for part in patients])[:-1], axis=1)
    values, resampled = np.empty((2, len(trials))), np.empty((2, len(trials), resamples))
    for number, (pair, part) in enumerate(zip(trials, parts, strict=True)):
        for side, results in enumerate(pair):
            value, resampled[side, number] = results.measure(metric, part)
            if value is None:
                raise EvaluationError(f"{names[side]} has no {metric}: no positive validation image gave a threshold.")
            values[side, number] = value
    means = resampled.mean(axis=1)  # [2, R]
    return statistics.paired_bootstrap(float(values[0].mean() - values[1].mean()), means[0], means[1])
