"""Draws patients with one or several studies, so that every finding a dataset is about occurs often enough.

Which folder a study lands in, and what is written about it, belongs to `layouts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.phantom.scene import NORMAL_SHARE, SEEN, Case, deal_severities, sample_case

# The findings of ChestX-ray14, by canonical name.
COMMON_FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "pleural effusion",
    "infiltrate",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural thickening",
    "hernia",
)


@dataclass(frozen=True)
class Visit:
    """One study of a patient: patients are numbered from 0, and so are the studies of each."""

    patient: int
    number: int
    case: Case


def sample_cohort(
    rng: np.random.Generator,
    count: int,
    *,
    wanted: Sequence[str] = COMMON_FINDINGS,
    share: float = 0.4,
    allowed: Sequence[str] = SEEN,
    normal: float = NORMAL_SHARE,
    returning: float = 0.4,
) -> list[Visit]:
    """Draw `count` studies in the order of the patients.

    Args:
        rng: the only source of randomness.
        count: number of studies.
        wanted: findings that a `share` of the studies show in turn, on top of what chance brings.
        share: of the studies that must show a wanted finding.
        allowed: findings that may occur.
        normal: probability of a study without disease among the other studies.
        returning: probability that the same patient comes again, unless a lasting disease forbids a normal study.
    """
    visits: list[Visit] = []
    turn = 0
    for _ in range(count):
        required: tuple[str, ...] = ()
        if rng.random() < share:
            required, turn = (wanted[turn % len(wanted)],), turn + 1
        healthy = not required and rng.random() < normal
        last = visits[-1] if visits and rng.random() < returning else None
        if last and healthy and set(last.case.lasting) & set(last.case.diseases):
            last = None  # this patient will not be healthy again: another one comes
        case = sample_case(rng, allowed, required, float(healthy), like=last.case if last else None)
        patient = visits[-1].patient + (last is None) if visits else 0
        visits.append(Visit(patient, last.number + 1 if last else 0, case))
    dealt = deal_severities([visit.case for visit in visits], rng)
    return [Visit(visit.patient, visit.number, case) for visit, case in zip(visits, dealt, strict=True)]
