import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.phantom.layouts.marks import Box, boxes_of, relative_code, runs_of
from pipeline.phantom.scene import Finding

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_runs_paint_the_mask_column_by_column(mask: np.ndarray) -> None:
    painted = np.zeros(mask.size, bool)
    previous = -1
    for start, length in runs_of(mask):
        assert start > previous, "runs touch or overlap"
        for pixel in range(start, start + length):
            painted[pixel] = True
        previous = start + length
    assert np.array_equal(painted.reshape(mask.shape[::-1]).T, mask)


def test_relative_code_counts_from_the_end_of_the_run_before() -> None:
    assert relative_code([(3, 2), (10, 1), (11, 4)]) == "3 2 5 1 0 4"
    assert relative_code([]) == ""


def test_one_box_per_side_of_a_bilateral_finding() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:4, 1:3] = mask[5:8, 9:11] = True
    left, right = Box(1, 2, 2, 2), Box(9, 5, 2, 3)
    assert boxes_of(mask, Finding("edema", ("lung",), "mild", 0, "both")) == [left, right]
    assert boxes_of(mask, Finding("edema", ("lung",), "mild", 0, "left")) == [Box(1, 2, 10, 6)]
    assert boxes_of(np.zeros((4, 4), bool), Finding("mass", ("lung",), "mild", 0, "left")) == []
