"""Writes phantoms as VinBigData Chest X-ray: train.csv by three radiologists an image, and DICOM of many kinds.

The radiologists disagree a little: a subtle finding is missed at times, now and then one is seen that is not there, and
no two boxes are alike. Some images are MONOCHROME1, some lack a window, some are compressed; depths differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Depth, Film, Mask, as_deep_dicom
from pipeline.phantom.layouts.identity import hexadecimal, uid
from pipeline.phantom.layouts.marks import Box, boxes_of
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.scene import Case

FOLDER = "vinbigdata"
HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
NO_FINDING = ("No finding", 14)
CLASSES = {  # drawable finding -> the class that names it, and its class_id
    "atelectasis": ("Atelectasis", 1),
    "cardiomegaly": ("Cardiomegaly", 3),
    "consolidation": ("Consolidation", 4),
    "infiltrate": ("Infiltration", 6),
    "ground-glass opacity": ("Lung Opacity", 7),
    "nodule": ("Nodule/Mass", 8),
    "mass": ("Nodule/Mass", 8),
    "pleural effusion": ("Pleural effusion", 10),
    "pleural thickening": ("Pleural thickening", 11),
    "pneumothorax": ("Pneumothorax", 12),
    "fibrosis": ("Pulmonary fibrosis", 13),
}
# The truth names a finding as the reader of the dataset does.
BROADER = {"nodule": "lesion", "mass": "lesion", "ground-glass opacity": "opacity"}
RADIOLOGISTS = 17
READERS = 3  # of an image
MISSED = {"subtle": 0.2, "mild": 0.06, "moderate": 0.02, "severe": 0.01}
IMAGINED = 0.03
TREMOR = 0.04  # of a box's side: standard deviation of where a radiologist draws it
DEPTHS = (10, 12, 12, 14, 16)

Named = tuple[str, int, Box]  # class_name, class_id and box


def write_vinbigdata(
    root: Path, visits: Sequence[Visit], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> pl.DataFrame:
    """Write the dataset; one image per patient.

    Args:
        root: its folder.
        visits: the studies, without findings that no class names.
        size: pixels of the images.
        rng: of names, quirks and the radiologists' eyes.
        darkroom: draws the images.

    Returns:
        The drawn severities (image_id, finding as the dataset's reader names it, severity).
    """
    cases = {hexadecimal(rng, 32): visit.case for visit in visits}
    masks = darkroom.develop([_film(root, image, case, size, rng) for image, case in cases.items()])
    drawn = [_drawn(case, found) for case, found in zip(cases.values(), masks, strict=True)]
    seen = [box for marks in drawn for named in marks.values() for *_, box in named]
    lines = [
        line
        for (image, case), marks in zip(cases.items(), drawn, strict=True)
        for reader in rng.permutation(RADIOLOGISTS)[:READERS]
        for line in _lines(image, f"R{reader + 1}", _reading(case, marks, seen, size, rng))
    ]
    (root / "train.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    table = severity_table(cases.items())
    return table.with_columns(pl.col("finding").replace(BROADER))


def _film(root: Path, image: str, case: Case, size: int, rng: np.random.Generator) -> Film:
    inverted, windowed, compressed = rng.random(3) < (0.3, 0.7, 0.3)
    depth = Depth(int(rng.choice(DEPTHS)), bool(inverted), bool(windowed), bool(compressed))
    tags = {"PatientSex": case.sex, "PatientAge": f"{case.age:03d}Y" if rng.random() < 0.6 else ""}
    path = root / "train" / f"{image}.dicom"
    return Film(path, case, size, as_deep_dicom(uid(rng, 4), tags, depth), frozenset(CLASSES))


def _drawn(case: Case, masks: Mapping[str, Mask]) -> dict[str, list[Named]]:
    """Class and box of every part of each drawn finding, by the finding's name."""
    return {f.name: [(*CLASSES[f.name], box) for box in boxes_of(masks[f.name], f)] for f in case.findings}


def _reading(
    case: Case, drawn: Mapping[str, list[Named]], seen: Sequence[Box], size: int, rng: np.random.Generator
) -> list[Named]:
    """What one radiologist marks: the drawn findings but the missed ones, rarely one that is not there."""
    noticed = [f.name for f in case.findings if rng.random() >= MISSED[f.severity]]
    marks = [mark for name in noticed for mark in drawn[name]]
    if seen and rng.random() < IMAGINED:
        names = [name for name in CLASSES if name not in drawn]
        marks.append((*CLASSES[names[int(rng.integers(len(names)))]], seen[int(rng.integers(len(seen)))]))
    return [(label, number, _shaken(box, size, rng)) for label, number, box in marks]


def _shaken(box: Box, size: int, rng: np.random.Generator) -> Box:
    """The box as another hand draws it, inside the image."""
    moved = rng.normal(0, TREMOR, 4) * (box.width, box.height, box.width, box.height)
    corners = np.round(np.add((box.x, box.y, box.x + box.width, box.y + box.height), moved)).astype(int)
    left, top = np.clip(corners[:2], 0, size - 1).tolist()
    right, bottom = np.clip(corners[2:], (left + 1, top + 1), size).tolist()
    return Box(left, top, right - left, bottom - top)


def _lines(image: str, reader: str, marks: Sequence[Named]) -> Iterable[str]:
    if not marks:
        yield f"{image},{NO_FINDING[0]},{NO_FINDING[1]},{reader},,,,"
    for label, number, box in marks:
        sides = (box.x, box.y, box.x + box.width, box.y + box.height)
        yield ",".join([image, label, str(number), reader, *(f"{float(side)}" for side in sides)])
