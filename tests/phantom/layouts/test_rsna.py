import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit

from pipeline.phantom.cohort import Visit, sample_cohort
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.layouts.rsna import write_rsna
from pipeline.phantom.render import render

SIZE = 96


@dataclass(frozen=True)
class Written:
    root: Path
    visits: list[Visit]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("rsna")
    rng = np.random.default_rng(1)
    visits = sample_cohort(rng, 24, wanted=["pneumonia"], share=0.5, returning=0)
    with Darkroom(1) as darkroom:
        write_rsna(root, visits, SIZE, rng, darkroom)
    return Written(root, visits)


def rows(written: Written, name: str) -> list[dict[str, str]]:
    with (written.root / name).open() as file:
        return list(csv.DictReader(file))


def test_labels_and_boxes(written: Written) -> None:
    labels = rows(written, "stage_2_train_labels.csv")
    assert list(labels[0]) == ["patientId", "x", "y", "width", "height", "Target"]
    patients = list(dict.fromkeys(row["patientId"] for row in labels))
    for patient, visit in zip(patients, written.visits, strict=True):
        own = [row for row in labels if row["patientId"] == patient]
        masks = [
            m for f, m in zip(visit.case.findings, render(visit.case, SIZE).masks, strict=True) if f.name == "pneumonia"
        ]
        assert {row["Target"] for row in own} == {"1" if masks else "0"}
        if not masks:
            assert [list(row.values())[1:5] for row in own] == [[""] * 4]
            continue
        covered = np.zeros((SIZE, SIZE), bool)
        for row in own:
            x, y, width, height = (int(float(row[side])) for side in ("x", "y", "width", "height"))
            covered[y : y + height, x : x + width] = True
        assert covered[masks[0]].all()


def test_classes_repeat_per_row(written: Written) -> None:
    labels, classes = rows(written, "stage_2_train_labels.csv"), rows(written, "stage_2_detailed_class_info.csv")
    assert list(classes[0]) == ["patientId", "class"]
    assert [row["patientId"] for row in classes] == [row["patientId"] for row in labels]
    assert {row["class"] for row in classes} == {"Lung Opacity", "Normal", "No Lung Opacity / Not Normal"}
    for label, kind in zip(labels, classes, strict=True):
        assert (label["Target"] == "1") == (kind["class"] == "Lung Opacity")


def test_dicom_holds_the_drawing(written: Written) -> None:
    patients = list(dict.fromkeys(row["patientId"] for row in rows(written, "stage_2_train_labels.csv")))
    assert {path.stem for path in (written.root / "stage_2_train_images").iterdir()} == set(patients)
    for patient, visit in zip(patients, written.visits, strict=True):
        header = pydicom.dcmread(written.root / "stage_2_train_images" / f"{patient}.dcm")
        assert header.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
        assert header.PatientID == patient
        assert (header.PhotometricInterpretation, header.BitsStored) == ("MONOCHROME2", 8)
        assert not any("Date" in name or "Time" in name for name in header.dir())
        error = np.abs(header.pixel_array.astype(int) - render(visit.case, SIZE).image.astype(int))
        assert error.mean() < 3
        assert error.max() < 40
