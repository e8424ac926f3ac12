"""A side view of the chest, drawn only so that a reader has something to leave out.

It has the body's outline, spine, heart, aortic arch and diaphragms, and shows no finding.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.phantom.scene import Case


def draw_lateral(case: Case, size: int) -> NDArray[np.uint8]:
    """Draw the side view of a case.

    Returns:
        Grey values [size, size], bone bright.
    """
    rng = np.random.default_rng([case.seed, 1])
    y, x = np.mgrid[0:size, 0:size] / size  # [S, S] each, 0 to 1
    sway = rng.normal(0, 0.01, 6)
    body = _inside(x, y, 0.5 + sway[0], 0.6, 0.33, 0.62)
    lungs = _inside(x, y, 0.48 + sway[1], 0.5, 0.26, 0.38) * _below(0.8 + 0.1 * (x - 0.4) - y)
    heart = _inside(x, y, 0.4 + sway[2], 0.66 + sway[3], 0.13 + 0.02 * case.habitus.heart, 0.13)
    arch = _inside(x, y, 0.52 + sway[4], 0.34 + sway[5], 0.05, 0.05)
    spine = np.exp(-(((x - 0.72 - 0.05 * np.sin(3 * y)) / 0.035) ** 2)) * (1 + 0.25 * np.sign(np.sin(52 * y)))
    depth = 0.05 + 0.55 * body - 0.38 * lungs + 0.28 * heart * body + 0.1 * arch + 0.14 * spine * body
    noisy = depth + rng.normal(0, case.acquisition.noise, depth.shape)
    grey: NDArray[np.uint8] = np.clip(255 * noisy, 0, 255).astype(np.uint8)
    return grey


def _inside(
    x: NDArray[np.float64], y: NDArray[np.float64], cx: float, cy: float, rx: float, ry: float
) -> NDArray[np.float64]:
    """1 inside a soft-edged ellipse, 0 outside."""
    return _below(1 - np.hypot((x - cx) / rx, (y - cy) / ry), sharpness=25)


def _below(distance: NDArray[np.float64], sharpness: float = 60) -> NDArray[np.float64]:
    inside: NDArray[np.float64] = 1 / (1 + np.exp(-sharpness * distance))
    return inside
