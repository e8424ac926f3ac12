"""Writes phantoms as NIH ChestX-ray14: PNG images, the label table, box list and the official two lists of names.

The label file's header names hold unquoted commas and its lines end in one, as in the 2017 file; the box list has
nine names over rows of six values and calls infiltration `Infiltrate`. An image has a label when the finding is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Film, Mask, as_png
from pipeline.phantom.layouts.identity import distinct_numbers
from pipeline.phantom.layouts.marks import boxes_of
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.scene import Case

FOLDER = "nih-chestxray14"
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
RGBA_SHARE = 0.015
LABELS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltrate",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural thickening",
    "Hernia": "hernia",
}
# The findings of the box list, as it spells them.
BOXED = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltrate": "infiltrate",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
}


@dataclass(frozen=True)
class _Entry:
    """One image: its name, its patient, and the number of the study."""

    name: str
    patient: int
    visit: Visit


def write_cxr14(
    root: Path,
    splits: Mapping[str, Sequence[Visit]],
    size: int,
    rng: np.random.Generator,
    darkroom: Darkroom,
) -> pl.DataFrame:
    """Write the dataset.

    Args:
        root: its folder.
        splits: the studies of "train_val" and "test", of different patients.
        size: pixels of the images.
        rng: of ids and quirks.
        darkroom: draws the images.

    Returns:
        The drawn severities (image_id, finding, severity).
    """
    entries = _plan(splits, rng)
    rows = [entry for part in entries.values() for entry in part]
    coloured = set(rng.permutation(len(rows))[: max(1, round(RGBA_SHARE * len(rows)))].tolist())
    boxed = {entry.name for entry in entries["test"]}
    films = [_film(root, entry, size, index in coloured, entry.name in boxed) for index, entry in enumerate(rows)]
    masks = darkroom.develop(films)
    ordered = sorted(rows, key=lambda entry: entry.name)
    _write_lines(root / "Data_Entry_2017.csv", [HEADER, *(_line(entry, rng) for entry in ordered)])
    _write_lines(root / "BBox_List_2017.csv", [BOX_HEADER, *_box_lines(rows, masks)])
    for part, listed in entries.items():
        _write_lines(root / f"{part}_list.txt", [entry.name for entry in listed])
    return severity_table((entry.name, entry.visit.case) for entry in ordered)


def _plan(splits: Mapping[str, Sequence[Visit]], rng: np.random.Generator) -> dict[str, list[_Entry]]:
    """Number the patients of all splits from 1 to 30,805, as the original does, without a patient in two."""
    counts = {part: visits[-1].patient + 1 for part, visits in splits.items()}
    numbers = rng.permutation(distinct_numbers(rng, 1, 30_806, sum(counts.values()))).tolist()
    entries = {}
    for part, visits in splits.items():
        own, numbers = numbers[: counts[part]], numbers[counts[part] :]
        named = [(own[visit.patient], visit) for visit in visits]
        entries[part] = [_Entry(f"{patient:08d}_{visit.number:03d}.png", patient, visit) for patient, visit in named]
    return entries


def _film(root: Path, entry: _Entry, size: int, coloured: bool, boxed: bool) -> Film:
    save = as_png("RGBA" if coloured else "L")
    measured = frozenset(BOXED.values()) if boxed else frozenset[str]()
    return Film(root / "images_001" / "images" / entry.name, entry.visit.case, size, save, measured)


def finding_labels(case: Case) -> str:
    """The drawn findings' labels joined by "|", or "No Finding"."""
    drawn = {finding.name for finding in case.findings}
    return "|".join(label for label, name in LABELS.items() if name in drawn) or "No Finding"


def _line(entry: _Entry, rng: np.random.Generator) -> str:
    case = entry.visit.case
    width, height = (int(side) for side in rng.integers(1900, 3100, 2))
    spacing = float(rng.choice([0.139, 0.143, 0.168, 0.171, 0.194]))
    fields = (entry.name, finding_labels(case), entry.visit.number, entry.patient, case.age, case.sex, case.view)
    return ",".join(str(field) for field in (*fields, width, height, spacing, spacing, ""))


def _box_lines(entries: Sequence[_Entry], masks: Sequence[Mapping[str, Mask]]) -> list[str]:
    spelled = {name: label for label, name in BOXED.items()}
    lines = []
    for entry, drawn in zip(entries, masks, strict=True):
        for finding in entry.visit.case.findings:
            for box in boxes_of(drawn[finding.name], finding) if finding.name in drawn else []:
                corner = f"{float(box.x)},{float(box.y)},{float(box.width)},{float(box.height)}"
                lines.append(f"{entry.name},{spelled[finding.name]},{corner}")
    return lines


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
