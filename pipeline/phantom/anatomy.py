"""The normal chest, drawn as attenuation: what every organ adds to the path of the ray.

Units: about 0.3 for an aerated lung, 2 for the heart or the abdomen, 0.2 for a rib. Lesions and devices are drawn
elsewhere, upon the layers of `Chest`.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.phantom.board import Board, Field, Line, Points, blur, curve, fraction, inner_distance, smooth
from pipeline.phantom.landmarks import SIGN, Landmarks, place_landmarks, strength
from pipeline.phantom.scene import Case, Finding

LUNG, SOFT = 0.30, 1.75  # attenuation of the lungs' full depth when aerated, and when filled with soft tissue
_RIBS = 10


@dataclass
class Chest:
    """One case on the drawing board. Findings add to `tissue` and `solid`, or take away.

    Attributes:
        board, case, marks: where to draw, what, and where the organs lie.
        heart: path length through the heart, 0..1.
        belly: coverage of what lies below the diaphragms.
        cavities: coverage of each pleural cavity, 0..1, [S, S].
        lungs: coverage of each lung: its whole cavity, until a pneumothorax takes from it.
        lung: of both.
        rim: distance from the cavities' border.
        depth: path length through the cavities, 0..1; less where the heart lies before them.
        across: distance from the spine's line, 1 at the thoracic wall.
        tissue: attenuation of what the lungs hold; a pneumothorax displaces it.
        solid: attenuation of everything else.
    """

    board: Board
    case: Case
    marks: Landmarks
    heart: Field
    belly: Field
    cavities: dict[str, Field]
    lungs: dict[str, Field]
    lung: Field
    rim: Field
    depth: Field
    across: Field
    tissue: Field
    solid: Field

    def rng(self, part: int) -> np.random.Generator:
        """Randomness of one part of the normal anatomy, whatever the findings."""
        return np.random.default_rng((self.case.seed, part))

    def found(self, name: str) -> Finding | None:
        """The case's finding of this name, if any."""
        return next((finding for finding in self.case.findings if finding.name == name), None)

    def power(self, name: str) -> float:
        """Strength of the finding of this name; 0 when the case has none."""
        finding = self.found(name)
        return strength(finding) if finding else 0.0


def draw_chest(case: Case, size: int) -> Chest:
    """Lay out and draw the anatomy of a case, organs moved by its findings included."""
    film = case.acquisition
    board, marks = Board(size, film.tilt, film.zoom, film.shift), place_landmarks(case)
    cavities = {side: board.fill(marks.lung(side)) for side in SIGN}
    lung = np.maximum(cavities["left"], cavities["right"])
    rim = inner_distance(lung)
    heart = _heart_depth(board, marks)
    depth = lung * (1 - np.float32(0.5) * heart) * np.sqrt(1 - (1 - np.minimum(rim / 0.12, 1)) ** 2)
    across = np.abs(board.x) / _wall(board, marks)
    belly = board.fill(_under_diaphragms(marks))
    nothing = np.zeros_like(lung)
    chest = Chest(
        board, case, marks, heart, belly, cavities, dict(cavities), lung, rim, depth, across, nothing, nothing.copy()
    )
    chest.solid = _trunk(chest) + _mediastinum(chest) + _skeleton(chest) - _airway(chest)
    chest.tissue = _parenchyma(chest)
    return chest


def _wall(board: Board, marks: Landmarks) -> Field:
    """Half the breadth of the thorax at every pixel, [S, S]."""
    heights = np.linspace(-0.3, 1.3, 64)
    widths = marks.walls(heights).astype(np.float32)
    return np.interp(board.y.ravel(), heights, widths).astype(np.float32).reshape(board.y.shape)


def _trunk(chest: Chest) -> Field:
    """Chest wall, shoulders and arms, breasts, and the abdomen below the diaphragms."""
    board, habitus = chest.board, chest.case.habitus
    body = _body(chest)
    near = inner_distance(body)
    edge: Field = body * np.sqrt(1 - (1 - np.minimum(near / 0.09, 1)) ** 2)
    cavity = smooth(chest.across, 1.12, 0.86) * smooth(board.y, 0.02, 0.12)
    wall = edge * (0.72 + 0.16 * habitus.fat + 1.0 * (1 - cavity) * (1 + 0.3 * habitus.fat))
    wall = wall * (1 + np.float32(0.04) * board.texture(chest.rng(1), 0.14))
    return wall + _breasts(chest) + _abdomen(chest) + 0.10 * chest.case.acquisition.rotation * board.x * edge


def _body(chest: Chest) -> Field:
    """Coverage of trunk, neck and upper arms."""
    habitus, marks = chest.case.habitus, chest.marks
    side = 0.46 * marks.width + 0.035 * habitus.fat
    high = 0.02 if chest.case.view == "PA" else -0.02
    neck = 0.075 + 0.01 * habitus.fat
    knots = [(neck, -0.4), (neck, -0.04 + high), (neck + 0.05, 0.015 + high), (0.30, 0.035 + high), (0.42, 0.07 + high)]
    knots += [(0.62, 0.2), (0.9, 0.5), (0.62, 0.56), (side + 0.03, 0.34), (side, 0.44), (side, 0.7), (side + 0.01, 1.5)]
    right = curve(knots)
    return chest.board.fill(np.vstack([right, right[::-1] * (-1, 1)]))


def _breasts(chest: Chest) -> Field:
    """Two discs, denser toward their lower outer edge."""
    size = chest.case.habitus.breast
    shadow = np.zeros_like(chest.solid)
    for sign in SIGN.values() if size else ():
        ball = chest.board.ball(sign * 0.225, 0.62 + 0.03 * size, 0.15 + 0.03 * size, 0.12 + 0.05 * size)
        shadow += np.float32(0.55) * ball * smooth(chest.board.y, 0.48, 0.68)
    return shadow


def _abdomen(chest: Chest) -> Field:
    """Liver, spleen and bowel below the domes, with the stomach's air bubble under the left one."""
    board, marks, rng = chest.board, chest.marks, chest.rng(2)
    below = chest.belly * smooth(chest.across, 1.2, 0.84)
    soft = np.float32(SOFT - 0.1) * below * (1 + np.float32(0.03) * board.texture(rng, 0.12))
    x, y = rng.uniform(0.12, 0.2), marks.dome["left"] + rng.uniform(0.05, 0.075)
    bubble = board.cloud(x, y, rng.uniform(0.04, 0.085), rng.uniform(0.02, 0.045), 0.12, rng)
    bowel = board.cloud(rng.uniform(0.0, 0.3), y + 0.13, 0.08, 0.05, 0.3, rng) * np.float32(rng.uniform(0.0, 0.4))
    return soft - below * (np.float32(rng.uniform(0.35, 0.8)) * bubble + bowel)


def _under_diaphragms(marks: Landmarks) -> Points:
    """Outline of what lies below both diaphragms."""
    right, left = curve(marks.diaphragm("right")), curve(marks.diaphragm("left"))[::-1]
    low = marks.sulcus["left"]
    sides = np.array([(marks.wall(low) + 0.012, low + 0.05), (0.6, low + 0.4), (0.6, 1.6)])
    return np.vstack([right, left, sides, sides[::-1] * (-1, 1)])


def _mediastinum(chest: Chest) -> Field:
    """Heart, great vessels, aorta and the soft tissue around the spine."""
    board, marks = chest.board, chest.marks
    column = blur(board.fill(_column(marks)), 0.004) * (0.25 + 0.75 * smooth(board.y, 0.0, 0.22))
    knob = board.ball(marks.midline + 0.042, 0.285, marks.knob * 1.15, marks.knob * 1.3)
    aorta = board.stroke([(aorta_line(chest), 0.05, 1.0)])
    upper = np.maximum(column * 1.05, knob * 1.05)
    soft: Field = np.maximum(upper, 1.55 * chest.heart**0.75) + 0.18 * aorta + 0.35 * np.minimum(upper, chest.heart)
    hila = np.zeros_like(soft)
    for side, (x, y) in marks.hilum.items():
        hila += 0.45 * board.ball(x, y, 0.032, 0.055)
        hila += 0.35 * board.ball(x - 0.012 * SIGN[side], y + 0.055, 0.024, 0.05)
    return soft * (1 - 0.92 * chest.belly) + hila  # the abdomen already fills the ray's path


def _column(marks: Landmarks) -> Points:
    """Outline of the upper mediastinum and the tissue along the spine."""
    half, x = marks.mediastinum, marks.midline
    left = [(0.07, -0.3), (0.062, 0.04), (half, 0.12), (half, 0.2), (half + 0.006, 0.27), (half, 0.36), (0.06, 0.46)]
    right = [(half + 0.008, 0.36), (half + 0.004, 0.25), (half, 0.16), (half + 0.004, 0.1), (0.062, 0.04), (0.07, -0.3)]
    low = [(0.045, 0.7), (0.04, 1.3), (-0.04, 1.3), (-0.045, 0.7), (-0.065, 0.48)]
    return curve([(x + a, b) for a, b in left] + low + [(x - a, b) for a, b in right], steps=5)


def aorta_line(chest: Chest) -> Points:
    """The descending aorta, bowed to the left when tortuous."""
    x, bow = chest.marks.midline, 0.05 * chest.power("aortic tortuosity")
    return curve(
        [(x + 0.055, 0.28), (x + 0.066 + bow, 0.42), (x + 0.058 + bow, 0.55), (x + 0.03, 0.7), (x + 0.01, 0.85)]
    )


def _heart_depth(board: Board, marks: Landmarks) -> Field:
    """Path length through the heart, 0..1."""
    x, y = marks.heart_centre
    outline = marks.heart - (x, y)
    angles = np.arctan2(outline[:, 1], outline[:, 0])
    radii = np.hypot(*outline.T)
    window = board.window(x, y, radii.max(), radii.max())
    dx, dy = board.x[window] - np.float32(x), board.y[window] - np.float32(y)
    radius = np.interp(np.arctan2(dy, dx).ravel(), angles, radii, period=2 * np.pi)
    reach = (dx * dx + dy * dy) / radius.astype(np.float32).reshape(dx.shape) ** 2
    depth = np.zeros_like(board.x)
    depth[window] = np.sqrt(np.maximum(1 - reach, 0))
    return depth


def spine_line(chest: Chest) -> Field:
    """x of the spine's centre at every pixel, [S, S]."""
    bow: Field = np.sin((chest.board.y - np.float32(0.1)) * np.float32(5.2))
    return np.float32(chest.marks.bend) * bow


def _skeleton(chest: Chest) -> Field:
    wide = 0.85 if chest.case.age > 75 else 1.0  # bones fade with age
    return np.float32(wide) * (_spine(chest) + _ribs(chest) + blur(_shoulders(chest) + _clavicles(chest), 0.002))


def _spine(chest: Chest) -> Field:
    """Vertebral bodies with their pedicles and disc spaces, seen faintly through the mediastinum."""
    window = chest.board.window(0.0, 0.5, 0.04 + abs(chest.marks.bend), 1.0)
    side = np.abs(chest.board.x[window] - spine_line(chest)[window]) / np.float32(0.036)
    phase = fraction(chest.board.y[window] / np.float32(0.056))
    disc = smooth(np.abs(phase - np.float32(0.5)), 0.36, 0.46)
    body = smooth(side, 1.08, 0.92) * (0.34 - 0.10 * disc)
    pedicle = smooth(((side - 0.62) / 0.16) ** 2 + ((phase - 0.35) / 0.16) ** 2, 1.2, 0.4)
    process = smooth((side / 0.13) ** 2 + ((phase - 0.7) / 0.22) ** 2, 1.2, 0.4)
    spine = np.zeros_like(chest.belly)
    spine[window] = (body + np.float32(0.07) * (pedicle + process)) * (1 - np.float32(0.45) * chest.belly[window])
    return spine


def rib_heights(chest: Chest, front: bool) -> tuple[Field, float, float]:
    """Height of every pixel along the ribs: index + phase; with the first rib's y at the spine and the spacing."""
    slope = 1 + 0.25 * chest.case.habitus.slope
    u = np.minimum(chest.across, 1.02)
    if front:
        first, gap = 0.10, 0.072
        drop = np.float32(0.15 * slope) * (1 - u) - np.float32(0.03)
    else:
        first, gap = 0.112, 0.066
        drop = np.float32(slope) * (0.10 * u * u + 0.05 * u**6 - 0.055 * u)
    return (chest.board.y - drop - np.float32(first)) / np.float32(gap), first, gap


def _ribs(chest: Chest) -> Field:
    """Posterior arcs, and fainter anterior arcs that end short of the sternum."""
    u = chest.across
    inside = smooth(u, 1.035, 0.985) * smooth(chest.board.y, 0.95, 0.7)
    turn = 1 + 0.9 * smooth(u, 0.86, 1.0)  # the ray runs along the rib where it turns
    back, _, _ = rib_heights(chest, front=False)
    front, _, _ = rib_heights(chest, front=True)
    broken = _displacement(chest, back)
    arcs = 0.22 * _arc(back + broken[0], 0.21) * smooth(u, 0.08, 0.16) * broken[1]
    arcs += 0.12 * _arc(front, 0.24) * smooth(u, 0.34, 0.5)
    return arcs * inside * turn


def _arc(height: Field, half: float) -> Field:
    """Profile across ribs: a plateau with brighter cortical edges."""
    off: Field = np.abs(fraction(height) - np.float32(0.5))
    rim: Field = np.maximum(1 - np.abs(off - np.float32(half * 0.82)) / np.float32(0.07), 0)
    ribs = (height > 0) & (height < _RIBS)
    return (smooth(off, half + 0.045, half - 0.045) * np.float32(0.8) + np.float32(0.45) * rim) * ribs


def fracture_site(finding: Finding) -> tuple[str, int, float]:
    """Side, rib and distance across (0 spine, 1 wall) of a rib fracture."""
    rng = np.random.default_rng((finding.seed, 2))
    return finding.side, int(rng.integers(3, 8)), float(rng.uniform(0.55, 0.88))


def _displacement(chest: Chest, height: Field) -> tuple[Field | float, Field | float]:
    """Offset of a broken rib's outer fragment in spacings, and the gap between the fragments: 0 in it, else 1."""
    finding = chest.found("fracture")
    if finding is None or "rib" not in finding.anatomies[0]:
        return 0.0, 1.0
    side, rib, place = fracture_site(finding)
    power = strength(finding)
    outer = (chest.board.x * SIGN[side] > 0) * smooth(chest.across, place - 0.012, place + 0.012)
    fade = smooth(chest.across, place + 0.3, place + 0.05)
    own = np.abs(height - (rib + 0.5)) < 0.5
    gap = smooth(np.abs(chest.across - place), 0.006, 0.016 + 0.012 * power)
    other = (chest.board.x * SIGN[side] < 0) | ~own
    return np.float32(0.1 + 0.22 * power) * outer * fade * own, np.where(other, 1, np.maximum(gap, 0.6 - 0.55 * power))


def clavicle(chest: Chest, side: str) -> Points:
    """Centre line of a clavicle, from the sternum to the shoulder."""
    lift = -0.02 if chest.case.view == "AP" else 0.0
    tilt = 0.03 * chest.case.habitus.slope
    shift = 0.018 * chest.case.acquisition.rotation * SIGN[side]
    knots = [
        (0.035 + shift, 0.165),
        (0.10, 0.148),
        (0.19, 0.118 + lift),
        (0.29, 0.075 - tilt + lift),
        (0.39, 0.068 - tilt),
    ]
    return curve([(SIGN[side] * x, y + 0.3 * lift) for x, y in knots])


def _clavicles(chest: Chest) -> Field:
    lines: list[Line] = []
    for side in SIGN:
        line = clavicle(chest, side)
        lines += [(line, 0.026, 1.0), (line, 0.017, 0.68)]
    broken = chest.found("fracture")
    if broken is not None and "clavicle" in broken.anatomies[0]:
        lines = _break_clavicle(lines, broken)
    heads = [(clavicle(chest, side)[:5], 0.032, 0.8) for side in SIGN]
    return np.float32(0.34) * chest.board.stroke(lines + heads)


def _break_clavicle(lines: list[Line], finding: Finding) -> list[Line]:
    """Drop the outer fragment of the broken clavicle and leave a gap."""
    drop = np.array((0.0, 0.008 + 0.02 * strength(finding)))
    kept: list[Line] = []
    for line, width, level in lines:
        if line[-1, 0] * SIGN[finding.side] < 0:
            kept.append((line, width, level))
        else:
            kept += [(line[:17], width, level), (line[18:] + drop, width, level)]
    return kept


def _shoulders(chest: Chest) -> Field:
    """Scapulae and humeral heads; on an AP film the scapulae overlie the lungs."""
    board = chest.board
    inward = 0.055 if chest.case.view == "AP" else 0.0
    blades: list[Points] = []
    lines: list[Line] = []
    for sign in SIGN.values():
        medial = [(0.37 - inward, 0.115), (0.352 - inward, 0.17), (0.362 - inward, 0.3), (0.383 - inward, 0.41)]
        lateral = [(0.395 - inward, 0.41), (0.428 - inward / 2, 0.27), (0.435, 0.17), (0.43, 0.13)]
        blades.append(curve([(sign * x, y) for x, y in medial + lateral], closed=True))
        spine = curve([(sign * (0.35 - inward), 0.17), (sign * 0.41, 0.12), (sign * 0.47, 0.085)])
        shaft = curve([(sign * 0.462, 0.15), (sign * 0.51, 0.3), (sign * 0.56, 0.5)])
        lines += [(blades[-1], 0.006, 0.4), (spine, 0.018, 0.45), (shaft, 0.045, 0.8)]
    heads = np.maximum(board.ball(-0.455, 0.125, 0.044), board.ball(0.455, 0.125, 0.044))
    return 0.09 * board.fill(*blades) + 0.3 * np.maximum(heads, board.stroke(lines))


def _airway(chest: Chest) -> Field:
    """Lucency of the trachea and the main bronchi."""
    x, y = chest.marks.midline + 0.002, chest.marks.carina
    trachea = [(x * 0.5, -0.2), (x * 0.7, 0.1), (x + 0.004, y - 0.07), (x, y)]
    right = [(x, y), (x - 0.035, y + 0.035), (x - 0.075, y + 0.085)]
    left = [(x, y), (x + 0.045, y + 0.028), (x + 0.095, y + 0.07)]
    tubes = [(curve(trachea), 0.033, 1.0), (curve(right), 0.027, 0.62), (curve(left), 0.024, 0.58)]
    return np.float32(0.44) * blur(chest.board.stroke(tubes), 0.004)


def _parenchyma(chest: Chest) -> Field:
    """Aerated lung with its vessels, which crowd when the volume is low."""
    rng, crowded = chest.rng(4), 1 + 0.35 * chest.power("low lung volumes")
    grain = 1 + np.float32(0.10) * chest.board.texture(rng, 0.02) + np.float32(0.05) * chest.board.texture(rng, 0.08)
    return np.float32(crowded) * (np.float32(LUNG) * chest.depth * grain + _vessels(chest, rng) * chest.lung)


def _vessels(chest: Chest, rng: np.random.Generator) -> Field:
    """Pulmonary vessels: trees from the hila that branch and taper toward the periphery."""
    upward = 1 + 0.8 * chest.power("edema")
    trees = [_vessel_tree(np.array(chest.marks.hilum[side]), SIGN[side], upward, rng) for side in SIGN]
    paths, widths = np.concatenate([tree[0] for tree in trees]), np.concatenate([tree[1] for tree in trees])
    return chest.board.threads(paths, widths, np.minimum(0.028 + 30 * widths, 0.36))


def _vessel_tree(hilum: Points, sign: float, upward: float, rng: np.random.Generator) -> tuple[Points, Points]:
    """Paths [N, 4, 2] and widths [N] of one lung's vessels; `upward` widens those that rise."""
    angle = np.deg2rad(np.linspace(-80, 98, 9) + rng.uniform(-9, 9, 9))
    start = hilum + np.stack([sign * np.cos(angle), 1.8 * np.sin(angle)], 1) * rng.uniform(0.01, 0.035, (9, 1))
    width = 0.0085 * rng.uniform(0.7, 1.15, 9) * np.where(angle > 0.4, 1.2, 1.0) * np.where(angle < 0, upward, 1.0)
    reach = rng.uniform(0.06, 0.1, 9)
    levels = []
    for _ in range(5):
        turns = angle[:, None] + rng.uniform(-0.5, 0.5, (len(angle), 1)) * np.array([0.0, 0.5, 1.0])
        steps = np.stack([sign * np.cos(turns), np.sin(turns)], 2) * (reach / 3)[:, None, None]
        path = np.concatenate([start[:, None], start[:, None] + np.cumsum(steps, 1)], 1)
        levels.append((path, width))
        fork = rng.uniform(0.15, 0.55, len(angle)) * (2 * rng.integers(2, size=len(angle)) - 1)
        angle = np.concatenate([turns[:, -1] + fork, turns[:, -1] - 0.6 * fork])
        start, width = np.concatenate([path[:, -1]] * 2), np.concatenate([0.66 * width, 0.8 * width])
        reach = np.concatenate([reach] * 2) * rng.uniform(0.7, 0.95, len(angle))
    return np.concatenate([path for path, _ in levels]), np.concatenate([width for _, width in levels])
