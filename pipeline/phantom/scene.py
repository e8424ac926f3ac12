"""What a phantom shows: the patient, the acquisition and the findings with their place and severity.

Sampling lives here; drawing is in `render`, wording in `reports`. All randomness comes from the
generator that the caller passes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding of a phantom.

    Attributes:
        name: canonical pathology name (the lexicon's).
        anatomies: canonical anatomy names it occupies, side included; two for a bilateral one.
        severity: subtle | mild | moderate | severe.
        seed: seeds the finding's own shape and texture.
    """

    name: str
    anatomies: tuple[str, ...]
    severity: str
    seed: int


@dataclass(frozen=True)
class Case:
    """One frontal chest: who, how it was taken, and what it shows.

    Attributes:
        seed: seeds the anatomy and the noise.
        sex: F | M.
        age: years.
        view: PA | AP.
        findings: what is drawn, in drawing order; empty for a normal chest.
    """

    seed: int
    sex: str
    age: int
    view: str
    findings: tuple[Finding, ...]
