from functools import partial
from pathlib import Path

import published_layouts as layouts
import pytest

from pipeline.corpora import CORPORA, Corpus
from pipeline.errors import DatasetError
from pipeline.schemas import IMAGES, STUDIES, write_table

WANTED = ("findings", "impression")
read = partial(CORPORA["openi"].read, labels="ecgen-radiology", views=(), seed=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    layouts.fill(tmp_path, layouts.openi(tmp_path, 3))
    return tmp_path


def test_reports_with_all_their_images(root: Path) -> None:
    corpus = read(root, sections=WANTED)
    assert corpus.studies["report"][0] == "The XXXX are clear. No effusion & no pneumothorax.\n\nNormal chest."
    assert corpus.studies["sections"][0] == "findings+impression"
    assert corpus.images["image_id"].to_list()[:2] == ["CXR1_1_IM-0001-1001", "CXR1_1_IM-0001-2001"]
    assert corpus.images["study_id"].to_list() == ["1", "1", "2", "2", "3", "3"]
    assert (corpus.counts["images_published"], corpus.counts["reports_published"]) == (6, 3)
    write_table(corpus.studies, root / "s.parquet", STUDIES)
    write_table(corpus.images, root / "i.parquet", IMAGES)


def test_only_the_wanted_sections_are_read(root: Path) -> None:
    assert set(read(root, sections=("impression",)).studies["report"]) == {"Normal chest."}


def test_dicom_files_go_by_their_own_names_and_png_comes_first(root: Path) -> None:
    for path in root.glob("CXR*.png"):
        path.unlink()
    dicom = ["1/1_IM-0001-1001.dcm", "2/2_IM-0002-1001.dcm", "2/2_IM-0002-2001.dcm"]
    layouts.fill(root, dicom)
    layouts.fill(root, ["png/CXR2_IM-0002-2001.png"])
    corpus = read(root, sections=WANTED)
    assert corpus.images["path"].to_list() == [*dicom[:2], "png/CXR2_IM-0002-2001.png"]
    assert (corpus.counts["images_missing"], corpus.counts["reports_without_image"]) == (3, 1)


def test_reports_without_text_are_counted(root: Path) -> None:
    path = root / "ecgen-radiology/2.xml"
    empty = path.read_text().replace("The XXXX are clear. No effusion &amp; no pneumothorax.", " ")
    path.write_text(empty.replace("Normal chest.", ""))
    corpus = read(root, sections=WANTED)
    assert corpus.counts["reports_without_section"] == 1
    assert corpus.studies["study_id"].to_list() == ["1", "3"]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<eCitation><Abstract>\n</eCitation>", r"9\.xml, line 2: it is no well-formed XML"),
        (b"", "line 1: it is no well-formed XML"),
        (f"<?xml version='1.0'?>{BOMB}<e>&b;</e>".encode(), "declares a document type"),
        (f"{BOMB}<e>&b;</e>".encode("utf-16"), "not UTF-8 text, or declares a document type"),
        (b"<!DOCTYPE e SYSTEM 'file:///etc/passwd'><e/>", "declares a document type"),
        (b"<e>" + b"x" * 1_000_000 + b"</e>", "more than 1,000,000 bytes"),
        (b"<e>&unknown;</e>", "no well-formed XML"),
        (b'<e><parentImage id="CXR1_1_IM-0001-1001"/></e>', "instead of one that occurs once"),
        (b"<e><parentImage/></e>", "parentImage has the id '' instead of one that occurs once"),
    ],
)
def test_bad_reports_are_named(root: Path, content: bytes, message: str) -> None:
    (root / "ecgen-radiology/9.xml").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read(root, sections=WANTED)


def test_missing_data_is_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"gives no view of its images: set corpus.views to \[\]"):
        CORPORA["openi"].read(root, labels="ecgen-radiology", views=("PA",), sections=WANTED, seed=0)
    for path in root.glob("CXR*.png"):
        path.unlink()
    with pytest.raises(DatasetError, match="holds no image of a report: 6 images are missing"):
        read(root, sections=WANTED)
    for path in root.glob("*/*.xml"):
        path.unlink()
    with pytest.raises(DatasetError, match="ecgen-radiology holds no XML reports"):
        read(root, sections=WANTED)


def test_splits_are_by_report(root: Path) -> None:
    corpus: Corpus = read(root, sections=WANTED)
    assert corpus.images.group_by("study_id").n_unique()["split"].max() == 1
