"""Tubes, lines, wires and implants, drawn as metal or radiopaque plastic upon a chest.

`s` is the finding's strength: here the contrast of the device, about 0.15 (hardly seen) to 1.
"""

import numpy as np

from pipeline.phantom.anatomy import Chest
from pipeline.phantom.board import Field, Line, Points, blur, curve, smooth
from pipeline.phantom.landmarks import SIGN, tube_height, vein_of
from pipeline.phantom.lesions import Mask, Painter
from pipeline.phantom.scene import Acquisition, Finding


def _tube(chest: Chest, path: Points, width: float, s: float, stripe: float = 0.0) -> Mask:
    """A tube: two faint walls and, at `stripe` of its radius, a radiopaque thread; thin lines are thread alone."""
    lines: list[Line] = [(path, 0.0035, 1.0)]
    if width > 0.006:
        across = _normals(path) * width / 2
        lines = [(path, width, 0.3), (path + across, 0.003, 0.75), (path - across, 0.003, 0.75)]
        lines.append((path + stripe * across, 0.0042, 1.0))
    drawn = chest.board.stroke(lines)
    chest.solid += np.float32(0.14 + 0.5 * s) * blur(drawn, 0.0012)
    return chest.board.stroke([(path, max(width, 0.008) + 0.004, 1.0)]) > 0.5


def _normals(path: Points) -> Points:
    steps = np.gradient(path, axis=0)
    unit: Points = steps / np.maximum(np.hypot(*steps.T), 1e-9)[:, None]
    return unit[:, ::-1] * (-1, 1)


def _endotracheal(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Down the trachea to a few centimetres above the carina."""
    x, tip = chest.marks.midline, chest.marks.carina - tube_height(finding)
    path = curve([(x * 0.4 + rng.normal(0, 0.01), -0.1), (x * 0.6, 0.06), (x + 0.003, tip - 0.06), (x + 0.002, tip)])
    return _tube(chest, path, 0.022, s, stripe=0.0)


def _enteric(chest: Chest, _finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Down the oesophagus and into the stomach under the left diaphragm."""
    x, dome = chest.marks.midline, chest.marks.dome["left"]
    neck = [(x * 0.4 - 0.004, -0.1), (x + 0.012, 0.15), (x + 0.006, 0.36), (x + 0.018, 0.55), (x + 0.03, dome + 0.03)]
    stomach = [(0.075, dome + 0.1), (0.14 + rng.normal(0, 0.015), dome + 0.13), (0.2, dome + rng.uniform(0.07, 0.13))]
    return _tube(chest, curve(neck + stomach), 0.012, s)


def _chest_tube(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """Through the lateral wall and up to the apex, or back to the base."""
    sign, wall = SIGN[finding.side], chest.marks.wall
    entry = rng.uniform(0.5, 0.62)
    high = rng.random() < 0.7
    inner = (
        [(wall(0.3) * 0.72, 0.32), (wall(0.16) * 0.62, 0.17)] if high else [(0.24, entry + 0.02), (0.14, entry + 0.05)]
    )
    knots = [(0.56, entry + 0.16), (wall(entry) + 0.01, entry + 0.02), (wall(entry) - 0.035, entry - 0.05), *inner]
    return _tube(chest, curve([(sign * x, y) for x, y in knots]), 0.018, s, stripe=0.1)


def _cava(chest: Chest, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The last stretch of a venous line: down the superior vena cava."""
    x = chest.marks.midline - 0.043
    return [(x - 0.004, 0.24), (x - 0.006, 0.31), (x - 0.003, rng.uniform(0.36, 0.43))]


def _central_line(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """From the jugular vein, or under the clavicle, into the superior vena cava."""
    sign = SIGN[finding.side]
    jugular = [(sign * 0.075, -0.05), (sign * 0.062, 0.05), (sign * 0.05, 0.14)]
    subclavian = [(sign * 0.27, 0.2), (sign * 0.2, 0.15), (sign * 0.1, 0.145)]
    start = jugular if vein_of(finding) == "jugular" else subclavian
    cross = [] if sign < 0 else [(0.03, 0.19), (-0.015, 0.215)]
    return _tube(chest, curve([*start, *cross, *_cava(chest, rng)]), 0.005, s)


def _picc(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """From the arm through the axillary and subclavian veins into the superior vena cava."""
    sign = SIGN[finding.side]
    arm = [(sign * 0.56, 0.36), (sign * 0.47, 0.26), (sign * 0.37, 0.19), (sign * 0.24, 0.14), (sign * 0.11, 0.15)]
    cross = [] if sign < 0 else [(0.03, 0.185), (-0.015, 0.21)]
    return _tube(chest, curve([*arm, *cross, *_cava(chest, rng)]), 0.004, 0.75 * s)


def _pacemaker(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A generator below the clavicle with leads to the right atrium and ventricle."""
    sign, (hx, hy) = SIGN[finding.side], chest.marks.heart_centre
    x, y = sign * rng.uniform(0.25, 0.29), rng.uniform(0.2, 0.24)
    box = smooth(np.maximum(np.abs(chest.board.x - x) / 0.047, np.abs(chest.board.y - y) / 0.038) ** 2
                 + 0.35 * chest.board.disc(x, y, 0.047, 0.038), 1.3, 1.15)  # fmt: skip
    start = [(x - sign * 0.03, y - 0.03), (sign * 0.17, 0.145), (sign * 0.08, 0.16)]
    cross = [] if sign < 0 else [(0.02, 0.19), (-0.025, 0.22)]
    cava = [*start, *cross, *_cava(chest, rng)[:2]]
    ventricle = curve([*cava, (-0.05, hy - 0.04), (0.0, hy + 0.09), (hx + 0.09, hy + 0.11)])
    atrium = curve([*cava, (-0.055, hy - 0.03), (-0.04, hy + 0.02), (-0.055, hy - 0.035)])
    region = _tube(chest, ventricle, 0.005, s) | _tube(chest, atrium, 0.005, s)
    chest.solid += np.float32(0.35 + 1.6 * s) * box
    return region | (box > 0.5)


def _sternotomy(chest: Chest, _finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A column of wire loops along the sternum."""
    x = chest.marks.midline * 1.5
    lines: list[Line] = []
    for y in np.linspace(0.24, 0.58, 6) + rng.normal(0, 0.006, 6):
        loop = np.array(
            [(-0.014, 0.004), (0.0, -0.009), (0.015, 0.002), (0.003, 0.01), (-0.012, 0.004), (-0.004, 0.016)]
        )
        lines.append((curve(loop + np.array((x + rng.normal(0, 0.002), y))), 0.0042, 1.0))
    wires = chest.board.stroke(lines)
    chest.solid += np.float32(0.25 + 0.9 * s) * wires
    return blur(wires, 0.004) > 0.12


def _clips(chest: Chest, finding: Finding, s: float, rng: np.random.Generator) -> Mask:
    """A handful of short bright clips."""
    sign = SIGN.get(finding.side, 0.0)
    spots = {"mediastinum": (chest.marks.midline + 0.05, 0.4), "abdomen": (-0.13, chest.marks.dome["right"] + 0.14)}
    x, y = spots.get(finding.anatomies[0], (sign * 0.36, 0.36))
    lines: list[Line] = []
    for _ in range(4 + round(3 * s)):
        turn, spot = rng.uniform(0, np.pi), np.array((x, y)) + rng.normal(0, (0.02, 0.035))
        reach = np.array((np.cos(turn), np.sin(turn))) * 0.008
        lines.append((np.stack([spot - reach, spot + reach]), 0.0048, 1.0))
    clips = chest.board.stroke(lines)
    chest.solid += np.float32(0.3 + 0.9 * s) * clips
    return blur(clips, 0.004) > 0.12


def ecg_leads(chest: Chest, film: Acquisition) -> Field:
    """Electrodes and their wires, which belong to the film and are no finding."""
    rng = np.random.default_rng((film.seed, 2))
    lines: list[Line] = []
    pads = np.zeros_like(chest.solid)
    for sign in (-1, 1, 1, -1)[: film.leads]:
        x, y = sign * rng.uniform(0.2, 0.36), rng.uniform(0.16, 0.6)
        end = (sign * rng.uniform(0.3, 0.6), 1.05)
        lines.append((curve([(x, y), (x + rng.normal(0, 0.06), y + 0.15), end]), 0.004, 0.8))
        pads += 0.35 * smooth(chest.board.disc(x, y, 0.014), 1.1, 0.7)
    return np.float32(0.3) * chest.board.stroke(lines) + pads


DEVICES: dict[str, Painter] = {
    "endotracheal tube": _endotracheal,
    "enteric tube": _enteric,
    "chest tube": _chest_tube,
    "central venous catheter": _central_line,
    "picc": _picc,
    "pacemaker": _pacemaker,
    "sternotomy wire": _sternotomy,
    "surgical clip": _clips,
}
