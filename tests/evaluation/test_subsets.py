"""Subsets are nested, by patient, stratified, and hold both kinds of image of every finding that has them."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import schemas
from pipeline.evaluation.subsets import PERCENTS, LabelledImages, draw_subsets, draws_at, rank_patients, subset_places


def labelled(owner, labels, others=3):
    """Training images of numbered patients, before images of the other splits."""
    owner, labels = np.asarray(owner), np.asarray(labels, np.int8)
    n = len(owner)
    images = pl.DataFrame({
        "image_id": [f"i{k:04}" for k in range(n + others)],
        "patient_id": [f"p{k:04}" for k in owner] + [f"q{k}" for k in range(others)],
        "split": ["train"] * n + ["test"] * others,
        "row": range(n + others),
    })  # fmt: skip
    rest = np.ones((others, labels.shape[1]), np.int8)
    return LabelledImages(images, [f"f{k}" for k in range(labels.shape[1])], np.concatenate([labels, rest]))


def cohort(n=600, findings=3, seed=0):
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, n // 2, n))
    return np.unique(owner, return_inverse=True)[1], rng.random((n, findings)) < np.array([0.02, 0.1, 0.4])[:findings]


def test_labels_go_to_their_images_and_findings():
    class Source:
        ids = ("b", "a", "x")

    images = pl.DataFrame({"image_id": ["a", "b", "c"], "patient_id": ["p"] * 3, "split": ["train", "test", "test"]})
    rows = [("a", "mass", 1), ("a", "edema", 0), ("b", "edema", 1), ("c", "mass", 1)]
    table = pl.DataFrame(rows, schema=["image_id", "finding", "label"], orient="row")
    found = LabelledImages.of(Source(), images, table)
    assert found.images["image_id"].to_list() == ["b", "a"]
    assert found.findings == ["mass", "edema"]
    assert found.labels.tolist() == [[-1, 1], [1, 0]]
    assert found.places("train").tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(-1, 1), min_size=2, max_size=2)), min_size=2),
    st.integers(0, 5),
)
def test_every_subset_is_nested_by_patient_and_holds_both_kinds(rows, seed):
    owner = np.unique([patient for patient, _ in rows], return_inverse=True)[1]
    labels = np.array([own for _, own in rows])
    data = labelled(owner, labels)
    subsets = draw_subsets(data, 2, seed)
    for draw in range(2):
        before: set[int] = set()
        for percent in PERCENTS:
            places = subset_places(data, subsets, draw, percent)
            assert before <= set(places)
            before = set(places)
            assert len(places) >= percent * len(owner) / 100
            assert not set(owner[places]) & set(np.delete(owner, places)), "a patient is torn"
            for column in range(2):
                assert set(labels[places, column]) >= set(labels[:, column]) - {-1}
        assert before == set(range(len(owner)))


def test_subsets_keep_the_prevalence_and_the_size():
    owner, labels = cohort()
    data = labelled(owner, labels)
    subsets = draw_subsets(data, 5, 0)
    for draw in range(5):
        own = subset_places(data, subsets, draw, 10)
        assert len(own) in (60, 61, 62, 63)
        assert np.abs(labels[own].mean(0) - labels.mean(0)).max() < 0.08
        assert 6 <= len(subset_places(data, subsets, draw, 1)) <= 12


def test_a_single_finding_is_split_as_it_occurs():
    labels = (np.arange(600) % 3 == 0)[:, None]
    data = labelled(np.arange(600), labels)
    subsets = draw_subsets(data, 4, 0)
    for draw in range(4):
        assert labels[subset_places(data, subsets, draw, 10)].sum() == pytest.approx(20, abs=1)
        assert labels[subset_places(data, subsets, draw, 1)].sum() in (1, 2, 3)


def test_draws_differ_and_repeat_with_the_seed(tmp_path):
    data = labelled(*cohort())
    first = draw_subsets(data, 3, 0)
    assert first.equals(draw_subsets(data, 3, 0))
    assert not first.equals(draw_subsets(data, 3, 1))
    chosen = [set(subset_places(data, first, draw, 10)) for draw in range(3)]
    assert len(chosen[0] & chosen[1]) < 30
    schemas.write_table(first, tmp_path / "subsets.parquet", schemas.SUBSETS)
    assert [len(draws_at(percent, 3)) for percent in PERCENTS] == [3, 3, 1]


def test_the_stratum_is_the_rarest_finding():
    """40 patients with finding 0 and 1, 40 with 1 alone, 120 without: any tenth holds 4, 4 and 12 of them."""
    labels = np.zeros((200, 2), int)
    labels[:40] = 1
    labels[40:80, 1] = 1
    order, opening = rank_patients(np.arange(200), labels, np.random.default_rng(0))
    assert opening == 2  # one with both findings, one with neither
    tenth = labels[order[:20]]
    assert abs(tenth[:, 0].sum() - 4) <= 1
    assert abs(tenth[:, 1].sum() - 8) <= 2
