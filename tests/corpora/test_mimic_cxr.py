import gzip
import hashlib
from functools import partial
from pathlib import Path

import pytest

from pipeline.corpora import CORPORA, Corpus
from pipeline.errors import DatasetError
from pipeline.schemas import IMAGES, STUDIES, read_table, write_table

TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
)
REPORT = "                FINAL REPORT\n FINDINGS:  The {} lungs are clear.\n\n IMPRESSION:  No acute process.\n"


def dicom_id(name: str) -> str:
    digits = hashlib.sha256(name.encode()).hexdigest()
    return "-".join(digits[at : at + 8] for at in range(0, 40, 8))


class Tree:
    """A corpus in the original layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.metadata, self.split = [METADATA], ["dicom_id,study_id,subject_id,split"]

    def image(self, name: str, subject: int, study: int, view: str, split: str, content: bytes | None = b"jpeg") -> str:
        identifier = dicom_id(name)
        self.metadata.append(f'{identifier},{subject},{study},"CHEST (PA, LAT)",{view},3056,2544,21800506,213014.531')
        self.split.append(f"{identifier},{study},{subject},{split}")
        if content is not None:
            path = self.root / f"files/p{str(subject)[:2]}/p{subject}/s{study}/{identifier}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return identifier

    def report(self, subject: int, study: int, text: str) -> None:
        path = self.root / f"files/p{str(subject)[:2]}/p{subject}/s{study}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, views: tuple[str, ...] = ("PA", "AP")) -> Corpus:
        for name, lines in (("metadata", self.metadata), ("split", self.split)):
            (self.root / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
        return CORPORA["mimic_cxr"].read(
            self.root, labels=TABLE, views=views, sections=("findings", "impression"), seed=0
        )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.image("a", 10000032, 50414267, "PA", "train", b"12345")
    tree.image("b", 10000032, 50414267, "LATERAL", "train")
    tree.image("c", 10000032, 50414267, "AP", "train")
    tree.report(10000032, 50414267, REPORT.format("left"))
    tree.image("d", 11000012, 50000001, "PA", "validate")
    tree.report(11000012, 50000001, "FINAL REPORT\n IMPRESSION:  Clear.\n")
    return tree


def test_rows_counts_and_files_in_place(tree: Tree, tmp_path: Path) -> None:
    tree.image("e", 19999999, 59999999, "", "test")  # ViewPosition blank
    tree.image("f", 19999999, 59999998, "PA", "test", content=None)  # not downloaded
    tree.image("g", 19999999, 59999997, "PA", "test")  # no report
    tree.image("h", 19999999, 59999996, "PA", "test")
    tree.report(19999999, 59999996, "FINAL REPORT\n INDICATION: cough\n")
    corpus = tree.read()
    assert corpus.images["image_id"].to_list() == [*sorted([dicom_id("a"), dicom_id("c")]), dicom_id("d")]
    by_id = {row["image_id"]: row for row in corpus.images.iter_rows(named=True)}
    first = by_id[dicom_id("a")]
    assert first["path"] == f"files/p10/p10000032/s50414267/{dicom_id('a')}.jpg"
    assert (first["bytes"], first["view"], first["study_id"], first["patient_id"]) == (5, "PA", "50414267", "10000032")
    assert corpus.studies["sections"].to_list() == ["findings+impression", "impression"]
    assert corpus.studies["report"].to_list() == ["The left lungs are clear.\n\nNo acute process.", "Clear."]
    expected = {"images_published": 8, "images_without_view": 1, "images_of_other_views": 1, "images_missing": 1}
    expected |= {"studies_without_report": 1, "studies_without_section": 1, "images": 3, "studies": 2, "patients": 2}
    expected |= {"studies_train": 1, "studies_validate": 1, "studies_test": 0}
    assert corpus.counts == expected
    for table, schema in ((corpus.images, IMAGES), (corpus.studies, STUDIES)):
        write_table(table, tmp_path / "t.parquet", schema)
        assert read_table(tmp_path / "t.parquet", schema).equals(table.select(schema.names))


def test_wanted_views_decide(tree: Tree) -> None:
    assert tree.read(("LATERAL",)).images["image_id"].to_list() == [dicom_id("b")]
    with pytest.raises(DatasetError, match=r"view 'SKYLINE': set corpus.views to some of AP, LATERAL, PA"):
        tree.read(("PA", "SKYLINE"))


def test_a_subject_is_in_one_split(tree: Tree) -> None:
    studies = tree.read().studies
    assert studies.group_by("patient_id").n_unique()["split"].max() == 1


def test_unknown_split_names_its_line(tree: Tree) -> None:
    tree.split[2] = tree.split[2].replace("train", "dev")
    with pytest.raises(
        DatasetError, match=r"split\.csv\.gz, line 3: split is 'dev' instead of train, validate or test"
    ):
        tree.read()


def test_an_image_without_split_is_an_error(tree: Tree) -> None:
    tree.split.pop()
    with pytest.raises(DatasetError, match=r"metadata\.csv\.gz, line 5: dicom_id is .* instead of an image listed in"):
        tree.read()


def test_an_image_listed_twice_is_an_error(tree: Tree) -> None:
    tree.metadata.append(tree.metadata[-1])
    with pytest.raises(DatasetError, match=r"line 6: dicom_id is .* instead of an id that occurs once"):
        tree.read()


def test_a_subject_that_is_no_number_is_an_error(tree: Tree) -> None:
    tree.metadata[1] = tree.metadata[1].replace("10000032", "ten")
    with pytest.raises(DatasetError, match="line 2: subject_id is 'ten'"):
        tree.read()


def test_missing_tables_and_folders_are_named(tree: Tree, tmp_path: Path) -> None:
    tree.read()
    (tmp_path / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    read = partial(CORPORA["mimic_cxr"].read, labels=TABLE)
    with pytest.raises(DatasetError, match=r"split\.csv\.gz is missing"):
        read(tmp_path, views=("PA",), sections=("findings",), seed=0)
    with pytest.raises(DatasetError, match="nowhere is missing: put MIMIC-CXR-JPG there"):
        read(tmp_path / "nowhere", views=("PA",), sections=("findings",), seed=0)


def test_no_reports_at_all_is_an_error(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.image("a", 10000032, 50414267, "PA", "train")
    with pytest.raises(DatasetError, match="1 reports are missing; unpack images and reports there"):
        tree.read(("PA",))


def test_reports_with_odd_bytes_are_read(tree: Tree) -> None:
    path = tree.root / "files/p11/p11000012/s50000001.txt"
    path.write_bytes(b"IMPRESSION: Clear \xff lungs.\n")
    assert tree.read().studies["report"][1] == "Clear \ufffd lungs."
