"""A case becomes a film and the exact mask of each finding. Which findings a case has is decided in `scene`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.phantom.anatomy import draw_chest
from pipeline.phantom.devices import DEVICES, ecg_leads
from pipeline.phantom.exposure import expose
from pipeline.phantom.landmarks import strength
from pipeline.phantom.lesions import LESIONS, Mask, Painter
from pipeline.phantom.organs import ORGANS
from pipeline.phantom.scene import Case

PAINTERS: dict[str, Painter] = {**ORGANS, **LESIONS, **DEVICES}


@dataclass(frozen=True)
class Rendering:
    """A drawn case.

    Attributes:
        image: uint8 [S, S]; dense tissue is bright, the patient's left is on the image's right.
        masks: bool [S, S] for each finding, in the case's order: the region it occupies.
    """

    image: NDArray[np.uint8]
    masks: tuple[Mask, ...]


def render(case: Case, size: int) -> Rendering:
    """Draw a case.

    Args:
        case: what to draw; the same case gives the same bytes.
        size: S, pixels, 64 to 2048; the picture is the same at every size but for its sharpness.

    Raises:
        ValueError: the size is out of range.
    """
    if not 64 <= size <= 2048:
        raise ValueError(f"a phantom of {size} pixels cannot be drawn: choose a size from 64 to 2048.")
    chest = draw_chest(case, size)
    masks = {}
    for finding in case.findings:
        rng = np.random.default_rng((finding.seed, 0))
        masks[finding.name] = PAINTERS[finding.name](chest, finding, strength(finding), rng)
    if {"pneumothorax", "pleural effusion"} <= masks.keys():
        masks["pneumothorax"] &= ~masks["pleural effusion"]  # fluid has taken the place of air
    if case.acquisition.leads:
        chest.solid += ecg_leads(chest, case.acquisition)
    return Rendering(expose(chest.solid + chest.tissue, case.acquisition), tuple(masks.values()))
