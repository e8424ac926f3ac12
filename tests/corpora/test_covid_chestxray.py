from pathlib import Path

import pytest

from pipeline.corpora import CORPORA, Corpus
from pipeline.errors import DatasetError
from pipeline.splits import SPLITS

HEADER = "patientid,offset,sex,age,finding,view,modality,folder,filename,clinical_notes,other_notes,"
VIEWS = ("PA", "AP", "AP Supine", "AP Erect")


def row(
    patient: str, file: str, notes: str = "Clear.", view: str = "PA", modality: str = "X-ray", sex: str = "F"
) -> str:
    return f'{patient},0,{sex},60,COVID-19,{view},{modality},images,{file},"{notes}",,'


def read(root: Path, *rows: str, missing: tuple[str, ...] = (), views: tuple[str, ...] = VIEWS) -> Corpus:
    (root / "images").mkdir(exist_ok=True)
    for line in rows:
        name = line.split(",")[8]
        if name and name not in missing:
            (root / "images" / name).write_bytes(b"image")
    (root / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return CORPORA["covid_chestxray"].read(root, labels="metadata.csv", views=views, sections=(), seed=0)


def test_notes_are_reports_and_every_drop_is_counted(tmp_path: Path) -> None:
    corpus = read(
        tmp_path,
        row("2", "a.jpg", "Opacity,\nleft."),
        row("2", "b.png", "Opacity,\nleft."),
        row("2", "c.jpeg", "Improved."),
        row("3", "d.jpg", ""),
        row("4", "e.jpg", view="L"),
        row("5", "f.jpg", modality="CT", view="Axial"),
        row("6", "g.jpg", view="AP Supine", sex=""),
        row("7", "h.jpg"),
        missing=("h.jpg",),
    )
    assert corpus.images["image_id"].to_list() == ["a.jpg", "b.png", "c.jpeg", "g.jpg"]
    assert corpus.images["study_id"].to_list() == ["2-2", "2-2", "2-1", "6-1"]
    assert corpus.images["path"][0] == "images/a.jpg"
    assert dict(corpus.studies.select("study_id", "report").iter_rows())["2-2"] == "Opacity,\nleft."
    left_out = {"images_not_xray": 1, "images_of_other_views": 1, "images_missing": 1, "images_without_notes": 1}
    assert {name: corpus.counts[name] for name in left_out} == left_out
    assert corpus.counts["studies"] == 3


def test_one_person_under_two_numbers_is_one_patient(tmp_path: Path) -> None:
    """The dataset lists an image under two numbers, and has numbers that differ in a final letter."""
    rows = [row("285", "a.jpg"), row("285", "b.jpg"), row("339", "b.jpg"), row("339", "c.jpg")]
    corpus = read(tmp_path, *rows, row("350a", "d.jpg"), row("350b", "e.jpg"), row("9", "f.jpg"))
    patients = dict(corpus.images.select("image_id", "patient_id").iter_rows())
    assert patients == dict(zip((f"{n}.jpg" for n in "abcdef"), ["285"] * 3 + ["350"] * 2 + ["9"], strict=True))
    assert corpus.counts["rows_of_repeated_images"] == 1


def test_splits_are_by_patient(tmp_path: Path) -> None:
    rows = [row(str(n // 3), f"{n}.jpg", f"Note {n}.") for n in range(120)]
    studies = read(tmp_path, *rows).studies
    assert set(studies["split"]) == set(SPLITS)
    assert studies.group_by("patient_id").n_unique()["split"].max() == 1


def test_bad_values_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"metadata.csv, line 2: sex is 'X' instead of F, M or nothing"):
        read(tmp_path, row("1", "a.jpg", sex="X"))
    with pytest.raises(DatasetError, match="line 3: filename is empty"):
        read(tmp_path, row("1", "a.jpg"), row("2", ""))
    with pytest.raises(DatasetError, match="no frontal view 'L'"):
        read(tmp_path, row("1", "a.jpg"), views=("L",))
    with pytest.raises(DatasetError, match="no frontal X-ray with a file and notes"):
        read(tmp_path, row("1", "a.jpg", notes=""))
    (tmp_path / "metadata.csv").write_text(HEADER.replace("clinical_notes", "notes") + "\n")
    with pytest.raises(DatasetError, match="lacks the column 'clinical_notes'"):
        CORPORA["covid_chestxray"].read(tmp_path, labels="metadata.csv", views=VIEWS, sections=(), seed=0)
