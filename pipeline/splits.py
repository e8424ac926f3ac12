"""Who trains and who tests: splits are by patient, and derived ones follow a rule that anybody can repeat.

The rule needs no list: a patient's place is the SHA-256 of "<seed>:<patient>" read as a number between 0 and 1.
"""

from collections.abc import Mapping
from hashlib import sha256
from itertools import accumulate

import numpy as np
import polars as pl

SPLITS = ("train", "validate", "test")


def hash_split(patient_ids: pl.Series, seed: int, fractions: Mapping[str, float]) -> pl.Series:
    """Give every patient a split by a rule that depends on nothing but the patient and the seed.

    u = first 8 bytes of SHA-256("<seed>:<patient>") / 2^64; the split is the first whose cumulative fraction exceeds u.

    Args:
        patient_ids: patients, repeated at will.
        seed: of the rule.
        fractions: split -> fraction of the patients, in order; they sum to 1.

    Returns:
        The split of each entry, named "split".
    """
    assert abs(sum(fractions.values()) - 1) < 1e-9
    patients = patient_ids.unique()
    digests = b"".join(sha256(f"{seed}:{patient}".encode()).digest()[:8] for patient in patients)
    u = np.frombuffer(digests, ">u8") / 2.0**64
    bounds = np.array(list(accumulate(fractions.values()))[:-1])
    names = np.array(list(fractions))[np.searchsorted(bounds, u, side="right")]
    return patient_ids.replace_strict(patients, pl.Series(names), return_dtype=pl.String).alias("split")


def describe_rule(seed: int, fractions: Mapping[str, float]) -> str:
    """The rule of `hash_split` in words, for reports."""
    shares = ", ".join(f"{name} {fraction:.0%}" for name, fraction in fractions.items())
    return f"by SHA-256 of '{seed}:<patient>' ({shares})"


def keep_patients_apart(images: pl.DataFrame) -> pl.DataFrame:
    """Leave out the images that would put a patient into two splits.

    A patient of the test split stays there alone, one of the validation split leaves training.

    Args:
        images: with patient_id and split.

    Returns:
        The remaining rows, in order.
    """
    rank = pl.col("split").replace_strict(list(SPLITS), [0, 1, 2], return_dtype=pl.Int8)
    return images.filter(rank == rank.max().over("patient_id"))
