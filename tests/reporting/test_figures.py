import hashlib
import os
import subprocess
import sys

import matplotlib
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reporting import figures, maps

SCORES = pl.DataFrame(
    {
        "finding": ["mass"] * 5 + ["edema"] * 2,
        "label": [0, 0, 1, 1, 1, 1, 1],
        "score": [0.1, 0.6, 0.5, 0.7, 0.9, 0.2, 0.3],
    }
)


def test_a_figure_is_a_picture_without_date_or_maker() -> None:
    svg = figures.roc(SCORES, "ROC").content.decode()
    assert svg.startswith("<?xml")
    assert "<svg" in svg
    assert "dc:date" not in svg
    assert "dc:creator" not in svg


def test_a_photograph_holds_no_maker() -> None:
    image = maps.heat_map(np.zeros((32, 32), np.uint8), np.eye(4, dtype=np.float32), np.array([[2.0, 3, 8, 9]]))
    assert image.content.startswith(b"\x89PNG")
    assert b"Matplotlib" not in image.content


def test_another_process_draws_the_same_bytes() -> None:
    draw = (
        "import hashlib, polars as pl; from pipeline.reporting import figures;"
        f"scores = pl.DataFrame({SCORES.to_dict(as_series=False)});"
        "print(hashlib.sha256(figures.roc(scores, 'ROC').content).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    outside = subprocess.run([sys.executable, "-c", draw], capture_output=True, text=True, check=True, env=environment)
    assert outside.stdout.strip() == hashlib.sha256(figures.roc(SCORES, "ROC").content).hexdigest()


def test_false_alarms_and_precision_on_a_case_by_hand() -> None:
    # mass, highest first: positive 0.9, positive 0.7, negative 0.6, positive 0.5, negative 0.1; edema has no negative
    assert figures.false_alarms(SCORES, 0.9) == 0.5
    assert figures.false_alarms(SCORES, 0.6) == 0.0
    assert figures.precision_at(SCORES, 1.0) == 0.75
    assert figures.precision_at(SCORES, 0.5) == 1.0


def test_a_figure_does_not_depend_on_the_users_settings() -> None:
    expected = figures.roc(SCORES, "ROC")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": "other"}):
        assert figures.roc(SCORES, "ROC") == expected


@given(st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=30)
def test_the_peak_lies_in_the_box_around_its_cell_only(row: int, column: int) -> None:
    heat = np.zeros((7, 7), np.float32)
    heat[row, column] = 1
    box = np.array([[column * 16.0, row * 16.0, 16.0, 16.0]])
    assert maps.peaks_inside(heat, box, 112)
    assert not maps.peaks_inside(heat, box + np.array([112.0, 0, 0, 0]), 112)
    assert not maps.peaks_inside(heat, np.zeros((0, 4)), 112)
