"""Writes phantoms as COVIDx CXR-4: lists split by blanks, images of many sizes and kinds in one folder per split.

Positive cases show the disease that the pre-training corpus never does; some file names hold blanks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.layouts.darkroom import Darkroom, Film, Save, as_jpeg, as_png
from pipeline.phantom.layouts.identity import distinct_numbers, hexadecimal, uuid
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.scene import UNSEEN, Case

FOLDER = "covidx-cxr4"
SCALES = (0.75, 0.9, 1.0, 1.0, 1.2)
SMALLEST = 64  # pixels that a chest can still be drawn on
POSITIVE_SOURCES = ("cohen", "actmed", "sirm", "ricord", "bimcv", "stonybrook")
NEGATIVE_SOURCES = ("rsna", "fig1", "bimcv")


@dataclass(frozen=True)
class _Entry:
    """One image and its line in the list."""

    patient: str
    name: str
    source: str
    case: Case

    @property
    def line(self) -> str:
        """patientid filename label source."""
        return f"{self.patient} {self.name} {'positive' if _shows_unseen(self.case) else 'negative'} {self.source}"


def write_covidx(
    root: Path, splits: Mapping[str, Sequence[Visit]], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> pl.DataFrame:
    """Write the dataset; one image per patient.

    Args:
        root: its folder.
        splits: the studies of "train", "val" and "test".
        size: pixels of an image at scale 1; images are 0.75 to 1.2 times as large, and cropped.
        rng: of names and quirks.
        darkroom: draws the images.

    Returns:
        The drawn severities (image_id = split/filename, finding, severity).
    """
    numbers = rng.permutation(distinct_numbers(rng, 1, 50_000, sum(map(len, splits.values())))).tolist()
    entries = {part: [_entry(visit.case, numbers.pop(), rng) for visit in visits] for part, visits in splits.items()}
    placed = [(part, entry) for part, listed in entries.items() for entry in listed]
    darkroom.develop([_film(root / part, entry, size, rng) for part, entry in placed])
    for part, listed in entries.items():
        (root / f"{part}.txt").write_text("".join(f"{entry.line}\n" for entry in listed), encoding="utf-8")
    return severity_table((f"{part}/{entry.name}", entry.case) for part, entry in placed)


def _shows_unseen(case: Case) -> bool:
    return any(finding.name == UNSEEN for finding in case.findings)


def _entry(case: Case, number: int, rng: np.random.Generator) -> _Entry:
    kind = int(rng.integers(4))
    if _shows_unseen(case):
        names = (f"COVID ({number}).png", f"covid-19-{number}.jpg", f"sub-S{number:05d}.png", f"{uuid(rng)}.jpeg")
        return _Entry(f"{number}", names[kind], str(rng.choice(POSITIVE_SOURCES)), case)
    names = (f"{uuid(rng)}.png", f"Normal ({number}).png", f"pneumonia {number}.jpeg", f"{hexadecimal(rng, 12)}.jpg")
    return _Entry(uuid(rng), names[kind], str(rng.choice(NEGATIVE_SOURCES)), case)


def _film(folder: Path, entry: _Entry, size: int, rng: np.random.Generator) -> Film:
    drawn = max(SMALLEST, round(size * float(rng.choice(SCALES))))
    left, top, right, bottom = (int(edge) for edge in rng.integers(0, max(1, drawn // 16), 4))
    return Film(folder / entry.name, entry.case, drawn, _saver(entry.name, rng), crop=(left, top, right, bottom))


def _saver(name: str, rng: np.random.Generator) -> Save:
    mode = "RGB" if rng.random() < 0.3 else "L"
    return as_png(mode) if name.endswith(".png") else as_jpeg(int(rng.integers(80, 96)), mode)
