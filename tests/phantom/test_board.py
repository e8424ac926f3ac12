"""The strokes that everything is drawn with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.phantom.board import Board, blur, curve, fraction, inner_distance, smooth


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


@settings(max_examples=30)
@given(
    size=st.integers(64, 160),
    tilt=st.floats(-9, 9),
    zoom=st.floats(0.85, 1.2),
    centre=st.tuples(st.floats(-0.7, 0.7), st.floats(-0.2, 1.2)),
    radii=st.tuples(st.floats(0.005, 0.6), st.floats(0.005, 0.6)),
)
def test_a_window_holds_the_whole_ellipse(
    size: int, tilt: float, zoom: float, centre: tuple[float, float], radii: tuple[float, float]
) -> None:
    board = Board(size, tilt, zoom, (0.02, -0.03))
    everywhere = np.sqrt(np.maximum(1 - board.disc(*centre, *radii), 0))
    assert (board.ball(*centre, *radii) == everywhere).all()


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.5])
def test_a_cloud_is_the_same_as_on_the_whole_board(radius: float) -> None:
    board = Board(128, tilt=3.0)
    rough = board.texture(np.random.default_rng(4), radius * 0.55)
    whole = smooth(1.25 - np.sqrt(board.disc(0.1, 0.2, radius)) + 0.3 * rough, 0.0, 0.6)
    assert (board.cloud(0.1, 0.2, radius, radius, 0.3, np.random.default_rng(4)) == whole).all()


def test_threads_lose_what_lies_outside_and_nothing_else() -> None:
    board = Board(64)
    inside, across = np.array([[(-0.2, 0.4), (0.1, 0.6)]]), np.array([[(0.3, 0.5), (2.0, 0.5)]])
    assert board._splat(inside, np.array([1.0])).sum() == pytest.approx(np.hypot(0.3, 0.2) * 64, rel=1e-5)
    assert board._splat(across, np.array([1.0])).sum() == pytest.approx(0.2 * 64, rel=0.02)
    assert not board._splat(across + 5, np.array([1.0])).any()


@pytest.mark.parametrize("corner", [(0, 0), (40, 70), (110, 110)])
def test_a_narrow_blur_is_that_of_the_whole_field(corner: tuple[int, int]) -> None:
    field = np.zeros((128, 128), np.float32)
    field[corner[0] : corner[0] + 18, corner[1] : corner[1] + 5] = np.random.default_rng(0).random((18, 5))
    whole = ndimage.gaussian_filter(field, 0.02 * 128, truncate=3, mode="nearest")
    assert (blur(field, 0.02) == whole).all()
    assert not blur(np.zeros_like(field), 0.02).any()


def test_fraction_is_the_remainder_of_one() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(0, 9, 9999), [-3, 0, 2, -1e-9]]).astype(np.float32)
    assert (fraction(values) == values % 1).all()


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
