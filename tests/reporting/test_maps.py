import numpy as np
import polars as pl
import pytest

from pipeline.reporting import maps


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("predicted", [True, False])
def test_films_with_any_masks_have_the_same_frame(truth: bool, predicted: bool) -> None:
    """An empty mask outlines nothing, and a full one, at the film's edge, does not shift the film."""
    film = np.zeros((16, 16), np.uint8)
    image = maps.masks(film, np.full((16, 16), truth), np.full((16, 16), predicted))
    assert image.kind == "png"
    outlined = maps.masks(film, np.zeros((16, 16), bool), np.zeros((16, 16), bool)) != image
    assert outlined == (truth or predicted)


def test_a_panel_per_finding_and_none_left_over() -> None:
    points = pl.DataFrame({
        "finding": ["mass"] * 4 + ["edema"] * 4 + ["hernia"] * 4, "group": ["healthy", "diseased"] * 6,
        "image_id": list("abcdefghijkl"), "x": np.arange(12.0), "y": np.arange(12.0),
    })  # fmt: skip
    three = maps.finding_maps(points, ["mass: 0.1", "edema: 0.2", "hernia: 0.3"])
    assert three == maps.finding_maps(points, ["mass: 0.1", "edema: 0.2", "hernia: 0.3"])
    assert three.content.count(b'id="axes_') == 4  # the fourth is off
    assert three != maps.finding_maps(points, ["mass: 0.1", "edema: 0.2", "hernia: 0.9"])


def test_numbers_are_printed_while_there_is_room() -> None:
    few, many = np.eye(2), np.eye(maps.PRINTED + 1)
    counts = [
        maps.similarity(["text"] * len(matrix), matrix, "t").content.count(b'id="text_') for matrix in (few, many)
    ]
    beside = 1 + 6 + 1  # the title, the scale's ticks and its name
    assert counts == [4 + 2 + 2 + beside, 2 * (maps.PRINTED + 1) + beside]  # cells, ticks of both axes
