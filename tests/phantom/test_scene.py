"""Sampling: shares, contradictions, permissions and reproducibility."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phantom.cohort import sample_cohort
from pipeline.phantom.scene import FINDINGS, SEEN, UNSEEN, Case, deal_severities, sample_case
from pipeline.schemas import SEVERITIES


@pytest.fixture(scope="module")
def cohort() -> list[Case]:
    rng = np.random.default_rng(7)
    return deal_severities([sample_case(rng) for _ in range(1500)], rng)


def test_at_least_24_findings_and_14_of_nih() -> None:
    nih = {
        "atelectasis",
        "cardiomegaly",
        "consolidation",
        "edema",
        "pleural effusion",
        "emphysema",
        "fibrosis",
        "hernia",
    }
    nih |= {"infiltrate", "mass", "nodule", "pleural thickening", "pneumonia", "pneumothorax"}
    assert nih <= set(SEEN)
    assert sum(not kind.device for kind in FINDINGS.values()) >= 24


def test_a_third_or_more_are_normal(cohort: list[Case]) -> None:
    share = np.mean([not case.diseases for case in cohort])
    assert 0.33 < share < 0.42


def test_every_finding_occurs_and_a_quarter_is_subtle(cohort: list[Case]) -> None:
    found = [finding for case in cohort for finding in case.findings]
    all_of, subtle = Counter(f.name for f in found), Counter(f.name for f in found if f.severity == "subtle")
    assert set(all_of) == set(SEEN)
    assert min(subtle[name] / all_of[name] for name in all_of) >= 0.25


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 30])
def test_small_hands_are_a_quarter_subtle_too(count: int) -> None:
    rng = np.random.default_rng(count)
    cases = [sample_case(rng, required=("pneumothorax",)) for _ in range(count)]
    dealt = deal_severities(cases, rng)
    hands = [f.severity for case in dealt for f in case.findings if f.name == "pneumothorax"]
    assert len(hands) == count
    assert hands.count("subtle") >= 0.25 * count
    assert [[f.name for f in case.findings] for case in dealt] == [[f.name for f in case.findings] for case in cases]


def test_the_unseen_disease_needs_permission(cohort: list[Case]) -> None:
    assert all(f.name != UNSEEN for case in cohort for f in case.findings)
    with pytest.raises(ValueError, match="not allowed"):
        sample_case(np.random.default_rng(0), required=(UNSEEN,))
    case = sample_case(np.random.default_rng(0), allowed=(*SEEN, UNSEEN), required=(UNSEEN,))
    assert UNSEEN in {f.name for f in case.findings}


def test_no_contradictions(cohort: list[Case]) -> None:
    for case in cohort:
        names = [f.name for f in case.findings]
        assert len(names) == len(set(names))
        assert not any(FINDINGS[name].excludes & set(names) for name in names)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), required=st.sampled_from(SEEN), barred=st.sampled_from(SEEN))
def test_permissions_hold_whatever_the_seed(seed: int, required: str, barred: str) -> None:
    allowed = [name for name in SEEN if name != barred or name == required]
    case = sample_case(np.random.default_rng(seed), allowed=allowed, required=(required,))
    names = [f.name for f in case.findings]
    assert required in names
    assert set(names) <= set(allowed)
    assert names == sorted(names, key=list(FINDINGS).index)
    assert case == sample_case(np.random.default_rng(seed), allowed=allowed, required=(required,))
    for finding in case.findings:
        assert finding.severity in SEVERITIES
        assert any(
            (place.anatomies, place.side) == (finding.anatomies, finding.side)
            for place in FINDINGS[finding.name].places
        )


@pytest.mark.parametrize("normal", [0.0, 1.0])
def test_normal_share_is_obeyed(normal: float) -> None:
    rng = np.random.default_rng(3)
    cases = [sample_case(rng, normal=normal) for _ in range(60)]
    assert all((not case.diseases) == bool(normal) for case in cases)


def test_a_follow_up_shows_the_same_body() -> None:
    rng = np.random.default_rng(5)
    first = sample_case(rng)
    second = sample_case(rng, like=first)
    assert (second.seed, second.sex, second.age, second.habitus) == (first.seed, first.sex, first.age, first.habitus)
    assert second.acquisition != first.acquisition


def test_lasting_findings_stay_as_they_are() -> None:
    visits = sample_cohort(np.random.default_rng(5), 1500)
    kept = Counter[str]()
    for first, second in pairwise(visits):
        if first.patient == second.patient:
            assert set(first.case.lasting) <= set(second.case.findings)
            kept.update(finding.name for finding in first.case.lasting)
    assert set(kept) == {name for name, kind in FINDINGS.items() if kind.lasting}


def test_a_required_finding_goes_before_a_lasting_one() -> None:
    rng = np.random.default_rng(6)
    first = sample_case(rng, required=("emphysema",))
    second = sample_case(rng, required=("low lung volumes",), like=first)
    names = {finding.name for finding in second.findings}
    assert "low lung volumes" in names
    assert "emphysema" not in names


def test_a_chest_tube_drains_air_before_fluid() -> None:
    rng = np.random.default_rng(8)
    cases = [sample_case(rng, required=("pneumothorax",)) for _ in range(1500)]
    drawn = [{finding.name: finding.side for finding in case.findings} for case in cases]
    both = [sides for sides in drawn if {"chest tube", "pneumothorax", "pleural effusion"} <= sides.keys()]
    assert any(sides["pneumothorax"] != sides["pleural effusion"] for sides in both)
    assert all(sides["chest tube"] == sides["pneumothorax"] for sides in both)


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ValueError, match="pnuemonia"):
        sample_case(np.random.default_rng(0), required=("pnuemonia",))
