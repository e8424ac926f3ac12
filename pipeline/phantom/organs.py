"""Findings of organs, bones, wall and abdomen: those that `landmarks` has already moved only name their region here."""

import numpy as np

from pipeline.phantom.anatomy import Chest, aorta_line, clavicle, fracture_site, rib_heights, spine_line
from pipeline.phantom.board import blur, curve, smooth
from pipeline.phantom.landmarks import SIGN
from pipeline.phantom.lesions import Mask, Painter, sides
from pipeline.phantom.scene import Finding


def _scoliosis(chest: Chest, _finding: Finding, _s: float, _rng: np.random.Generator) -> Mask:
    """The spine, bowed sideways."""
    return (np.abs(chest.board.x - spine_line(chest)) < 0.04) & (chest.board.y > 0.08)


def _lungs(chest: Chest, _finding: Finding, _s: float, _rng: np.random.Generator) -> Mask:
    """Both lungs, whose volume is the finding."""
    return chest.lung > 0.5


def _diaphragm(chest: Chest, finding: Finding, _s: float, _rng: np.random.Generator) -> Mask:
    """What the raised diaphragm has taken from its lung."""
    plain = chest.board.fill(chest.marks.lung(finding.side, chest.marks.plain_dome[finding.side]))
    return (plain > 0.5) & (chest.cavities[finding.side] < 0.5)


def _cardiomegaly(chest: Chest, _finding: Finding, _s: float, _rng: np.random.Generator) -> Mask:
    """The heart."""
    return (chest.heart > 0) & (chest.board.y < max(chest.marks.dome.values()) + 0.06)


def _aorta(chest: Chest, _finding: Finding, s: float, _rng: np.random.Generator) -> Mask:
    """The aortic knob and the bowed descending aorta, denser than in the normal chest."""
    line = chest.board.stroke([(aorta_line(chest)[:25], 0.05 + 0.02 * s, 1.0)])
    chest.solid += np.float32(0.08 + 0.5 * s) * blur(line, 0.004)
    knob = chest.board.disc(chest.marks.midline + 0.042, 0.285, chest.marks.knob * 1.15, chest.marks.knob * 1.3)
    return (line > 0.5) | (knob < 1)


def _mediastinum(chest: Chest, _finding: Finding, _s: float, _rng: np.random.Generator) -> Mask:
    """What the upper mediastinum has gained on both sides, over the spine and the great vessels."""
    off, top = np.abs(chest.board.x - chest.marks.midline), np.abs(chest.board.y - 0.23) < 0.13
    gained: Mask = (off > chest.marks.plain_mediastinum) & (off < chest.marks.mediastinum + 0.004) & top
    return gained


def _hila(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Lobulated hila."""
    region = np.zeros_like(chest.solid)
    for side in sides(finding):
        x, y = chest.marks.hilum[side]
        for dy in (-0.025, 0.012, 0.045):
            r = rng.uniform(0.026, 0.034) + 0.022 * s
            lump = chest.board.ball(x + SIGN[side] * (0.012 + 0.016 * s), y + dy, r, r * 1.1) ** 0.7
            region = np.maximum(region, lump)
    chest.solid += np.float32(0.12 + 0.6 * s) * region
    return region > 0.2


def _fracture(chest: Chest, finding: Finding, s: float, _rng: np.random.Generator) -> Mask:
    """The break, with a little swelling around it; the fragments are drawn with the bones."""
    if "clavicle" in finding.anatomies[0]:
        x, y = clavicle(chest, finding.side)[17]
        near = chest.board.disc(x, y, 0.035)
    else:
        side, rib, place = fracture_site(finding)
        height, _, gap = rib_heights(chest, front=False)
        wide = np.where(chest.board.x * SIGN[side] > 0, chest.across - place, 9.0) / 0.1
        near = wide**2 + ((height - rib - 0.5) * gap / 0.035) ** 2
    chest.solid += np.float32(0.03 + 0.08 * s) * np.exp(-1.5 * near)
    return near < 1


def _wall_air(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Streaks of air between the layers of the chest wall, up to the neck."""
    region = np.zeros_like(chest.solid)
    for side in sides(finding):
        beside = chest.board.x * SIGN[side] > 0
        wall = smooth(chest.across, 1.0, 1.04) * smooth(chest.across, 1.3 + 0.12 * s, 1.12)
        region = np.maximum(region, wall * beside * smooth(chest.board.y, 0.12, 0.2) * smooth(chest.board.y, 0.8, 0.62))
    streaks = smooth(chest.board.texture(rng, 0.018) + chest.board.texture(rng, 0.05), -0.2, 1.4)
    air = region * streaks
    chest.solid -= np.float32(0.12 + 0.42 * s) * air
    return air > 0.3


def _free_air(chest: Chest, _finding: Finding, s: float, _rng: np.random.Generator) -> Mask:
    """A lucent crescent between the diaphragm and the liver; on both sides when there is much."""
    region = np.zeros_like(chest.solid)
    for side in ("right", "left") if s > 0.6 else ("right",):
        dome = curve(chest.marks.diaphragm(side)[2:-1])
        thick = 0.008 + 0.03 * s
        across = np.linspace(-1, 1, len(dome))
        lower = dome + np.stack([0 * across, 0.006 + thick * (1 - across**4)], 1)
        region = np.maximum(region, chest.board.fill(np.vstack([dome + np.array((0, 0.007)), lower[::-1]])))
    chest.solid -= np.float32(0.35 + 1.0 * s) * blur(region, 0.002)
    return region > 0.5


ORGANS: dict[str, Painter] = {
    "scoliosis": _scoliosis,
    "low lung volumes": _lungs,
    "hyperinflation": _lungs,
    "diaphragm elevation": _diaphragm,
    "cardiomegaly": _cardiomegaly,
    "aortic tortuosity": _aorta,
    "mediastinal widening": _mediastinum,
    "hilar enlargement": _hila,
    "fracture": _fracture,
    "subcutaneous emphysema": _wall_air,
    "pneumoperitoneum": _free_air,
}
