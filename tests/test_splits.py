from hashlib import sha256

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.splits import describe_rule, hash_split, keep_patients_apart

FRACTIONS = {"train": 0.5, "validate": 0.2, "test": 0.3}


def slow_split(patient: str, seed: int) -> str:
    u = int(sha256(f"{seed}:{patient}".encode()).hexdigest()[:16], 16) / 2**64
    return "train" if u < 0.5 else "validate" if u < 0.7 else "test"


@given(st.lists(st.text(max_size=8)), st.integers(0, 9))
def test_the_rule_is_the_documented_one(patients: list[str], seed: int) -> None:
    got = hash_split(pl.Series("p", patients, pl.String), seed, FRACTIONS)
    assert got.to_list() == [slow_split(patient, seed) for patient in patients]


def test_fractions_hold_on_many_patients() -> None:
    splits = hash_split(pl.Series([str(n) for n in range(20_000)]), 0, FRACTIONS)
    for name, fraction in FRACTIONS.items():
        assert abs((splits == name).mean() - fraction) < 0.02


def test_a_patient_of_two_splits_stays_in_the_later_one() -> None:
    images = pl.DataFrame(
        {
            "patient_id": ["a", "a", "b", "b", "c", "c", "d"],
            "split": ["train", "test", "train", "validate", "validate", "test", "train"],
        }
    )
    kept = keep_patients_apart(images)
    assert kept.rows() == [("a", "test"), ("b", "validate"), ("c", "test"), ("d", "train")]


def test_the_rule_in_words() -> None:
    assert describe_rule(3, FRACTIONS) == "by SHA-256 of '3:<patient>' (train 50%, validate 20%, test 30%)"
