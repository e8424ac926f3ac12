"""Where the organs of one case lie: body coordinates derived from habitus, acquisition and findings.

Numbers only; `anatomy` draws them. Sides are the patient's: "left" lies at positive x, on the image's right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.phantom.board import Points, curve
from pipeline.phantom.scene import Case, Finding

SIGN = {"left": 1.0, "right": -1.0}
BODY_CM = 44  # centimetres of one body unit
STRENGTH = {"subtle": 0.16, "mild": 0.42, "moderate": 0.7, "severe": 1.0}

_WALL_Y = np.array([-0.2, 0.075, 0.12, 0.18, 0.27, 0.38, 0.52, 0.66, 0.80, 1.0, 1.2])
_WALL_X = np.array([0.10, 0.150, 0.205, 0.255, 0.305, 0.343, 0.370, 0.384, 0.386, 0.375, 0.36])
_HEART = np.array([
    (-0.5, -1.1), (-0.2, -1.2), (0.12, -1.15), (0.42, -0.85), (0.72, -0.38), (0.93, 0.1), (1.0, 0.48), (0.93, 0.8),
    (0.45, 1.05), (-0.35, 1.05), (-0.7, 0.85), (-0.83, 0.4), (-0.78, -0.1), (-0.62, -0.6),
])  # fmt: skip


@dataclass(frozen=True)
class Landmarks:
    """Positions in body coordinates.

    Attributes:
        midline: x of the mediastinum, off the spine when the patient is rotated.
        dome, sulcus: y of each diaphragm's dome and of its costophrenic angle.
        plain_dome: y of the domes had no diaphragm been raised.
        width: factor on the breadth of the thorax.
        hilum: (x, y) of each.
        carina: y of the tracheal bifurcation.
        heart: outline, closed.
        heart_centre: (x, y).
        knob: radius of the aortic knob.
        mediastinum: half the width of the upper mediastinum.
        plain_mediastinum: the same, had it not been widened.
        bend: sideways amplitude of the spine.
        pneumothorax: what makes a lung draw back from the wall, if anything.
    """

    midline: float
    dome: dict[str, float]
    plain_dome: dict[str, float]
    sulcus: dict[str, float]
    width: float
    hilum: dict[str, tuple[float, float]]
    carina: float
    heart: Points
    heart_centre: tuple[float, float]
    knob: float
    mediastinum: float
    plain_mediastinum: float
    bend: float
    pneumothorax: Finding | None

    def wall(self, y: float) -> float:
        """Half the inner breadth of the thorax at height y."""
        return float(np.interp(y, _WALL_Y, _WALL_X)) * self.width

    def walls(self, heights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same at many heights, [N]."""
        breadths: NDArray[np.float64] = np.interp(heights, _WALL_Y, _WALL_X) * self.width
        return breadths

    def lung(self, side: str, dome: float | None = None) -> Points:
        """Outline of a lung in a frontal view; `dome` overrides the height of its diaphragm."""
        sulcus = self.sulcus[side]
        heights = np.linspace(0.125, sulcus - 0.02, 7)
        edge = zip(self.walls(heights) - 0.006, heights, strict=True)
        apex = 0.11 * self.width
        knots = [(0.06, 0.15), (0.078, 0.10), (apex, 0.078), (apex + 0.055, 0.09), *edge]
        upper = [(SIGN[side] * x, y) for x, y in knots]
        medial = [(SIGN[side] * x, y) for x, y in ((0.03, 0.6), (0.035, 0.4), (0.047, 0.27))]
        return curve([*upper, *self.diaphragm(side, dome), *medial], closed=True)

    def diaphragm(self, side: str, dome: float | None = None) -> list[tuple[float, float]]:
        """Knots of a diaphragm's contour, from the costophrenic angle (a corner) to the heart."""
        raised, sulcus = self.dome[side] if dome is None else dome, self.sulcus[side]
        tip = (SIGN[side] * (self.wall(sulcus) - 0.008), sulcus)
        belly = [(0.30, 0.36), (0.235, 0.08), (0.165, 0.0), (0.10, 0.10), (0.045, 0.38)]
        return [tip, tip, *((SIGN[side] * x * self.width, raised + (sulcus - raised) * drop) for x, drop in belly)]

    def inside(self, side: str, across: float, down: float) -> tuple[float, float]:
        """A point of a lung: `across` 0 at the midline, 1 at the wall; `down` 0 at the apex, 1 at the dome.

        It moves with a lung that has drawn back.
        """
        y = 0.08 + down * (self.dome[side] - 0.08)
        x = SIGN[side] * across * self.wall(y)
        if not self.airy(side):
            return x, y
        hilum = np.array(self.hilum[side])
        away, outline = (x, y) - hilum, self.lung(side) - hilum
        ray = np.argmax(outline @ away / np.hypot(*outline.T))  # where the outline lies in the point's direction
        moved = hilum + away * (1 - self._retreat(outline[ray : ray + 1], side)[0])
        return float(moved[0]), float(moved[1])

    def airy(self, side: str) -> bool:
        """Whether a pneumothorax lies on this side."""
        return self.pneumothorax is not None and self.pneumothorax.side == side

    def visceral(self, side: str) -> Points:
        """Outline of what a pneumothorax has left of a lung."""
        hilum = np.array(self.hilum[side])
        outline = self.lung(side) - hilum
        kept: Points = hilum + outline * (1 - self._retreat(outline, side)[:, None])
        return kept

    def _retreat(self, outline: Points, side: str) -> NDArray[np.float64]:
        """How far points of a lung's outline, given from its hilum, draw back toward it, 0..1."""
        if self.pneumothorax is None or not self.airy(side):
            return np.zeros(len(outline))
        s = strength(self.pneumothorax)
        height = np.clip(-outline[:, 1] / 0.3, -1.4, 1)  # 1 at the apex, 0 at the hilum
        if "apex" in self.pneumothorax.anatomies[0]:
            drawn: NDArray[np.float64] = (0.06 + 0.4 * s) * np.clip(height * 1.25 - 0.15, 0, 1) ** 0.7
            return drawn
        lateral = np.clip(SIGN[side] * outline[:, 0] / 0.25, 0, 1)
        sunk: NDArray[np.float64] = (0.045 + 0.42 * s) * np.clip(lateral**0.8 * (0.75 + 0.25 * height), 0, 1)
        return sunk + 0.2 * s * np.clip(height, 0, 1)


def strength(finding: Finding) -> float:
    """How much of a finding is drawn, about 0.15 (subtle) to 1 (severe), with some spread between instances."""
    spread = np.random.default_rng((finding.seed, 1)).uniform(0.85, 1.15)
    return float(STRENGTH[finding.severity] * spread)


def tube_height(finding: Finding) -> float:
    """How far an endotracheal tube ends above the carina; 0.04 to 0.09."""
    return float(np.random.default_rng((finding.seed, 3)).uniform(0.04, 0.09))


def vein_of(finding: Finding) -> str:
    """How a central venous catheter enters: jugular | subclavian."""
    return "jugular" if np.random.default_rng((finding.seed, 3)).random() < 0.65 else "subclavian"


def place_landmarks(case: Case) -> Landmarks:
    """Lay out the organs of a case."""
    power = {finding.name: strength(finding) for finding in case.findings}
    own = np.random.default_rng((case.seed, 9)).normal(0, 1, 6)  # what tells this chest from another
    flat = max(power.get("hyperinflation", 0.0), 0.8 * power.get("emphysema", 0.0))
    low, big = power.get("low lung volumes", 0.0), power.get("cardiomegaly", 0.0)
    base = 0.675 + 0.04 * case.acquisition.inspiration - 0.19 * low + 0.06 * flat
    plain = {"right": base - 0.014 + 0.006 * own[0], "left": base + 0.014 + 0.008 * own[1]}
    raised = {f.side: 0.03 + 0.1 * strength(f) for f in case.findings if f.name == "diaphragm elevation"}
    midline = 0.014 * case.acquisition.rotation
    heart_centre = (midline + 0.045 + 0.022 * big, base - 0.11 + 0.02 * big)
    hilum = 0.395 - 0.05 * low
    return Landmarks(
        midline=midline,
        dome={side: y - raised.get(side, 0.0) for side, y in plain.items()},
        plain_dome=plain,
        sulcus={
            side: min(y + 0.135 - 0.075 * flat - 0.02 * low - 0.3 * raised.get(side, 0.0), 0.9)
            for side, y in plain.items()
        },
        width=1 + 0.05 * case.habitus.width,
        hilum={
            "right": (midline - 0.088 + 0.004 * own[2], hilum + 0.01),
            "left": (midline + 0.083 + 0.004 * own[3], hilum - 0.01),
        },
        carina=0.285 - 0.02 * low + 0.006 * own[4],
        heart=heart_centre + _heart(case, big, low, flat),
        heart_centre=heart_centre,
        knob=0.036 + 0.0004 * (case.age - 50) + 0.003 * own[5] + 0.022 * power.get("aortic tortuosity", 0.0),
        plain_mediastinum=_mediastinum(case),
        mediastinum=_mediastinum(case) + 0.06 * power.get("mediastinal widening", 0.0),
        pneumothorax=next((finding for finding in case.findings if finding.name == "pneumothorax"), None),
        bend=0.014 * case.acquisition.rotation + (0.02 + 0.075 * power["scoliosis"] if "scoliosis" in power else 0.0),
    )


def _heart(case: Case, big: float, low: float, flat: float) -> Points:
    """The heart about its centre: magnified on an AP film, broad over high diaphragms, narrow over low ones."""
    size = (1 + 0.07 * case.habitus.heart) * (1.1 if case.view == "AP" else 1.0) * (1 + 0.45 * big)
    radii = np.array([0.162 * size * (1 + 0.08 * low - 0.13 * flat), 0.165 * size**0.6 * (1 - 0.1 * low)])
    own = 1 + 0.025 * np.random.default_rng((case.seed, 8)).normal(0, 1, (len(_HEART), 1))
    return curve(_HEART * radii * own, closed=True)


def _mediastinum(case: Case) -> float:
    """Half the normal width of the upper mediastinum."""
    return 0.055 + 0.005 * case.habitus.fat + 0.006 * (case.view == "AP")
