"""Drawing: the same bytes every time, and every finding where its mask and its side say."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phantom.render import PAINTERS, Rendering, render
from pipeline.phantom.scene import FINDINGS, SEEN, UNSEEN, Acquisition, Case, Finding, Place, sample_case

SIZE = 112
FILM = Acquisition(3, 0.1, 0.0, 0.0, 1.0, (0.0, 0.0), 0.0, 1.0, 0.01, 0.2, "", 0)
# these move the edges of the lungs: they are their lungs' shape, and change what was lung and no longer is
RESHAPING = ("low lung volumes", "hyperinflation", "emphysema")
EVERY_PLACE = [(name, place) for name, kind in FINDINGS.items() for place in kind.places]


def plain(seed: int = 11) -> Case:
    return replace(sample_case(np.random.default_rng(seed)), findings=(), acquisition=FILM)


@cache
def normal_image(case: Case) -> np.ndarray:
    return render(case, SIZE).image.astype(float)


def with_finding(case: Case, name: str, place: Place, severity: str, seed: int = 5) -> Rendering:
    return render(replace(case, findings=(Finding(name, place.anatomies, severity, seed, place.side),)), SIZE)


def test_every_finding_has_a_painter() -> None:
    assert set(PAINTERS) == set(FINDINGS)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([64, 97, 128, 200]))
def test_shapes_types_and_bytes(seed: int, size: int) -> None:
    case = sample_case(np.random.default_rng(seed), allowed=(*SEEN, UNSEEN))
    drawn, again = render(case, size), render(case, size)
    assert drawn.image.shape == (size, size)
    assert drawn.image.dtype == np.uint8
    assert len(drawn.masks) == len(case.findings)
    assert all(mask.shape == (size, size) and mask.dtype == np.bool_ for mask in drawn.masks)
    assert drawn.image.tobytes() == again.image.tobytes()
    assert all((a == b).all() for a, b in zip(drawn.masks, again.masks, strict=True))


@pytest.mark.parametrize(("name", "place"), EVERY_PLACE)
def test_a_clear_finding_changes_its_mask_most(name: str, place: Place) -> None:
    case = plain()
    drawn = with_finding(case, name, place, "moderate")
    change = np.abs(drawn.image - normal_image(case))
    mask = drawn.masks[0]
    assert mask.any()
    assert change[mask].mean() > 2
    if name not in RESHAPING:
        assert change[mask].mean() > 2 * change[~mask].mean()


@pytest.mark.parametrize("name", FINDINGS)
def test_severity_shows(name: str) -> None:
    case, place = plain(23), FINDINGS[name].places[0]
    before = normal_image(case)
    change = [np.abs(with_finding(case, name, place, s).image - before).sum() for s in ("subtle", "moderate", "severe")]
    assert 0 < change[0] < change[1] < change[2]


@pytest.mark.parametrize(
    ("name", "place"), [(n, p) for n, p in EVERY_PLACE if p.side and p.anatomies[0][:4] in ("left", "righ")]
)
@pytest.mark.parametrize("severity", ["subtle", "severe"])
def test_masks_lie_on_their_side(name: str, place: Place, severity: str) -> None:
    mask = with_finding(plain(31), name, place, severity).masks[0]
    right_of_patient, left_of_patient = mask[:, : SIZE // 2].sum(), mask[:, SIZE // 2 :].sum()
    assert mask.sum() > 0
    if place.side == "both":
        assert min(right_of_patient, left_of_patient) > 0
    else:
        share = left_of_patient / mask.sum()
        assert share > 0.75 if place.side == "left" else share < 0.25


def test_one_finding_leaves_the_others_untouched() -> None:
    case = plain()
    nodule = Finding("nodule", ("left upper lung",), "severe", 4, "left")
    effusion = Finding("pleural effusion", ("right pleura",), "severe", 4, "right")
    alone = render(replace(case, findings=(nodule,)), SIZE)
    both = render(replace(case, findings=(nodule, effusion)), SIZE)
    assert (alone.masks[0] == both.masks[0]).all()
    assert np.abs(alone.image.astype(int) - both.image)[both.masks[0]].mean() < 2


def test_lungs_are_dark_and_bones_bright() -> None:
    image = render(plain(), SIZE).image / 255
    lungs = image[35:66, [26, 30, 82, 86]].mean()
    spine, air = image[66:96, 54:58].mean(), image[0:5, 0:5].mean()
    assert air < lungs < spine
    assert spine - lungs > 0.25


def test_the_same_picture_at_any_size() -> None:
    case = sample_case(np.random.default_rng(17), required=("consolidation",))
    small, large = render(case, 96), render(case, 192)
    reduced = large.image.reshape(96, 2, 96, 2).mean((1, 3))
    assert np.corrcoef(small.image.ravel(), reduced.ravel())[0, 1] > 0.97
    for a, b in zip(small.masks, large.masks, strict=True):
        assert a.mean() == pytest.approx(b.mean(), rel=0.35, abs=0.002)


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="64 to 2048"):
        render(plain(), 32)


ONE_SIDED = [
    (name, place)
    for name, kind in FINDINGS.items()
    if list(FINDINGS).index("pneumothorax") < list(FINDINGS).index(name) <= list(FINDINGS).index("pleural thickening")
    for place in kind.places
    if place.side in ("left", "right")
]


@pytest.mark.parametrize(("name", "place"), ONE_SIDED)
@pytest.mark.parametrize("kind", ["{} pleura", "{} lung apex"])
def test_a_lesion_is_seen_beside_a_pneumothorax(name: str, place: Place, kind: str) -> None:
    case = plain()
    air = Finding("pneumothorax", (kind.format(place.side),), "severe", 8, place.side)
    lesion = Finding(name, place.anatomies, "severe", 5, place.side)
    without, drawn = render(replace(case, findings=(air,)), SIZE), render(replace(case, findings=(air, lesion)), SIZE)
    alone = with_finding(case, name, place, "severe")
    seen = np.abs(drawn.image - without.image.astype(float))[drawn.masks[1]].mean()
    assert seen > 0.5 * np.abs(alone.image - normal_image(case))[alone.masks[0]].mean()
    if "pleura" not in name:
        assert (drawn.masks[0] & drawn.masks[1]).sum() <= 0.1 * drawn.masks[1].sum()


def test_fluid_lies_below_air_and_outside_its_mask() -> None:
    air = Finding("pneumothorax", ("right pleura",), "severe", 8, "right")
    fluid = Finding("pleural effusion", ("right pleura",), "severe", 9, "right")
    drawn = render(replace(plain(), findings=(air, fluid)), SIZE)
    gas, water = drawn.masks
    assert not (gas & water).any()
    assert gas.any()
    assert drawn.image[water].mean() > 2 * drawn.image[gas].mean()
    top = [np.flatnonzero(column).min() for column in water.T if column.sum() > 8]
    assert np.quantile(top, 0.7) - min(top) <= 2  # a level but for the sloping wall, no meniscus


def test_masks_of_what_was_gained_leave_the_normal_part() -> None:
    place = FINDINGS["mediastinal widening"].places[0]
    mask = with_finding(plain(), "mediastinal widening", place, "severe").masks[0]
    assert not mask[:, SIZE // 2 - 3 : SIZE // 2 + 3].any()
    assert min(mask[:, : SIZE // 2].sum(), mask[:, SIZE // 2 :].sum()) > 0


@pytest.mark.parametrize("severity", ["moderate", "severe"])
def test_air_in_the_wall_is_masked_where_it_is_seen(severity: str) -> None:
    case, place = plain(), FINDINGS["subcutaneous emphysema"].places[0]
    drawn = with_finding(case, "subcutaneous emphysema", place, severity)
    assert (normal_image(case) - drawn.image > 3)[drawn.masks[0]].mean() > 0.85
