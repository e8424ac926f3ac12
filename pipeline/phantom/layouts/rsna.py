"""Writes phantoms as the RSNA Pneumonia Detection Challenge, stage 2: JPEG-compressed DICOM, boxes and class names.

A positive image has one row per box; each phantom with pneumonia is positive, any other disease is
"No Lung Opacity / Not Normal".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Film, Mask, as_dicom
from pipeline.phantom.layouts.identity import uid, uuid
from pipeline.phantom.layouts.marks import boxes_of
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.scene import Case

FOLDER = "rsna-pneumonia"
TARGET = "pneumonia"
IMAGES = "stage_2_train_images"


def write_rsna(
    root: Path, visits: Sequence[Visit], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> pl.DataFrame:
    """Write the dataset; one image per patient.

    Returns:
        The drawn severities (image_id, finding, severity).
    """
    cases = {uuid(rng): visit.case for visit in visits}
    films = [_film(root, patient, case, size, rng) for patient, case in cases.items()]
    boxes = [_boxes(case, drawn) for case, drawn in zip(cases.values(), darkroom.develop(films), strict=True)]
    lines = ["patientId,x,y,width,height,Target"]
    classes = ["patientId,class"]
    for (patient, case), found in zip(cases.items(), boxes, strict=True):
        lines += [f"{patient},{x},{y},{width},{height},1" for x, y, width, height in found] or [f"{patient},,,,,0"]
        classes += [f"{patient},{_class_of(case)}"] * max(1, len(found))
    (root / "stage_2_train_labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join(classes) + "\n", encoding="utf-8")
    return severity_table(cases.items())


def _boxes(case: Case, drawn: Mapping[str, Mask]) -> list[tuple[float, float, float, float]]:
    found = [box for f in case.findings if f.name in drawn for box in boxes_of(drawn[f.name], f)]
    return [(float(box.x), float(box.y), float(box.width), float(box.height)) for box in found]


def _class_of(case: Case) -> str:
    if any(finding.name == TARGET for finding in case.findings):
        return "Lung Opacity"
    return "No Lung Opacity / Not Normal" if case.diseases else "Normal"


def _film(root: Path, patient: str, case: Case, size: int, rng: np.random.Generator) -> Film:
    image = uid(rng, 4)
    tags = {
        "PatientID": patient,
        "PatientName": patient,
        "PatientSex": case.sex,
        "PatientAge": f"{case.age:03d}Y",
        "ViewPosition": case.view,
        "StudyInstanceUID": uid(rng, 2),
        "SeriesInstanceUID": uid(rng, 3),
        "SeriesDescription": f"view: {case.view}",
        "PixelSpacing": [0.143, 0.143],
    }
    return Film(root / IMAGES / f"{patient}.dcm", case, size, as_dicom(image, tags), frozenset({TARGET}))
