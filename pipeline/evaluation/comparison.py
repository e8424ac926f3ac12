"""Ways to start compared at each amount of training data: means over subsets, intervals, paired differences.

An interval covers two sources of chance at once, the test patients and the training subset: every resample draws
patients with replacement, and, with replacement too, as many of the subsets as there are; its value is the mean over
the drawn subsets of the metric on the drawn patients. All ways to start share the draws, which pairs them. With one
subset (100 %) the interval is that of the patients alone; with few subsets it is somewhat narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import statistics
from pipeline.evaluation.encoders import PRETRAINED
from pipeline.evaluation.statistics import Values


@dataclass(frozen=True)
class Figures:
    """One metric of one way to start at one percentage, over its k subsets.

    Attributes:
        values: of each subset's model on the test images, [k].
        resampled: the same in each resample of the test patients, [k, R].
    """

    values: NDArray[np.float64]
    resampled: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Over the subsets."""
        return float(self.values.mean())

    def drawn(self, seed: int) -> Values:
        """The mean over drawn subsets in each resample: [R]."""
        subsets, resamples = self.resampled.shape
        draws = np.random.default_rng([seed, subsets]).integers(0, subsets, (subsets, resamples))
        mean: Values = np.take_along_axis(self.resampled, draws, axis=0).mean(axis=0)
        return mean

    def interval(self, seed: int) -> list[float] | None:
        """95 % interval [low, high] of the mean."""
        return statistics.percentile_interval(self.drawn(seed))


Table = Mapping[str, Mapping[int, Figures]]  # way to start -> percentage -> figures


def means(table: Table) -> dict[str, dict[int, float]]:
    """Way to start -> percentage -> mean over the subsets."""
    return {
        init: {percent: figures.mean for percent, figures in by_percent.items()} for init, by_percent in table.items()
    }


def headline(values: Mapping[str, Mapping[int, float]], metric: str) -> dict[str, float]:
    """Means under flat names: `<metric>_<percent>` of the pre-trained encoder, the others' with their name before."""
    return {
        f"{'' if init == PRETRAINED else f'{init}_'}{metric}_{percent}": value
        for init, by_percent in values.items()
        for percent, value in by_percent.items()
    }


def differences(table: Table, metric: str, seed: int) -> dict[str, Any]:
    """The pre-trained encoder minus each other, by percentage, with its paired bootstrap interval and p value."""
    return {
        init: {
            str(percent): _difference(table[PRETRAINED][percent], figures, metric, seed)
            for percent, figures in by_percent.items()
        }
        for init, by_percent in table.items()
        if init != PRETRAINED
    }


def _difference(first: Figures, second: Figures, metric: str, seed: int) -> dict[str, Any]:
    test = statistics.paired_bootstrap(first.mean - second.mean, first.drawn(seed), second.drawn(seed))
    return {metric: test.difference, "interval": [test.low, test.high], "p": test.p_value}
