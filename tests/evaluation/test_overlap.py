"""Overlap figures on tiny maps by hand, and on random ones against MONAI, torchmetrics and slow loops."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import DiceMetric, MeanIoU
from torch.nn.functional import interpolate

from pipeline.errors import EvaluationError
from pipeline.evaluation.overlap import RELEASED_LEVEL, THRESHOLDS, draw_contents, draw_regions, join_overlaps, measure


def tensor(rows):
    return torch.tensor(rows)[None]


def everywhere(regions):
    return torch.ones_like(regions)


def random_case(seed=0, pairs=5, grid=4, size=16):
    rng = np.random.default_rng(seed)
    regions = rng.random((pairs, size, size)) < 0.3
    regions[:, 0, 0] = True
    return torch.from_numpy(rng.random((pairs, grid, grid)).astype(np.float32)), torch.from_numpy(regions)


def test_by_hand():
    heat = tensor([[0.8, 0.4], [0.2, 0.0]])
    region = tensor([[True, False], [True, False]])
    found = measure(heat, region, everywhere(region))
    at = {round(float(t), 2): k for k, t in enumerate(THRESHOLDS)}
    assert found.pointing_game[0] == 1.0
    assert found.iou[0, at[0.5]] == pytest.approx(1 / 3)  # calls (0, 0) and (0, 1)
    assert found.dice[0, at[0.5]] == pytest.approx(2 / 4)
    assert found.iou[0, at[0.55]] == pytest.approx(1 / 2)
    assert found.iou[0, at[0.25]] == pytest.approx(2 / 3)  # a map value level with the threshold is called
    assert found.chance[0] == pytest.approx([1 / 2, 1 / 2, 2 / 3])


def test_chance_leaves_the_padding_out():
    region, content = torch.zeros(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    content[:, 1:3], region[:, 1, :2] = True, True
    assert measure(torch.ones(1, 2, 2), region, content).chance[0] == pytest.approx([2 / 8, 2 / 8, 4 / 10])


def test_chance_is_what_random_points_get():
    _, regions = random_case(pairs=1)
    points = np.random.default_rng(1).integers(0, 16, (20_000, 2))
    hit = regions[0].numpy()[points[:, 0], points[:, 1]].mean()
    assert measure(torch.ones(1, 4, 4), regions, everywhere(regions)).chance[0, 0] == pytest.approx(hit, abs=0.01)


levels = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4)
insides = st.lists(st.booleans(), min_size=4, max_size=4).filter(any)


@settings(max_examples=40)
@given(levels, insides)
def test_tied_maxima_share_the_credit(values, inside):
    region = torch.tensor(inside).reshape(1, 2, 2)
    found = measure(torch.tensor(values).reshape(1, 2, 2), region, everywhere(region))
    hits = [hit for value, hit in zip(values, inside, strict=True) if value == max(values)]
    assert found.pointing_game[0] == pytest.approx(sum(hits) / len(hits))
    assert found.released[0, 0] == float(any(hits))


def test_a_map_without_contrast_points_no_better_than_chance():
    _, regions = random_case()
    for level in (0.0, 0.1, 1 / 196):
        found = measure(torch.full((5, 4, 4), level), regions, everywhere(regions))
        assert found.pointing_game == pytest.approx(found.chance[:, 0])


def test_overlaps_agree_with_monai():
    heat, regions = random_case()
    found = measure(heat, regions, everywhere(regions))
    smooth = interpolate(heat[:, None].double(), size=(16, 16), mode="bilinear")
    relative = smooth / smooth.amax((2, 3), keepdim=True)
    for step in (0, 9, 18):
        called = (relative >= THRESHOLDS[step]).float()
        truth = regions[:, None].float()
        assert found.dice[:, step] == pytest.approx(DiceMetric()(called, truth)[:, 0].numpy(), abs=1e-6)
        assert found.iou[:, step] == pytest.approx(MeanIoU()(called, truth)[:, 0].numpy(), abs=1e-6)


def test_pointing_agrees_with_a_loop():
    heat, regions = random_case(seed=3)
    smooth = interpolate(heat[:, None].double(), size=(16, 16), mode="bilinear")[:, 0].numpy()
    expected = []
    for values, region in zip(smooth, regions.numpy(), strict=True):
        peaks = [(r, c) for r in range(16) for c in range(16) if values[r, c] >= values.max() * (1 - 1e-9)]
        expected.append(np.mean([region[place] for place in peaks]))
    assert measure(heat, regions, everywhere(regions)).pointing_game == pytest.approx(expected)


def test_the_released_way_with_blocks_and_a_fixed_threshold():
    heat, regions = random_case(seed=2)
    heat = heat**3 / (heat**3).sum((1, 2), keepdim=True)
    found = measure(heat, regions, everywhere(regions)).released
    for k in range(5):
        blocks = np.kron(heat[k].numpy(), np.ones((4, 4)))
        called, region = blocks > RELEASED_LEVEL / 16, regions[k].numpy()
        both = (called & region).sum()
        assert found[k, 0] == region[blocks == blocks.max()].any()
        assert found[k, 1] == pytest.approx(both / (called | region).sum())
        assert found[k, 2] == pytest.approx(2 * both / (called.sum() + region.sum()))


def test_the_released_threshold_is_theirs_on_their_grid():
    assert np.isclose(RELEASED_LEVEL / (14 * 14), 0.008)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_an_unusable_map_is_an_error(value):
    heat, regions = random_case()
    heat[2, 1, 1] = value
    with pytest.raises(EvaluationError, match="diverged"):
        measure(heat, regions, everywhere(regions))


def test_parts_join_in_order():
    heat, regions = random_case()
    whole = measure(heat, regions, everywhere(regions))
    parts = [measure(heat[some], regions[some], everywhere(regions[some])) for some in (slice(0, 2), slice(2, 5))]
    joined = join_overlaps(parts)
    for name in ("pointing_game", "iou", "dice", "released", "chance"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def boxes(*rows):
    names = ["image_id", "finding", "x", "y", "width", "height"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_several_boxes_are_one_region():
    pairs = pl.DataFrame({"image_id": ["a", "a", "b"], "finding": ["mass", "edema", "mass"]})
    drawn = draw_regions(
        pairs,
        boxes(
            ("a", "mass", 0, 0, 2, 1), ("b", "mass", 3, 3, 1, 1), ("a", "mass", 1, 0, 2, 2), ("a", "edema", 0, 3, 4, 1)
        ),
        4,
    )
    assert drawn.int().tolist() == [
        [[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]],
    ]


def test_a_box_fills_every_pixel_it_touches():
    pairs = pl.DataFrame({"image_id": ["a"], "finding": ["mass"]})
    assert draw_regions(pairs, boxes(("a", "mass", 0.5, 1.2, 1.0, 0.1)), 3).int().tolist() == [
        [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    ]


def test_contents_are_the_letterbox():
    drawn = draw_contents(np.array([200, 100]), np.array([100, 100]), 4)
    assert drawn[0].int().tolist() == [[0] * 4, [1] * 4, [1] * 4, [0] * 4]
    assert drawn[1].all()
