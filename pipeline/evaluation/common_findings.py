"""A benchmark's macro metrics over its most common findings, which is what MedFILIP's Table 1 reports."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.evaluation.classification import METRICS

COMMON = {"cxr14": 10, "vinbigdata": 8}  # the paper gives these numbers and names none of the findings


def common_subset(results: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Macro means over the findings with most positive test images, of equals the first by name.

    Args:
        results: of `classification.summarise`.
        count: of findings; all where fewer are scored.

    Returns:
        `findings`, and METRICS, each over the findings that have it; null where none has.
    """
    scored = results["per_class"]
    chosen = sorted(scored, key=lambda name: (-scored[name]["positives"], name))[:count]
    known = {metric: [v for name in chosen if (v := scored[name][metric]) is not None] for metric in METRICS}
    means = {metric: float(np.mean(values)) if values else None for metric, values in known.items()}
    return {"findings": chosen, **means}
