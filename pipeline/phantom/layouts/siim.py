"""Writes phantoms as SIIM-ACR Pneumothorax: nested DICOM folders and train-rle.csv with relative run lengths.

The header has a blank before its second name, "no mask" is written " -1" or "-1", and some images have several rows
whose union is the mask.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Film, Mask, as_dicom
from pipeline.phantom.layouts.identity import uid
from pipeline.phantom.layouts.marks import relative_code, runs_of
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.scene import Case

FOLDER = "siim-acr"
TARGET = "pneumothorax"
IMAGES = "dicom-images-train"
HEADER = "ImageId, EncodedPixels"
SEVERAL_ROWS = 0.2


def write_siim(
    root: Path, visits: Sequence[Visit], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> pl.DataFrame:
    """Write the dataset; one image per patient.

    Returns:
        The drawn severities (image_id, finding, severity).
    """
    cases = {uid(rng, 4): visit.case for visit in visits}
    films = [_film(root, image, case, size, rng) for image, case in cases.items()]
    masks = [drawn.get(TARGET) for drawn in darkroom.develop(films)]
    lines = [f"{image},{code}" for image, mask in zip(cases, masks, strict=True) for code in _codes(mask, rng)]
    (root / "train-rle.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return severity_table(cases.items())


def _codes(mask: Mask | None, rng: np.random.Generator) -> list[str]:
    """The rows of one image: none, one, or two that share the mask's runs between them."""
    runs = runs_of(mask) if mask is not None else []
    if not runs:
        return [" -1" if rng.random() < 0.7 else "-1"]
    if len(runs) > 1 and rng.random() < SEVERAL_ROWS:
        cut = int(rng.integers(1, len(runs)))
        return [f" {relative_code(runs[:cut])}", f" {relative_code(runs[cut:])}"]
    return [f" {relative_code(runs)}"]


def _film(root: Path, image: str, case: Case, size: int, rng: np.random.Generator) -> Film:
    study, series = uid(rng, 2), uid(rng, 3)
    tags = {
        "PatientID": image,
        "PatientSex": case.sex,
        "PatientAge": f"{case.age:03d}Y",
        "ViewPosition": case.view,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "PixelSpacing": [0.143, 0.143],
    }
    path = root / IMAGES / study / series / f"{image}.dcm"
    return Film(path, case, size, as_dicom(image, tags), frozenset({TARGET}))
