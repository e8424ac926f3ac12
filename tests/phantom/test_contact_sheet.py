"""The page of outlined films."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.phantom.contact_sheet import contact_sheet
from pipeline.phantom.render import render
from pipeline.phantom.scene import sample_case


def test_a_page_of_outlined_films_in_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    cases = [sample_case(rng, required=("mass",)), *(sample_case(rng) for _ in range(3))]
    first = contact_sheet(cases, tmp_path / "new" / "a.png", columns=3, size=96)
    second = contact_sheet(cases, tmp_path / "b.png", columns=3, size=96)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as page:
        assert page.width == 3 * 96
        assert page.height > 2 * 96
        pixels = np.asarray(page.convert("RGB"))[:96, :96]
    outlined = pixels.max(-1) != pixels.min(-1)
    assert outlined.any()
    shown, film = pixels[~outlined, 0].astype(int), render(cases[0], 96).image[~outlined]
    assert np.abs(shown - film).max() < 255 / 27  # less than a step between the greys
