"""Diseases of the lungs and pleura, drawn upon a chest; every function returns the region it drew in.

`s` is the finding's strength, about 0.15 (subtle) to 1 (severe). Opacities are given as the share of the lung's depth
that they fill, so the same lesion is fainter where the lung is thin. Findings that move organs are in `organs`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.phantom.anatomy import LUNG, SOFT, Chest
from pipeline.phantom.board import Field, Line, blur, curve, smooth
from pipeline.phantom.landmarks import SIGN
from pipeline.phantom.scene import Finding

Mask = NDArray[np.bool_]  # [S, S]
Painter = Callable[[Chest, Finding, float, np.random.Generator], Mask]

_HEIGHTS = {
    "apex": (0.04, 0.12),
    "upper": (0.16, 0.36),
    "mid": (0.42, 0.62),
    "lower": (0.68, 0.88),
    "base": (0.84, 0.97),
}
_LOBES = {
    "right upper lobe": (0.02, 0.56, 0.0, 1.1),
    "right middle lobe": (0.56, 1.02, 0.0, 0.72),
    "right lower lobe": (0.58, 1.4, 0.25, 1.1),
    "left upper lobe": (0.02, 0.58, 0.0, 1.1),
    "lingula": (0.55, 1.05, 0.15, 0.8),
    "left lower lobe": (0.6, 1.4, 0.1, 1.1),
}  # top and bottom (0 apex, 1 dome), inner and outer border (0 spine, 1 wall)


def sides(finding: Finding) -> tuple[str, ...]:
    """The sides a finding lies on."""
    return ("left", "right") if finding.side in ("both", "") else (finding.side,)


def _spot(chest: Chest, anatomy: str, side: str, rng: np.random.Generator) -> tuple[float, float]:
    """A point of a lung within a named zone or lobe."""
    if anatomy in _LOBES:
        top, bottom, inner, outer = _LOBES[anatomy]
        low, high = top + 0.25 * (bottom - top), min(0.92, bottom - 0.25 * (bottom - top))
        across = rng.uniform(max(0.42, inner + 0.15), min(0.78, outer - 0.12))
        return chest.marks.inside(side, across, rng.uniform(low, high))
    heights = next((span for name, span in _HEIGHTS.items() if name in anatomy), (0.2, 0.85))
    return chest.marks.inside(side, rng.uniform(0.42, 0.8), rng.uniform(*heights))


def _down(chest: Chest, side: str) -> Field:
    """Height within a lung: 0 at the apex, 1 at the dome."""
    return (chest.board.y - np.float32(0.08)) / np.float32(chest.marks.dome[side] - 0.08)


def _lobe(chest: Chest, anatomy: str, side: str, rng: np.random.Generator) -> Field:
    """A lobe's region, 0..1: sharp at the fissures, fading where lobes overlap."""
    top, bottom, inner, outer = _LOBES[anatomy]
    down = _down(chest, side) + np.float32(0.012) * chest.board.texture(rng, 0.2)
    above = 0.11 if "lower" in anatomy else 0.013  # half the width of the upper border
    below = 0.1 if "left upper" in anatomy else 0.015
    height = smooth(down, top - above, top + above) * smooth(down, bottom + below, bottom - below)
    breadth = smooth(chest.across, inner - 0.08, inner + 0.08) * smooth(chest.across, outer + 0.1, outer - 0.1)
    return height * breadth * chest.lungs[side]


def _opacify(chest: Chest, shape: Field, share: float) -> None:
    """Fill a share of the lung's depth with fluid or cells."""
    chest.tissue += np.float32((SOFT - LUNG) * share) * shape * (0.25 + 0.75 * chest.depth) * chest.lung


def _consolidation(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Dense, homogeneous, bounded by fissures, with air bronchograms; a subtle one fills a part of the lobe."""
    anatomy, side = finding.anatomies[0], finding.side
    x, y = _spot(chest, anatomy, side, rng)
    reach = 0.075 + 0.13 * s
    core = chest.board.cloud(x, y, reach, reach * 1.05, 0.16, rng)
    shape = _lobe(chest, anatomy, side, rng) * core * (1 + np.float32(0.06) * chest.board.texture(rng, 0.03))
    air = _bronchogram(chest, side, (x, y), rng) * smooth(shape, 0.5, 0.9)
    _opacify(chest, shape * (1 - 0.5 * air), 0.10 + 0.62 * s)
    return shape > 0.3


def _bronchogram(chest: Chest, side: str, target: tuple[float, float], rng: np.random.Generator) -> Field:
    """Air-filled bronchi branching from the hilum through a target."""
    hilum = np.array(chest.marks.hilum[side])
    away = np.array(target) - hilum
    lines: list[Line] = []
    for turn in rng.uniform(-0.45, 0.45, 5):
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        tip = hilum + rotation @ away * rng.uniform(1.0, 1.6)
        middle = hilum + 0.55 * away
        lines.append((curve([hilum, (middle + hilum) / 2, middle * 0.6 + tip * 0.4, tip]), 0.0085, 1.0))
    return blur(chest.board.stroke(lines), 0.002)


def _pneumonia(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Patchy, ill-defined air-space opacities that run together in one zone or lobe."""
    shape = np.zeros_like(chest.solid)
    for anatomy, side in zip(finding.anatomies, sides(finding), strict=True):
        x, y = _spot(chest, anatomy, side, rng)
        for _ in range(4):
            r = rng.uniform(0.035, 0.06) + 0.035 * s
            dx, dy = rng.normal(0, 0.028 + 0.016 * s, 2)
            patch = chest.board.cloud(x + dx, y + dy, r, r * rng.uniform(0.7, 1.1), 0.3, rng) * chest.lungs[side]
            shape = 1 - (1 - shape) * (1 - np.float32(0.75) * patch)
    shape *= np.clip(1 + np.float32(0.22) * chest.board.texture(rng, 0.025), 0, 2)
    _opacify(chest, shape, 0.09 + 0.47 * s)
    return shape > 0.3


def _infiltrate(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Hazy streaks and small nodules over a wider zone, without borders."""
    shape = np.zeros_like(chest.solid)
    for anatomy, side in zip(finding.anatomies, sides(finding), strict=True):
        x, y = _spot(chest, anatomy, side, rng)
        r = 0.09 + 0.06 * s
        shape = np.maximum(shape, chest.board.cloud(x, y, r, r * rng.uniform(0.9, 1.3), 0.3, rng) * chest.lungs[side])
    streaks = chest.board.net(rng, 0.014, 0.7) + smooth(chest.board.texture(rng, 0.014), 0.3, 1.6)
    _opacify(chest, shape * (0.5 + 0.5 * streaks), 0.07 + 0.34 * s)
    return shape > 0.35


def _ground_glass(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """An even veil that leaves the vessels visible."""
    shape = np.zeros_like(chest.solid)
    for anatomy, side in zip(finding.anatomies, sides(finding), strict=True):
        x, y = _spot(chest, anatomy, side, rng)
        r = 0.08 + 0.06 * s
        shape = np.maximum(shape, chest.board.cloud(x, y, r, r * 1.1, 0.15, rng) * chest.lungs[side])
    _opacify(chest, shape, 0.06 + 0.24 * s)
    return shape > 0.35


def _covid(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Bilateral, peripheral, lower-zone ground glass; dense patches appear as it progresses."""
    everywhere = finding.anatomies == ("lung",)
    glass, dense = np.zeros_like(chest.solid), np.zeros_like(chest.solid)
    for side in SIGN:
        for _ in range(3 + round(2 * s)):
            x, y = chest.marks.inside(side, rng.uniform(0.74, 0.95), rng.uniform(0.3 if everywhere else 0.55, 1.02))
            r = rng.uniform(0.045, 0.075) + 0.03 * s
            patch = chest.board.cloud(x, y, r * 0.85, r * 1.25, 0.25, rng) * chest.lungs[side]
            glass = np.maximum(glass, patch)
            dense = np.maximum(dense, patch**3 * np.float32(rng.random() < s))
    shape = glass * smooth(chest.across, 0.3, 0.6)
    mesh = np.float32(0.25) * chest.board.net(rng, 0.016, 0.4)
    _opacify(chest, shape * (0.85 + mesh) + np.float32(0.9 * s) * dense, 0.09 + 0.26 * s)
    return shape > 0.35


def _edema(chest: Chest, _finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Haze around both hila, and Kerley B lines at the bases; the upper vessels are widened with the anatomy."""
    haze: Field = np.zeros_like(chest.solid)
    for x, y in chest.marks.hilum.values():
        wing = chest.board.disc(x * 1.45, y + 0.06, 0.14 + 0.06 * s, 0.19 + 0.05 * s)
        haze = np.maximum(haze, np.exp(-1.1 * wing))
    haze = haze * chest.lung * np.clip(1 + np.float32(0.22) * chest.board.texture(rng, 0.05), 0, 2)
    mesh = np.float32(0.3) * chest.board.net(rng, 0.018, 0.45)
    _opacify(chest, haze * (0.8 + mesh), 0.09 + 0.42 * s)
    chest.tissue += np.float32(0.1 + 0.12 * s) * _kerley(chest, rng) * chest.lung
    return haze > 0.3


def _kerley(chest: Chest, rng: np.random.Generator) -> Field:
    """Short horizontal lines that reach the pleura above both costophrenic angles."""
    lines: list[Line] = []
    for side, sign in SIGN.items():
        for y in chest.marks.sulcus[side] - np.linspace(0.04, 0.17, 7) + rng.uniform(-0.006, 0.006, 7):
            wall = chest.marks.wall(y) - 0.008
            lines.append((np.array([(sign * wall, y), (sign * (wall - rng.uniform(0.02, 0.04)), y)]), 0.0028, 1.0))
    return chest.board.stroke(lines)


def _fibrosis(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A reticular mesh that thickens toward the pleura and the bases."""
    region = np.zeros_like(chest.solid)
    for side in sides(finding):
        low = smooth(_down(chest, side), 0.5 - 0.3 * s, 1.0) if "base" in finding.anatomies[0] else 0.75
        region = np.maximum(region, low * smooth(chest.across, 0.2, 0.85) * chest.lungs[side])
    mesh = np.maximum(chest.board.net(rng, 0.012, 0.6), chest.board.net(rng, 0.017, 0.5))
    patchy = np.clip(0.8 + np.float32(0.4) * chest.board.texture(rng, 0.06), 0.1, 1.6)
    chest.tissue += np.float32(0.10 + 0.42 * s) * region * patchy * (mesh + 0.2) * chest.lung
    return region > 0.35


def _nodule(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A round opacity of 1 to 3 cm."""
    return _lump(chest, finding, 0.013 + 0.018 * s, 0.15 + 0.55 * s, 0.08, rng)


def _mass(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A lobulated opacity of more than 3 cm."""
    return _lump(chest, finding, 0.038 + 0.045 * s, 0.2 + 0.85 * s, 0.12, rng)


def _lump(chest: Chest, finding: Finding, r: float, density: float, ragged: float, rng: np.random.Generator) -> Mask:
    x, y = _spot(chest, finding.anatomies[0], finding.side, rng)
    reach: Field = np.sqrt(chest.board.disc(x, y, r, r * rng.uniform(0.85, 1.15))) - ragged * chest.board.texture(
        rng, r
    )
    shape = smooth(reach, 1.12, 0.88) * np.sqrt(np.clip(1.25 - reach * reach, 0, 1)) * chest.lungs[finding.side]
    chest.tissue += np.float32(density) * shape
    return (reach < 1.05) & (chest.lungs[finding.side] > 0.5)


def _granuloma(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A small, sharp, calcified dot."""
    x, y = _spot(chest, finding.anatomies[0], finding.side, rng)
    reach = chest.board.disc(x, y, 0.0085 + 0.0055 * s)
    chest.tissue += np.float32(0.3 + 0.8 * s) * smooth(reach, 1.3, 0.5)
    return reach < 1.2


def _cavity(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A thick-walled ring around air, with fluid at its bottom when large."""
    x, y = _spot(chest, finding.anatomies[0], finding.side, rng)
    r = 0.03 + 0.028 * s
    reach: Field = np.sqrt(chest.board.disc(x, y, r)) + np.float32(0.06) * chest.board.texture(rng, 0.04)
    lung = chest.lungs[finding.side]
    wall = smooth(np.abs(reach - 0.86), 0.3, 0.1) * lung
    inside = smooth(reach, 0.85, 0.7) * lung
    fluid = inside * (chest.board.y > y + 0.3 * r) * float(s > 0.6)
    chest.tissue += np.float32(0.12 + 0.55 * s) * np.maximum(wall, fluid) - np.float32(0.5 * LUNG) * inside * (
        1 - fluid
    )
    return (reach < 1.12) & (lung > 0.5)


def _bulla(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A large thin-walled air space without vessels."""
    region = np.zeros_like(chest.solid)
    for anatomy, side in zip(finding.anatomies, sides(finding), strict=True):
        x, y = _spot(chest, anatomy, side, rng)
        r = 0.05 + 0.05 * s
        reach = np.sqrt(chest.board.disc(x, y + 0.5 * r, r, r * 1.15)) + np.float32(0.03) * chest.board.texture(
            rng, 0.1
        )
        inside = smooth(reach, 1.02, 0.96) * chest.lungs[side]
        line = np.maximum(1 - np.abs(reach - 1) * np.float32(r / 0.004), 0) * chest.lungs[side]
        chest.tissue = chest.tissue * (1 - np.float32(0.35 + 0.6 * s) * inside) + np.float32(0.06 + 0.16 * s) * line
        region = np.maximum(region, inside)
    return region > 0.5


def _atelectasis(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Plates across the lung; of a lobe, a wedge that has lost volume."""
    if "lobe" in finding.anatomies[0]:
        return _collapse(chest, finding, s, rng)
    lines: list[Line] = []
    for anatomy, side in zip(finding.anatomies, sides(finding), strict=True):
        x, y = _spot(chest, anatomy, side, rng)
        y = min(y, chest.marks.dome[side] - 0.012)
        for _ in range(1 + round(2 * s)):
            half, tilt = rng.uniform(0.045, 0.07) + 0.03 * s, rng.normal(0, 0.014)
            plate = curve([(x - half, y + tilt), (x, y - 0.008), (x + half, y - tilt)])
            lines.append((plate, 0.0055 + 0.0075 * s, rng.uniform(0.75, 1)))
            x, y = x + rng.normal(0, 0.02), y - rng.uniform(0.018, 0.034)
    plates = blur(chest.board.stroke(lines), 0.0025) * chest.lung
    haze = blur(plates, 0.02) * chest.lung
    chest.tissue += np.float32(0.16 + 0.66 * s) * plates + np.float32(0.12 + 0.75 * s) * haze
    return (plates > 0.15) | (haze > 0.16)


def _collapse(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A lower lobe sinks behind the heart, the right upper lobe folds up to the mediastinum."""
    side, marks = finding.side, chest.marks
    sign = SIGN[side]
    if "upper" in finding.anatomies[0]:
        fissure = 0.33 - 0.1 * s  # the minor fissure, drawn up
        wedge = [(0.03, 0.06), (0.2, 0.08), (0.27, 0.16), (0.18, fissure), (0.05, marks.hilum[side][1] - 0.02)]
    else:
        wide = 0.1 + 0.09 * s + rng.uniform(0, 0.02)
        wedge = [(0.03, 0.42), (0.075, 0.45), (wide, marks.dome[side] + 0.02), (0.03, marks.dome[side] + 0.06)]
    shape = blur(chest.board.fill(np.array([(sign * x, y) for x, y in wedge])), 0.004) * chest.lungs[side]
    _opacify(chest, shape, 0.14 + 0.5 * s)
    return shape > 0.4


def _effusion(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Fluid that fills the angle first and climbs along the wall, a meniscus; under air it is level."""
    fluid = np.zeros_like(chest.solid)
    for side in sides(finding):
        height = (0.03 + 0.3 * s**1.15) * (0.8 if "angle" in finding.anatomies[0] else 1.0) * rng.uniform(0.9, 1.1)
        level = chest.marks.sulcus[side] - height
        climb = np.float32(0.035 + 0.06 * s) * (np.clip(chest.across, 0, 1) ** 5 - np.float32(0.35))
        climb *= not chest.marks.airy(side)
        surface = chest.board.y - np.float32(level) + climb + np.float32(0.003) * chest.board.texture(rng, 0.1)
        fluid = np.maximum(fluid, smooth(surface, -0.012, 0.014 + 0.02 * s) * chest.cavities[side])
    thick = (0.4 + 0.6 * chest.depth) * (1 - 0.5 * chest.heart)
    chest.tissue = chest.tissue * (1 - fluid) + np.float32(SOFT - 0.15) * fluid * thick
    return fluid > 0.5


def _thickening(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A dense rim along the apex or the lateral wall."""
    band = np.zeros_like(chest.solid)
    for side in sides(finding):
        down, width = _down(chest, side), 0.014 + 0.024 * s
        if "apex" in finding.anatomies[0]:
            where = smooth(down, 0.22, 0.1) * smooth(chest.across, 0.2, 0.4)
        else:
            where = smooth(down, 0.3, 0.4) * smooth(chest.across, 0.6, 0.75) * smooth(down, 1.3, 1.1)
        edge = chest.rim + np.float32(0.005) * chest.board.texture(rng, 0.035)
        band = np.maximum(band, smooth(edge, width + 0.006, width - 0.006) * where * chest.cavities[side])
    chest.tissue += np.float32(0.2 + 0.6 * s) * band
    return band > 0.4


def _pneumothorax(chest: Chest, finding: Finding, s: float, _rng: np.random.Generator) -> Mask:
    """Air between the wall and the retracted lung: no markings, a thin visceral line, the lung behind it denser.

    What is drawn after it finds only the lung that is left.
    """
    side = finding.side
    cavity, visceral = chest.cavities[side], chest.marks.visceral(side)
    kept = chest.board.fill(visceral)
    air = cavity * (1 - kept)
    line = chest.board.stroke([(visceral, 0.0045, 1.0)]) * cavity * smooth(chest.rim, 0.006, 0.014)
    chest.tissue = chest.tissue * (1 - np.float32(0.94) * air) * (1 + np.float32(0.35 * s) * kept * cavity)
    chest.tissue += np.float32(0.1 + 0.3 * s) * line
    chest.lungs[side] = cavity * kept
    chest.lung = np.maximum(chest.lungs["left"], chest.lungs["right"])
    return air > 0.5


def _emphysema(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Lucent, empty lung: the diaphragms are flattened with the anatomy, the parenchyma is thinned here."""
    upper = "upper" in finding.anatomies[0]
    region = np.zeros_like(chest.solid)
    for side in sides(finding):
        region = np.maximum(region, chest.lungs[side] * (smooth(_down(chest, side), 0.62, 0.4) if upper else 1))
    holes = smooth(chest.board.texture(rng, 0.06), -0.4, 0.7)
    chest.tissue *= 1 - np.float32(0.22 + 0.6 * s) * region * (0.45 + 0.55 * holes)
    return region > 0.5


def _hernia(chest: Chest, _finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Stomach above the diaphragm: a round mass behind the heart with an air-fluid level."""
    r = 0.042 + 0.042 * s
    x = chest.marks.midline + rng.uniform(0.0, 0.05)
    y = chest.marks.plain_dome["left"] - 0.35 * r - rng.uniform(0.0, 0.02)
    reach: Field = np.sqrt(chest.board.disc(x, y, r * 1.15, r)) + np.float32(0.03) * chest.board.texture(rng, 0.1)
    shape = smooth(reach, 1.05, 0.92)
    air = smooth(reach, 0.9, 0.78) * smooth(chest.board.y, y + 0.1 * r, y + 0.1 * r - 0.006)
    rim = np.maximum(1 - np.abs(reach - 0.97) / np.float32(0.09), 0)
    free = 1 - 0.6 * chest.heart
    chest.solid += np.float32(0.12 + 0.5 * s) * shape * free + np.float32(0.12 * s) * rim
    chest.solid -= np.float32(0.25 + 0.75 * s) * air
    return reach < 1.0


LESIONS: dict[str, Painter] = {
    "consolidation": _consolidation,
    "pneumonia": _pneumonia,
    "infiltrate": _infiltrate,
    "ground-glass opacity": _ground_glass,
    "covid-19": _covid,
    "edema": _edema,
    "fibrosis": _fibrosis,
    "nodule": _nodule,
    "mass": _mass,
    "granuloma": _granuloma,
    "cavity": _cavity,
    "bulla": _bulla,
    "atelectasis": _atelectasis,
    "pleural effusion": _effusion,
    "pleural thickening": _thickening,
    "pneumothorax": _pneumothorax,
    "emphysema": _emphysema,
    "hernia": _hernia,
}
