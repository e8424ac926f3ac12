"""Writes phantoms as MIMIC-CXR-JPG 2.x with its reports: csv.gz tables, the `files/p10/...` tree, one report per study.

As in the original, some images lack a ViewPosition, some studies have a second image or a side view, and the
CheXpert labels follow the report. Returns the reports' true triplets, which no real dataset has.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.phantom.cohort import Visit
from pipeline.phantom.grammar import TrueTriplet
from pipeline.phantom.layouts.darkroom import Darkroom, Film, as_jpeg
from pipeline.phantom.layouts.identity import dicom_id, distinct_numbers
from pipeline.phantom.layouts.severity import severity_table
from pipeline.phantom.reports import Dictation, dictate
from pipeline.phantom.scene import Case

FOLDER = "mimic-cxr-jpg"
BLANK_VIEW = 0.04
SECOND_FRONTAL = 0.04
WITH_LATERAL = 0.04
SPLITS = {"train": 0.8, "validate": 0.06, "test": 0.14}  # the original tests on 1.4 %: too few here to retrieve among
VIEW_MEANINGS = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral", "LL": "left lateral"}
PROCEDURES = {"PA": "CHEST (PA AND LAT)", "AP": "CHEST (PORTABLE AP)"}

# The labeller's columns and the canonical pathologies that set them.
CHEXPERT = {
    "Atelectasis": {"atelectasis", "collapse"},
    "Cardiomegaly": {"cardiomegaly"},
    "Consolidation": {"consolidation"},
    "Edema": {"edema", "heart failure", "vascular congestion"},
    "Enlarged Cardiomediastinum": {"mediastinal widening"},
    "Fracture": {"fracture", "compression fracture"},
    "Lung Lesion": {"nodule", "mass", "cavity", "granuloma", "lesion"},
    "Lung Opacity": {"opacity", "infiltrate", "ground-glass opacity", "interstitial opacity"},
    "No Finding": set[str](),
    "Pleural Effusion": {"pleural effusion", "blunting"},
    "Pleural Other": {"pleural thickening", "pleural plaque", "fibrosis"},
    "Pneumonia": {"pneumonia"},
    "Pneumothorax": {"pneumothorax"},
    "Support Devices": {
        "endotracheal tube",
        "enteric tube",
        "central venous catheter",
        "picc",
        "pacemaker",
        "chest tube",
    },
}


@dataclass(frozen=True)
class _Shot:
    """One image of a study."""

    dicom_id: str
    case: Case
    view: str

    @property
    def lateral(self) -> bool:
        """Whether it is a side view."""
        return self.view != self.case.view


@dataclass(frozen=True)
class _Study:
    """One study: its ids, images and report."""

    subject_id: int
    study_id: int
    split: str
    date: int
    time: float
    shots: tuple[_Shot, ...]
    dictation: Dictation

    @property
    def folder(self) -> str:
        """Where its images lie; the report has the same name with .txt."""
        return f"files/p{self.subject_id // 10**6}/p{self.subject_id}/s{self.study_id}"


def write_mimic_cxr(
    root: Path, visits: Sequence[Visit], size: int, rng: np.random.Generator, darkroom: Darkroom
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the dataset.

    Args:
        root: its folder.
        visits: the studies, patient by patient.
        size: pixels of the images.
        rng: of ids, dates, wording and quirks.
        darkroom: draws the images.

    Returns:
        True triplets (study_id, pathology, anatomy, existence, severity) and the drawn severities
        (image_id, finding, severity).
    """
    studies: list[_Study] = []

    def films() -> Iterator[Film]:
        for study in _plan(visits, rng):
            studies.append(study)
            yield from (_film(root, study, shot, size) for shot in study.shots)

    darkroom.develop(films())  # the first are drawn while the last are planned and dictated
    for study in studies:
        report = root / f"{study.folder}.txt"
        report.write_text(study.dictation.text, encoding="utf-8")
    _write_tables(root, studies, size, rng)
    return _triplets(studies), severity_table(_frontals(studies))


def _plan(visits: Sequence[Visit], rng: np.random.Generator) -> Iterator[_Study]:
    """Give every visit its ids, date, images and report."""
    patients = visits[-1].patient + 1
    subjects = distinct_numbers(rng, 10_000_000, 20_000_000, patients)
    splits = rng.permutation(np.repeat(list(SPLITS), _shares(patients)))
    numbers = rng.permutation(distinct_numbers(rng, 50_000_000, 60_000_000, len(visits)))
    years = rng.integers(2110, 2200, patients)
    earlier = [visits[index - 1].case if visit.number else None for index, visit in enumerate(visits)]
    for visit, before, number in zip(visits, earlier, numbers, strict=True):
        date = (int(years[visit.patient]) + visit.number) * 10_000 + int(rng.integers(1, 13)) * 100 + 1
        yield _Study(
            subject_id=subjects[visit.patient],
            study_id=int(number),
            split=str(splits[visit.patient]),
            date=date + int(rng.integers(28)),
            time=round(float(rng.uniform(0, 235959)), 3),
            shots=_shots(visit.case, rng),
            dictation=dictate(visit.case, rng, before),
        )


def _shares(patients: int) -> list[int]:
    """Patients per split; the small splits have one each when there are enough."""
    small = [max(1, round(share * patients)) if patients > 2 else 0 for share in list(SPLITS.values())[1:]]
    return [patients - sum(small), *small]


def _shots(case: Case, rng: np.random.Generator) -> tuple[_Shot, ...]:
    """A frontal film, at times a second exposure of it or a side view."""
    shots = [_Shot(dicom_id(rng), case, case.view)]
    if rng.random() < SECOND_FRONTAL:
        again = replace(case, acquisition=replace(case.acquisition, seed=int(rng.integers(2**31)), exposure=0.0))
        shots.append(_Shot(dicom_id(rng), again, case.view))
    if case.view == "PA" and rng.random() < WITH_LATERAL / 0.6:
        shots.append(_Shot(dicom_id(rng), case, str(rng.choice(["LATERAL", "LL"]))))
    return tuple(shots)


def _film(root: Path, study: _Study, shot: _Shot, size: int) -> Film:
    path = root / study.folder / f"{shot.dicom_id}.jpg"
    return Film(path, shot.case, size, as_jpeg(), lateral=shot.lateral)


def _frontals(studies: Iterable[_Study]) -> Iterator[tuple[str, Case]]:
    """The images that show findings: a side view shows none."""
    return ((shot.dicom_id, shot.case) for study in studies for shot in study.shots if not shot.lateral)


def _write_tables(root: Path, studies: Sequence[_Study], size: int, rng: np.random.Generator) -> None:
    rows = [(study, shot) for study in studies for shot in study.shots]
    ids = [{"dicom_id": s.dicom_id, "subject_id": t.subject_id, "study_id": t.study_id} for t, s in rows]
    blank = rng.random(len(rows)) < BLANK_VIEW
    metadata = [
        names | _describe(study, shot, size, bool(hidden))
        for names, (study, shot), hidden in zip(ids, rows, blank, strict=True)
    ]
    split = [
        {"dicom_id": s.dicom_id, "study_id": t.study_id, "subject_id": t.subject_id, "split": t.split} for t, s in rows
    ]
    labels = [
        {"subject_id": t.subject_id, "study_id": t.study_id} | chexpert_labels(t.dictation.triplets) for t in studies
    ]
    for name, records in (("metadata", metadata), ("split", split), ("chexpert", labels)):
        frame = pl.DataFrame(records, infer_schema_length=None)
        _write_gzip(root / f"mimic-cxr-2.0.0-{name}.csv.gz", frame)


def _describe(study: _Study, shot: _Shot, size: int, hidden: bool) -> dict[str, str | int | float | None]:
    return {
        "PerformedProcedureStepDescription": PROCEDURES[shot.case.view],
        "ViewPosition": None if hidden else shot.view,
        "Rows": size,
        "Columns": size,
        "StudyDate": study.date,
        "StudyTime": study.time,
        "ProcedureCodeSequence_CodeMeaning": PROCEDURES[shot.case.view],
        "ViewCodeSequence_CodeMeaning": None if hidden else VIEW_MEANINGS[shot.view],
        "PatientOrientationCodeSequence_CodeMeaning": "Erect" if shot.case.view == "PA" else None,
    }


def chexpert_labels(triplets: Iterable[TrueTriplet]) -> dict[str, float | None]:
    """1 stated, 0 denied, -1 in doubt, None unmentioned; "No Finding" when nothing else is stated or in doubt."""
    said: dict[str, set[str]] = {column: set() for column in CHEXPERT}
    for triplet in triplets:
        for column, pathologies in CHEXPERT.items():
            if triplet.pathology in pathologies:
                said[column].add(triplet.existence)
    values = {"present": 1.0, "uncertain": -1.0, "absent": 0.0}
    labels = {column: next((v for key, v in values.items() if key in seen), None) for column, seen in said.items()}
    diseased = any(labels[column] in (1.0, -1.0) for column in CHEXPERT if column != "Support Devices")
    return labels | {"No Finding": None if diseased else 1.0}


def _write_gzip(path: Path, frame: pl.DataFrame) -> None:
    """Compress without a time stamp or file name, so that the same rows give the same bytes."""
    buffer = BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed:
        packed.write(frame.write_csv().encode())
    path.write_bytes(buffer.getvalue())


def _triplets(studies: Sequence[_Study]) -> pl.DataFrame:
    rows = [
        (str(study.study_id), t.pathology, t.anatomy, t.existence, t.severity)
        for study in studies
        for t in study.dictation.triplets
    ]
    columns = ("study_id", "pathology", "anatomy", "existence", "severity")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
