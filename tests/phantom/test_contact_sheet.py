"""The page of outlined films."""

from dataclasses import replace
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


def test_a_caption_wider_than_its_film_ends_in_dots_after_a_whole_word(tmp_path: Path) -> None:
    case = sample_case(np.random.default_rng(0), required=("mass",))
    wide = replace(case, findings=(replace(case.findings[0], anatomies=("left upper lung", "right upper lung")),))
    page = np.asarray(Image.open(contact_sheet([wide], tmp_path / "a.png", columns=1, size=192)).convert("RGB"))
    assert page[192:205].any()  # the caption
    assert not page[192:, -3:].any()  # ends before the film does
