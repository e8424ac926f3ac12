import numpy as np
import pytest

from pipeline.evaluation.classification import METRICS
from pipeline.evaluation.common_findings import common_subset


def results(**positives: int) -> dict:
    rng = np.random.default_rng(0)
    return {
        "per_class": {
            name: {metric: float(rng.random()) for metric in METRICS} | {"positives": count}
            for name, count in positives.items()
        }
    }


def test_the_most_frequent_findings_are_averaged() -> None:
    given = results(rare=1, common=9, first=5, second=5)
    found = common_subset(given, 3)
    assert found["findings"] == ["common", "first", "second"]
    for metric in METRICS:
        assert found[metric] == pytest.approx(np.mean([given["per_class"][n][metric] for n in found["findings"]]))
    assert common_subset(given, 2)["findings"] == ["common", "first"]


def test_fewer_findings_are_all_and_a_metric_that_none_has_is_null() -> None:
    given = results(one=3, two=2)
    for row in given["per_class"].values():
        row["f1"] = None
    given["per_class"]["one"]["accuracy"] = None
    found = common_subset(given, 10)
    assert found["findings"] == ["one", "two"]
    assert found["f1"] is None
    assert found["accuracy"] == given["per_class"]["two"]["accuracy"]
