"""What a phantom shows: the patient, the acquisition and the findings with their place and severity.

Sampling lives here; drawing is in `render`, wording in `reports`. All randomness comes from the
generator that the caller passes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.schemas import SEVERITIES

SEVERITY_ODDS = (0.28, 0.26, 0.28, 0.18)  # at least a quarter of every finding is subtle
NORMAL_SHARE = 0.38
UNSEEN = "covid-19"


@dataclass(frozen=True)
class Place:
    """Where a finding may sit.

    Attributes:
        anatomies: canonical anatomy names; two for a bilateral finding.
        side: left | right | both, or "" for the midline; a venous line has the side it enters from.
        weight: how often, relative to the finding's other places.
    """

    anatomies: tuple[str, ...]
    side: str
    weight: float


@dataclass(frozen=True)
class FindingKind:
    """How one drawable finding occurs.

    Attributes:
        places: where it may sit.
        prevalence: probability in an abnormal study (a device: in any study), before companions.
        companions: probability of another finding, given this one.
        excludes: findings that contradict it.
        device: a tube, wire or implant rather than a disease.
        lasting: whether it stays as it is over a patient's studies.
    """

    places: tuple[Place, ...]
    prevalence: float
    companions: Mapping[str, float]
    excludes: frozenset[str]
    device: bool
    lasting: bool


@dataclass(frozen=True)
class Finding:
    """One finding of a phantom.

    Attributes:
        name: canonical pathology name (the lexicon's).
        anatomies: canonical anatomy names it occupies, side included; two for a bilateral one.
        severity: subtle | mild | moderate | severe.
        seed: seeds the finding's own shape and texture.
        side: left | right | both, or "" for the midline.
    """

    name: str
    anatomies: tuple[str, ...]
    severity: str
    seed: int
    side: str = ""


@dataclass(frozen=True)
class Habitus:
    """The patient's build; every value is 0 in the average adult and rarely beyond -1 or 1.

    Attributes:
        width: breadth of the thorax for its height.
        fat: thickness of the soft tissue.
        breast: size of the breast shadows, 0 (none) to 1.
        heart: size of the heart within the normal range.
        slope: steepness of the ribs and clavicles.
    """

    width: float
    fat: float
    breast: float
    heart: float
    slope: float


@dataclass(frozen=True)
class Acquisition:
    """How the film was taken; values are 0 for the textbook film unless stated.

    Attributes:
        seed: seeds noise and collimation.
        inspiration: -1 (poor) to 1 (deep).
        rotation: of the patient about the long axis, -1 to 1; positive turns the midline to the image's right.
        tilt: of the image, degrees.
        zoom: magnification, about 1.
        shift: of the patient from the centre, fractions of the image (x, y).
        exposure: -1 (dark film) to 1 (bright film).
        contrast: gain of the tone curve, about 1.
        noise: standard deviation of the quantum noise relative to full scale.
        scatter: share of scattered radiation, 0 to 1.
        marker: burned-in side marker, "R", "L" or "" for none.
        leads: number of ECG electrodes in the field.
    """

    seed: int
    inspiration: float
    rotation: float
    tilt: float
    zoom: float
    shift: tuple[float, float]
    exposure: float
    contrast: float
    noise: float
    scatter: float
    marker: str
    leads: int


@dataclass(frozen=True)
class Case:
    """One frontal chest: who, how it was taken, and what it shows.

    Attributes:
        seed: seeds the anatomy.
        sex: F | M.
        age: years.
        view: PA | AP.
        findings: what is drawn, in drawing order; empty for a normal chest. A finding occurs at most once.
        habitus: the patient's build.
        acquisition: how the film was taken.
    """

    seed: int
    sex: str
    age: int
    view: str
    findings: tuple[Finding, ...]
    habitus: Habitus
    acquisition: Acquisition

    @property
    def diseases(self) -> tuple[Finding, ...]:
        """The findings that are no devices; a study is normal when there is none."""
        return tuple(finding for finding in self.findings if not FINDINGS[finding.name].device)

    @property
    def lasting(self) -> tuple[Finding, ...]:
        """The findings that later studies of the patient show too."""
        return tuple(finding for finding in self.findings if FINDINGS[finding.name].lasting)


def _pair(anatomy: str, both: float = 0.0, right: float = 0.5, weight: float = 1.0) -> tuple[Place, ...]:
    """Places on the left, on the right and, with probability `both`, on the two sides; "{}" takes the side."""
    left_name, right_name = anatomy.format("left"), anatomy.format("right")
    places = (
        Place((right_name,), "right", weight * (1 - both) * right),
        Place((left_name,), "left", weight * (1 - both) * (1 - right)),
        Place((left_name, right_name), "both", weight * both),
    )
    return tuple(place for place in places if place.weight > 0)


def _midline(anatomy: str, side: str = "", weight: float = 1.0) -> tuple[Place, ...]:
    return (Place((anatomy,), side, weight),)


def _kind(
    places: tuple[Place, ...],
    prevalence: float,
    device: bool = False,
    lasting: bool = False,
    without: Sequence[str] = (),
    **companions: float,
) -> FindingKind:
    """A kind of finding; companions are keywords with "_" for the blanks of the finding's name."""
    named = {name.replace("_", " "): chance for name, chance in companions.items()}
    return FindingKind(places, prevalence, named, frozenset(without), device, lasting)


_ZONES = _pair("{} upper lung") + _pair("{} mid lung") + _pair("{} lower lung", weight=1.2)
_LOBES = (
    Place(("right upper lobe",), "right", 1.0),
    Place(("right middle lobe",), "right", 1.0),
    Place(("right lower lobe",), "right", 1.3),
    Place(("left upper lobe",), "left", 1.0),
    Place(("lingula",), "left", 0.6),
    Place(("left lower lobe",), "left", 1.4),
)
_VEIN = _midline("superior vena cava", "right", 0.65) + _midline("superior vena cava", "left", 0.35)

# Companions are listed with the finding that brings them; the order is the drawing order.
FINDINGS: Mapping[str, FindingKind] = {
    # change the anatomy that everything else is drawn upon
    "scoliosis": _kind(_midline("spine"), 0.045, lasting=True),
    "low lung volumes": _kind(
        _midline("lung", "both"), 0.055, without=("hyperinflation", "emphysema"), atelectasis=0.3
    ),
    "hyperinflation": _kind(_midline("lung", "both"), 0.035, lasting=True),
    "diaphragm elevation": _kind(_pair("{} diaphragm", right=0.6), 0.04, lasting=True, atelectasis=0.25),
    "cardiomegaly": _kind(_midline("heart"), 0.13, pleural_effusion=0.15, edema=0.15),
    "aortic tortuosity": _kind(_midline("aorta"), 0.045, lasting=True),
    "mediastinal widening": _kind(_midline("mediastinum"), 0.035),
    "hilar enlargement": _kind(_pair("{} hilum", both=0.35), 0.04),
    "hernia": _kind(_midline("stomach", weight=0.6) + _midline("retrocardiac", weight=0.4), 0.085, lasting=True),
    # leaves less lung for what follows
    "pneumothorax": _kind(
        _pair("{} pleura", right=0.55, weight=0.6) + _pair("{} lung apex", right=0.55, weight=0.4),
        0.11,
        chest_tube=0.3,
        subcutaneous_emphysema=0.08,
    ),
    # in the lungs
    "emphysema": _kind(
        _midline("lung", "both", 2.0) + _pair("{} upper lung", both=1.0),
        0.10,
        lasting=True,
        hyperinflation=0.25,
        bulla=0.12,
    ),
    "edema": _kind(
        _midline("lung", "both", 0.6) + _pair("{} perihilar", both=1.0, weight=0.4),
        0.09,
        cardiomegaly=0.45,
        pleural_effusion=0.4,
    ),
    "fibrosis": _kind(_pair("{} lung base", both=0.75) + _midline("lung", "both", 0.4), 0.10, lasting=True),
    "ground-glass opacity": _kind(_ZONES + _pair("{} lower lung", both=1.0, weight=0.7), 0.04),
    "infiltrate": _kind(_ZONES + _pair("{} lower lung", both=1.0, weight=0.8), 0.11),
    "pneumonia": _kind(
        _pair("{} lung base", both=0.15, weight=2.0)
        + _pair("{} lower lung", weight=1.0)
        + _pair("{} mid lung", weight=1.0)
        + _LOBES,
        0.11,
        pleural_effusion=0.15,
    ),
    "consolidation": _kind(_LOBES, 0.10, pleural_effusion=0.15),
    "atelectasis": _kind(
        _pair("{} lung base", both=0.25, weight=3.0)
        + _pair("{} mid lung", weight=0.8)
        + _pair("{} lower lobe", weight=1.0)
        + _midline("right upper lobe", "right", 0.4),
        0.11,
    ),
    "nodule": _kind(_ZONES, 0.10, without=("mass",)),
    "mass": _kind(_ZONES + _LOBES, 0.10, hilar_enlargement=0.1),
    "granuloma": _kind(_ZONES, 0.04, lasting=True),
    "cavity": _kind(_pair("{} upper lung", right=0.6, weight=2.0) + _pair("{} lower lung", weight=0.6), 0.03),
    "bulla": _kind(_pair("{} lung apex", both=0.15) + _pair("{} upper lung", weight=0.5), 0.03, lasting=True),
    UNSEEN: _kind(_pair("{} lower lung", both=1.0, weight=0.75) + _midline("lung", "both", 0.25), 0.0),
    # pleura, wall and abdomen
    "pleural effusion": _kind(
        _pair("{} pleura", both=0.3, right=0.55) + _pair("{} costophrenic angle", both=0.1, weight=0.3),
        0.11,
        atelectasis=0.2,
    ),
    "pleural thickening": _kind(_pair("{} lung apex", both=0.4) + _pair("{} pleura", both=0.1), 0.10, lasting=True),
    "fracture": _kind(_pair("{} rib") + _pair("{} clavicle", weight=0.25), 0.045, lasting=True, pneumothorax=0.08),
    "subcutaneous emphysema": _kind(_pair("{} chest wall", both=0.25), 0.025, pneumothorax=0.25),
    "pneumoperitoneum": _kind(_midline("abdomen"), 0.03),
    # devices
    "sternotomy wire": _kind(_midline("sternum"), 0.05, device=True, lasting=True, surgical_clip=0.3),
    "surgical clip": _kind(
        _midline("mediastinum") + _pair("{} chest wall") + _midline("abdomen", "right", 0.6),
        0.03,
        device=True,
        lasting=True,
    ),
    "pacemaker": _kind(
        _midline("heart", "left", 0.85) + _midline("heart", "right", 0.15), 0.045, device=True, lasting=True
    ),
    "endotracheal tube": _kind(_midline("trachea"), 0.05, device=True, enteric_tube=0.7, central_venous_catheter=0.4),
    "enteric tube": _kind(_midline("stomach"), 0.035, device=True),
    "central venous catheter": _kind(_VEIN, 0.045, device=True),
    "picc": _kind(_VEIN, 0.04, device=True),
    "chest tube": _kind(_pair("{} pleura"), 0.015, device=True, pneumothorax=0.3),
}

SEEN = tuple(name for name in FINDINGS if name != UNSEEN)
_BEDSIDE = ("endotracheal tube", "enteric tube", "central venous catheter", "picc", "chest tube")


def sample_case(
    rng: np.random.Generator,
    allowed: Sequence[str] = SEEN,
    required: Sequence[str] = (),
    normal: float = NORMAL_SHARE,
    like: Case | None = None,
) -> Case:
    """Draw a patient, a film and its findings.

    Args:
        rng: the only source of randomness.
        allowed: findings that may occur; the unseen disease only does when it is named here and required.
        required: at least one of these occurs, and the study is not normal; a subset of `allowed`.
        normal: probability of a study without disease (devices may occur) when nothing is required.
        like: an earlier study of the same patient, whose body and lasting findings are taken over; only what is
            required goes before a lasting finding that contradicts it.

    Raises:
        ValueError: a name is no finding, or a required one is not allowed.
    """
    _check_names(allowed, required)
    lasting = {finding.name: finding for finding in like.lasting} if like else {}
    healthy = not required and rng.random() < normal
    names = _sample_names(rng, allowed, required, healthy, tuple(lasting))
    findings = _place_all(rng, names, lasting)
    bedside = any(name in names for name in _BEDSIDE)
    view = "AP" if rng.random() < (0.9 if bedside else 0.3) else "PA"
    acquisition = _sample_acquisition(rng, view, bedside)
    if like is not None:
        return replace(like, view=view, findings=findings, acquisition=acquisition)
    sex = "F" if rng.random() < 0.47 else "M"
    age = int(np.clip(rng.normal(57, 17), 18, 94))
    return Case(int(rng.integers(2**31)), sex, age, view, findings, _sample_habitus(rng, sex), acquisition)


def _check_names(allowed: Sequence[str], required: Sequence[str]) -> None:
    unknown = [name for name in (*allowed, *required) if name not in FINDINGS]
    if unknown:
        raise ValueError(f"no drawable finding is called {unknown[0]!r}: choose among {', '.join(FINDINGS)}.")
    barred = [name for name in required if name not in allowed]
    if barred:
        raise ValueError(f"{barred[0]!r} is required but not allowed: add it to `allowed`.")


def _sample_names(
    rng: np.random.Generator, allowed: Sequence[str], required: Sequence[str], healthy: bool, lasting: Sequence[str]
) -> tuple[str, ...]:
    """Names of the findings in drawing order: seeds, then companions, then without contradictions.

    A healthy patient has no disease but a lasting one.
    """
    chosen: list[str] = [*([_one_of(rng, required)] if required else []), *lasting]
    for name, kind in FINDINGS.items():
        if rng.random() < kind.prevalence and (kind.device or not healthy):
            chosen.append(name)
    if not healthy and not any(not FINDINGS[name].device for name in chosen if name in allowed):
        chosen.append(_one_of(rng, [name for name in allowed if not FINDINGS[name].device]))
    for name in tuple(chosen):
        chosen += [other for other, chance in FINDINGS[name].companions.items() if rng.random() < chance]
    kept: list[str] = []
    for name in chosen:
        barred = healthy and not FINDINGS[name].device and name not in lasting
        if name in allowed and name not in kept and not barred and not _contradicts(name, kept):
            kept.append(name)
    return tuple(name for name in FINDINGS if name in kept)


def _one_of(rng: np.random.Generator, names: Sequence[str]) -> str:
    odds = np.array([max(FINDINGS[name].prevalence, 1e-3) for name in names])
    return names[int(rng.choice(len(names), p=odds / odds.sum()))]


def _contradicts(name: str, others: Sequence[str]) -> bool:
    return any(name in FINDINGS[other].excludes or other in FINDINGS[name].excludes for other in others)


def _place_all(rng: np.random.Generator, names: Sequence[str], lasting: Mapping[str, Finding]) -> tuple[Finding, ...]:
    """Give each finding that does not last its place, severity and seed; a chest tube follows what it drains."""
    findings: list[Finding] = []
    for name in names:
        if name in lasting:
            findings.append(lasting[name])
            continue
        severity = str(rng.choice(SEVERITIES, p=SEVERITY_ODDS))
        place = _sample_place(rng, name, findings)
        findings.append(Finding(name, place.anatomies, severity, int(rng.integers(2**31)), place.side))
    return tuple(findings)


def _sample_place(rng: np.random.Generator, name: str, earlier: Sequence[Finding]) -> Place:
    places = FINDINGS[name].places
    sides = {finding.name: finding.side for finding in earlier if finding.side != "both"}
    drained = sides.get("pneumothorax", sides.get("pleural effusion"))  # air goes before fluid
    if name in ("chest tube", "subcutaneous emphysema") and drained:
        places = tuple(place for place in places if place.side == drained)
    weights = np.array([place.weight for place in places])
    return places[int(rng.choice(len(places), p=weights / weights.sum()))]


def _sample_habitus(rng: np.random.Generator, sex: str) -> Habitus:
    width, fat, heart, slope = np.clip(rng.normal(0, 0.45, 4), -1.2, 1.2)
    breast = float(np.clip(rng.normal(0.5, 0.2), 0.15, 1)) if sex == "F" else 0.0
    return Habitus(float(width), float(fat), breast, float(heart), float(slope))


def _sample_acquisition(rng: np.random.Generator, view: str, bedside: bool) -> Acquisition:
    """A bedside (AP) film is noisier, more scattered, more rotated and less deeply inspired."""
    portable = 1.0 if view == "AP" else 0.0
    return Acquisition(
        seed=int(rng.integers(2**31)),
        inspiration=float(np.clip(rng.normal(0.15 - 0.45 * portable, 0.3), -1, 1)),
        rotation=float(np.clip(rng.normal(0, 0.25 + 0.2 * portable), -1, 1)),
        tilt=float(rng.normal(0, 1.0 + 1.5 * portable)),
        zoom=float(rng.normal(1.0 + 0.03 * portable, 0.035)),
        shift=(float(rng.normal(0, 0.012)), float(rng.normal(0, 0.015))),
        exposure=float(np.clip(rng.normal(0.1 * portable, 0.35), -1, 1)),
        contrast=float(np.clip(rng.normal(1.0 - 0.06 * portable, 0.09), 0.75, 1.3)),
        noise=float(rng.uniform(0.006, 0.015) * (1 + 0.4 * portable)),
        scatter=float(np.clip(rng.normal(0.22 + 0.12 * portable, 0.06), 0.05, 0.5)),
        marker=str(rng.choice(("R", "L", ""), p=(0.45, 0.4, 0.15))),
        leads=int(rng.integers(2, 5)) if bedside and rng.random() < 0.7 else 0,
    )


def deal_severities(cases: Sequence[Case], rng: np.random.Generator) -> list[Case]:
    """Deal each finding's severities over a cohort in fixed shares, so that small cohorts too are a quarter subtle.

    A lasting finding has one severity in all studies of its patient.

    Returns:
        The cases in their order; only the severities differ.
    """
    found = [(finding.name, case.seed, finding.seed) for case in cases for finding in case.findings]
    dealt = {}
    for name in FINDINGS:
        films = Counter(key for key in found if key[0] == name)  # how many films show the same finding
        ends = np.ceil(np.cumsum(SEVERITY_ODDS) * films.total() - 1e-9)
        keys, passed = list(films), 0
        for index in rng.permutation(len(keys)):
            dealt[keys[index]] = SEVERITIES[int(np.searchsorted(ends, passed, side="right"))]
            passed += films[keys[index]]
    return [
        replace(
            case,
            findings=tuple(
                replace(finding, severity=dealt[finding.name, case.seed, finding.seed]) for finding in case.findings
            ),
        )
        for case in cases
    ]
