from pathlib import Path

import polars as pl
import pytest

from pipeline.corpora import CORPORA, Corpus
from pipeline.errors import DatasetError
from pipeline.schemas import IMAGES, STUDIES, write_table

SECRET = "Meier, Anna"


def read(
    root: Path, *rows: str, header: str = "image,report,patient", views: tuple[str, ...] = (), missing: str = ""
) -> Corpus:
    for name in {row.split(",")[0] for row in rows if not row.startswith(("/", ","))} - {missing}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image")
    (root / "export.csv").write_text("\n".join([header, *rows]) + "\n")
    return CORPORA["csv"].read(root, labels="export.csv", views=views, sections=("findings", "impression"), seed=0)


def test_a_row_is_a_study_and_the_rule_splits_patients(tmp_path: Path) -> None:
    rows = [f'scans/{n}.dcm,"Clear, {n}.",{n // 3}' for n in range(90)]
    corpus = read(tmp_path, *rows)
    assert corpus.studies.height == corpus.images.height == 90
    assert corpus.images["study_id"].equals(corpus.images["image_id"].alias("study_id"))
    assert corpus.studies.group_by("patient_id").n_unique()["split"].max() == 1
    assert set(corpus.studies["split"]) == {"train", "validate", "test"}
    assert "SHA-256 of '0:<patient>'" in corpus.split_rule
    write_table(corpus.studies, tmp_path / "s.parquet", STUDIES)
    write_table(corpus.images, tmp_path / "i.parquet", IMAGES)


def test_images_of_a_study_share_its_report_and_every_drop_is_counted(tmp_path: Path) -> None:
    header = "image,study,report,patient,view,split"
    rows = [
        "a.png,s1,FINDINGS: Clear. IMPRESSION: Normal.,7,PA,train",
        "b.png,s1,,7,LATERAL,train",
        "c.png,s2,Effusion.,8,AP,test",
        "d.png,s2,Effusion.,8,,test",
        "e.png,s3,,9,PA,validate",
        "f.png,s4,INDICATION: Pain.,9,PA,validate",
        "gone.png,s5,Clear.,9,PA,validate",
    ]
    corpus = read(tmp_path, *rows, header=header, missing="gone.png")
    assert corpus.images["image_id"].to_list() == ["a.png", "b.png", "c.png", "d.png"]
    assert corpus.studies["report"].to_list() == ["Clear.\n\nNormal.", "Effusion."]
    assert corpus.split_rule == "split column of the table"
    dropped = {"images_missing": 1, "studies_without_report": 1, "studies_without_section": 1, "images_without_view": 1}
    assert {name: corpus.counts[name] for name in dropped} == dropped
    frontal = read(tmp_path, *rows, header=header, views=("PA", "AP"), missing="gone.png")
    assert frontal.images["image_id"].to_list() == ["a.png", "c.png"]
    assert frontal.counts["images_of_other_views"] == 1
    with pytest.raises(DatasetError, match=r"no image with view 'LL': set corpus.views to some of AP, LATERAL, PA"):
        read(tmp_path, *rows, header=header, views=("LL",), missing="gone.png")


def test_a_table_in_a_folder_below_keeps_paths_relative_to_itself(tmp_path: Path) -> None:
    read(tmp_path / "pacs", "scans/a.png,Clear.,1")
    corpus = CORPORA["csv"].read(tmp_path, labels="pacs/export.csv", views=(), sections=("findings",), seed=0)
    assert corpus.images["path"].to_list() == ["pacs/scans/a.png"]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            "image,report,patient,split",
            [f'a.png,Clear.,"{SECRET}",train', "b.png,Clear.,8,test", f'c.png,Clear.,"{SECRET}",test'],
            r"export\.csv, line 2, 4: a patient is in two splits",
        ),
        ("image,report,patient,split", ["a.png,Clear.,1,", "b.png,Clear.,2,test"], "line 2: split is none of train"),
        (
            "image,report,patient,split",
            [f'a.png,Clear.,1,"{SECRET}"'],
            "line 2: split is none of train, validate, test",
        ),
        ("image,report,patient,view", [f'a.png,Clear.,1,"{SECRET} has pneumonia"'], "view has more than 16 letters"),
        ("image,report,patient", ["a.png,Clear.,1", "a.png,Clear.,1"], "line 2, 3: an image is listed twice"),
        ("image,report,patient", ["a.png,Clear.,1", "./a.png,Clear.,2"], "line 2, 3: an image is listed twice"),
        ("image,report,patient", ["b.png,Clear.,1", "sub\\a.png,Clear.,2"], "line 3: image has a backslash where"),
        ("image,report,patient,report", ["a.png,Clear.,1,Effusion."], "has the column 'report' twice in its first"),
        ("image,report,patient", ["a.png,Clear.,"], "line 2: patient is empty"),
        ("image,report,patient", [",Clear.,1"], "line 2: image is empty"),
        ("image,report,patient", ["/pacs/a.png,Clear.,1"], "line 2: image is no path relative to the table"),
        ("image,report,patient,study", ["a.png,Clear.,1,", "b.png,Clear.,1,s"], "line 2: study is empty"),
        (
            "image,report,patient,study",
            [f'a.png,Clear.,"{SECRET}",s', "b.png,Clear.,1,s"],
            "line 2, 3: a study has two patients",
        ),
        ("image,report,patient,study", ["a.png,Clear.,1,s", "b.png,Sick.,1,s"], "line 2, 3: a study has two reports"),
        ("image;report;patient", ["a.png;Clear.;1"], "lacks the column 'image' in its first line, .* by commas"),
        ("image,report,patient", ["a.png,Clear, dry lungs.,1"], "line 2: 4 fields instead of 3"),
        ("image,report,patient", [f'a.png,,"{SECRET}"'], "names no image with a report"),
    ],
)
def test_bad_tables_are_named_without_a_patient(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, *rows, header=header)
    assert "Meier" not in str(caught.value)


def test_many_lines_are_cut_short(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, \.\.\.: patient is empty"):
        read(tmp_path, *(f"{n}.png,Clear.," for n in range(30)))


def test_odd_paths_are_missing_images(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    rows = ["a.png,Clear.,1", "folder,Clear.,2", "a\0b.png,Clear.,3", f"{'x' * 300},Clear.,4"]
    (tmp_path / "a.png").write_bytes(b"image")
    (tmp_path / "export.csv").write_text("\n".join(["image,report,patient", *rows]) + "\n")
    corpus = CORPORA["csv"].read(tmp_path, labels="export.csv", views=(), sections=("findings",), seed=0)
    assert (corpus.counts["images_missing"], corpus.images["image_id"].to_list()) == (3, ["a.png"])
    assert corpus.images.select(pl.col("bytes").sum()).item() == 5
