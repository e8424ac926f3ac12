from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.images.geometry import boxes_to_square, letterbox, masks_to_square

SIDES = st.integers(1, 40)


def runs_of(mask: np.ndarray) -> list[int]:
    flat, runs = mask.T.ravel(), []
    for position, value in enumerate(flat):
        if value and (position == 0 or not flat[position - 1]):
            runs += [position, 0]
        if value:
            runs[-1] += 1
    return runs


def as_table(masks: list[np.ndarray]) -> pl.DataFrame:
    return pl.DataFrame({
        "image_id": [str(n) for n in range(len(masks))],
        "finding": ["mass"] * len(masks),
        "height": [mask.shape[0] for mask in masks],
        "width": [mask.shape[1] for mask in masks],
        "runs": pl.Series([runs_of(mask) for mask in masks], dtype=pl.List(pl.Int32)),
    })  # fmt: skip


def slow_square(mask: np.ndarray, size: int) -> np.ndarray:
    """Exact areas pixel by pixel."""
    height, width = mask.shape
    place = letterbox([width], [height], size)
    left, top, across, down = (int(value[0]) for value in (place.left, place.top, place.width, place.height))
    square = np.zeros((size, size), bool)
    for y in range(down):
        for x in range(across):
            area = sum(
                overlap(row, y, height, down) * overlap(column, x, width, across) for row, column in np.argwhere(mask)
            )
            square[top + y, left + x] = area >= Fraction(height, down) * Fraction(width, across) / 2
    return square


def overlap(pixel: int, target: int, stored: int, inner: int) -> Fraction:
    low, high = Fraction(target * stored, inner), Fraction((target + 1) * stored, inner)
    return max(Fraction(0), min(high, Fraction(int(pixel) + 1)) - max(low, Fraction(int(pixel))))


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [
        (100, 100, 50, (0, 0, 50, 50)),
        (200, 100, 50, (0, 12, 50, 25)),
        (100, 200, 50, (12, 0, 25, 50)),
        (1000, 1, 50, (0, 24, 50, 1)),
        (10, 5, 64, (0, 16, 64, 32)),
    ],
)
def test_letterbox(width: int, height: int, size: int, expected: tuple[int, int, int, int]) -> None:
    place = letterbox([width], [height], size)
    assert tuple(int(value[0]) for value in (place.left, place.top, place.width, place.height)) == expected


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1), st.integers(1, 512))
def test_the_image_fits_its_square_and_is_centred(sides: list[tuple[int, int]], size: int) -> None:
    widths, heights = zip(*sides, strict=True)
    place = letterbox(widths, heights, size)
    for start, length in ((place.left, place.width), (place.top, place.height)):
        after = size - start - length
        assert ((length >= 1) & (after >= start) & (after - start <= 1)).all()
    assert (np.maximum(place.width, place.height) == size).all()


@given(SIDES, SIDES, st.integers(1, 60), st.tuples(*[st.floats(0, 40, width=32)] * 4))
def test_boxes_go_to_the_square_and_back(
    width: int, height: int, size: int, box: tuple[float, float, float, float]
) -> None:
    boxes = pl.DataFrame(
        [("a", "mass", *box)], schema=["image_id", "finding", "x", "y", "width", "height"], orient="row"
    )
    sizes = pl.DataFrame({"image_id": ["b", "a"], "width": [7, width], "height": [9, height]})
    moved = boxes_to_square(boxes, sizes, size).row(0, named=True)
    place = letterbox([width], [height], size)
    across, down = place.width[0] / width, place.height[0] / height
    back = (
        (moved["x"] - place.left[0]) / across,
        (moved["y"] - place.top[0]) / down,
        moved["width"] / across,
        moved["height"] / down,
    )
    assert back == pytest.approx(box, abs=1e-3)


def test_boxes_of_images_without_size_are_left_out() -> None:
    boxes = pl.DataFrame({"image_id": ["a"], "finding": ["x"], "x": [1.0], "y": [1.0], "width": [1.0], "height": [1.0]})
    assert boxes_to_square(boxes, pl.DataFrame({"image_id": ["b"], "width": [1], "height": [1]}), 8).is_empty()


@settings(max_examples=20)
@given(st.data(), st.integers(1, 12))
def test_masks_are_exact_areas(data: st.DataObject, size: int) -> None:
    shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
    masks = data.draw(st.lists(shapes.flatmap(lambda shape: hnp.arrays(bool, shape)), min_size=1, max_size=3))
    squares = masks_to_square(as_table(masks), size)
    for mask, square in zip(masks, squares, strict=True):
        assert (square == slow_square(mask, size)).all()


def test_masks_at_stored_size_come_back() -> None:
    masks = [np.random.default_rng(n).random((32, 32)) < 0.4 for n in range(40)]
    assert (masks_to_square(as_table(masks), 32) == np.stack(masks)).all()


def test_no_masks() -> None:
    assert masks_to_square(as_table([]), 8).shape == (0, 8, 8)
    assert not masks_to_square(as_table([np.zeros((5, 4), bool)]), 8).any()
