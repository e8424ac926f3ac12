from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.phantom.layouts.darkroom import Darkroom, Film, as_jpeg, as_png
from pipeline.phantom.layouts.lateral import draw_lateral
from pipeline.phantom.render import render
from pipeline.phantom.scene import sample_case


def test_develop_crops_and_returns_the_wanted_masks(tmp_path: Path) -> None:
    case = sample_case(np.random.default_rng(0), required=["pneumothorax"])
    films = [
        Film(tmp_path / "a/whole.png", case, 64, as_png(), frozenset({"pneumothorax"})),
        Film(tmp_path / "b/cut.png", case, 64, as_png("RGB"), crop=(1, 2, 3, 4)),
        Film(tmp_path / "side.jpg", case, 64, as_jpeg(), lateral=True),
    ]
    with Darkroom(1) as darkroom:
        masks = darkroom.develop(films)
    drawn = render(case, 64)
    wanted = dict(zip((finding.name for finding in case.findings), drawn.masks, strict=True))["pneumothorax"]
    assert list(masks[0]) == ["pneumothorax"]
    assert np.array_equal(masks[0]["pneumothorax"], wanted)
    assert masks[1:] == [{}, {}]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a/whole.png")), drawn.image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b/cut.png"))[..., 0], drawn.image[2:60, 1:61])
    assert Image.open(tmp_path / "side.jpg").size == (64, 64)


def test_a_failing_worker_fails_the_build(tmp_path: Path) -> None:
    case = sample_case(np.random.default_rng(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError), Darkroom(1) as darkroom:
        darkroom.develop([Film(tmp_path / "file/image.png", case, 64, as_png())])


def test_lateral_is_no_frontal() -> None:
    case = sample_case(np.random.default_rng(0))
    side = draw_lateral(case, 64)
    assert side.shape == (64, 64)
    assert side.dtype == np.uint8
    assert np.array_equal(side, draw_lateral(case, 64))
    assert not np.array_equal(side, render(case, 64).image)
