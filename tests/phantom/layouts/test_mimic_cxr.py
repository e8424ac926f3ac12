import gzip
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline.phantom.cohort import sample_cohort
from pipeline.phantom.grammar import TrueTriplet
from pipeline.phantom.layouts import mimic_cxr
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.layouts.mimic_cxr import CHEXPERT, chexpert_labels

COLUMNS = [
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
    "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(phantoms: Path) -> Path:
    return phantoms / "mimic-cxr-jpg"


def table(root: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(gzip.decompress((root / f"mimic-cxr-2.0.0-{name}.csv.gz").read_bytes()))


def test_tables_have_the_published_columns(root: Path) -> None:
    assert table(root, "metadata").columns == COLUMNS
    assert table(root, "split").columns == ["dicom_id", "study_id", "subject_id", "split"]
    assert table(root, "chexpert").columns == ["subject_id", "study_id", *CHEXPERT]
    assert len(CHEXPERT) == 14
    assert list(CHEXPERT) == sorted(CHEXPERT)


def test_every_listed_image_and_report_exists_and_no_other(root: Path) -> None:
    metadata = table(root, "metadata")
    subject, study = metadata["subject_id"].to_list(), metadata["study_id"].to_list()
    folders = [f"files/p{str(p)[:2]}/p{p}/s{s}" for p, s in zip(subject, study, strict=True)]
    images = {f"{folder}/{name}.jpg" for folder, name in zip(folders, metadata["dicom_id"], strict=True)}
    reports = {f"{folder}.txt" for folder in folders}
    written = {str(path.relative_to(root)) for path in (root / "files").rglob("*") if path.is_file()}
    assert written == images | reports
    assert all(re.fullmatch(r"([0-9a-f]{8}-){4}[0-9a-f]{8}", name) for name in metadata["dicom_id"])
    assert all(re.fullmatch(r"1\d{7}", str(p)) for p in subject)
    with Image.open(root / sorted(images)[0]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (64, 64))


def test_patients_stay_in_one_split(root: Path) -> None:
    split = table(root, "split")
    assert set(split["split"]) == {"train", "validate", "test"}
    assert split.group_by("subject_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert split["dicom_id"].to_list() == table(root, "metadata")["dicom_id"].to_list()


def test_quirks(root: Path) -> None:
    metadata = table(root, "metadata")
    assert set(metadata["ViewPosition"]) <= {"PA", "AP", "LATERAL", "LL", None}
    assert metadata["study_id"].n_unique() < metadata.height
    assert metadata["subject_id"].n_unique() < metadata["study_id"].n_unique()


def test_chexpert_labels_follow_the_truth() -> None:
    said = [
        TrueTriplet("nodule", "left upper lung", "present", None),
        TrueTriplet("pneumonia", "lung", "uncertain", None),
        TrueTriplet("pneumothorax", "pleura", "absent", None),
        TrueTriplet("pneumonia", "lung", "absent", None),
    ]
    labels = chexpert_labels(said)
    assert labels["Lung Lesion"] == 1.0
    assert labels["Pneumonia"] == -1.0
    assert labels["Pneumothorax"] == 0.0
    assert labels["Edema"] is None
    assert labels["No Finding"] is None
    assert chexpert_labels(said[2:])["No Finding"] == 1.0
    assert chexpert_labels([TrueTriplet("picc", "superior vena cava", "present", None)])["No Finding"] == 1.0


def test_truth_names_the_published_studies(root: Path) -> None:
    truth = pl.read_parquet(root.parent / "truth/triplets.parquet")
    assert set(truth["study_id"].cast(pl.Int64)) <= set(table(root, "metadata")["study_id"])


def test_side_views_have_no_severities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimic_cxr, "WITH_LATERAL", 0.6)
    visits = sample_cohort(np.random.default_rng(0), 12)
    with Darkroom(1) as darkroom:
        _, severities = mimic_cxr.write_mimic_cxr(tmp_path, visits, 64, np.random.default_rng(0), darkroom)
    views = dict(table(tmp_path, "metadata").select("dicom_id", "ViewPosition").iter_rows())
    assert {"LATERAL", "LL"} & set(views.values())
    assert not {"LATERAL", "LL"} & {views[image] for image in severities["image_id"]}
    assert severities["image_id"].n_unique() >= sum(bool(visit.case.findings) for visit in visits)
