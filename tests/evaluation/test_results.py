"""Metrics files: same results, same bytes."""

import json

import numpy as np
import pytest

from pipeline.evaluation.results import write_results


def test_rounds_and_sorts(tmp_path):
    path = tmp_path / "new" / "metrics.json"
    write_results({"b": 0.12345678, "a": {"x": [1 / 3, None, "text"]}, "n": 3, "threshold_oracle": 1 / 3}, path)
    assert json.loads(path.read_text()) == {
        "a": {"x": [0.333333, None, "text"]},
        "b": 0.123457,
        "n": 3,
        "threshold_oracle": 1 / 3,
    }
    assert path.read_text().startswith('{\n  "a"')
    before = path.read_bytes()
    write_results({"n": 3, "threshold_oracle": 1 / 3, "a": {"x": (1 / 3, None, "text")}, "b": 0.1234568}, path)
    assert path.read_bytes() == before


def test_a_number_that_is_none_is_a_defect(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_results({"auroc": float("nan")}, tmp_path / "metrics.json")


def test_rounds_scalars_of_numpy_too(tmp_path):
    write_results({"auroc": np.float64(2 / 3)}, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"auroc": 0.666667}
