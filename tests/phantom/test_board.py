"""The strokes that everything is drawn with."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.phantom.board import Board, blur, curve, inner_distance, smooth


def test_coordinates_undo_the_view() -> None:
    board = Board(64, tilt=7.0, zoom=1.1, shift=(0.03, -0.02))
    square = np.array([(-0.1, 0.3), (0.2, 0.3), (0.2, 0.6), (-0.1, 0.6)])
    inside = (board.x > -0.1) & (board.x < 0.2) & (board.y > 0.3) & (board.y < 0.6)
    assert np.abs(board.fill(square) - inside).mean() < 0.01


def test_a_stroke_has_its_width_and_level() -> None:
    line = Board(200).stroke([(np.array([(0.0, -0.2), (0.0, 1.2)]), 0.05, 0.5)])
    assert line[100].sum() / 200 == pytest.approx(0.05 * 0.5, rel=0.12)
    assert line.max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("size", [256, 512])
def test_threads_have_their_peak_at_every_size(size: int) -> None:
    path = np.array([[(-0.4, 0.5), (0.0, 0.5), (0.4, 0.5)]])
    threads = Board(size).threads(path, np.array([0.03]), np.array([0.8]))
    assert threads.max() == pytest.approx(0.8, rel=0.1)


def test_blur_matches_scipy_on_a_reduced_grid() -> None:
    field = np.zeros((256, 256), np.float32)
    field[100:160, 90:170] = 1
    assert np.abs(blur(field, 0.08) - ndimage.gaussian_filter(field, 0.08 * 256, mode="nearest")).max() < 0.03


def test_inner_distance_of_a_square() -> None:
    mask = np.zeros((192, 192), np.float32)
    mask[48:144, 48:144] = 1
    assert inner_distance(mask)[96, 96] == pytest.approx(0.25, abs=0.02)
    assert inner_distance(mask)[20, 20] == pytest.approx(0, abs=0.005)


def test_a_curve_passes_through_its_knots() -> None:
    knots = [(0.0, 0.0), (1.0, 0.5), (2.0, 0.0), (1.0, -0.5)]
    for closed in (False, True):
        points = curve(knots, steps=4, closed=closed)
        assert all(np.abs(points - knot).sum(1).min() < 1e-12 for knot in knots)
    assert np.allclose(curve(knots, closed=True)[-1], knots[0])


def test_smooth_steps_either_way() -> None:
    values = np.array([-1.0, 0.5, 2.0])
    assert smooth(values, 0, 1).tolist() == [0, 0.5, 1]
    assert smooth(values, 1, 0).tolist() == [1, 0.5, 0]
