from collections import Counter
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline.benchmarks import rahman
from pipeline.phantom.cohort import sample_cohort
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.layouts.rahman import write_rahman


@pytest.fixture(scope="module")
def root(phantoms: Path) -> Path:
    return phantoms / "covid19-radiography"


def test_the_reader_finds_every_class(root: Path) -> None:
    benchmark = rahman.read(root, seed=0)
    folders = {name: benchmark.counts[f"images_of_{name}"] for name in rahman.FOLDERS}
    assert folders == {"COVID": 8, "Lung_Opacity": 6, "Normal": 8, "Viral Pneumonia": 2}
    for label, count in folders.items():
        assert {path.name for path in (root / label / "images").iterdir()} == {
            f"{label}-{number}.png" for number in range(1, count + 1)
        }
    positive = benchmark.labels.filter(label=1)
    assert all(image.startswith("COVID/images/") for image in positive["image_id"])
    assert positive["severity"].null_count() == 0


def test_films_show_what_their_folder_says(root: Path) -> None:
    truth = pl.read_parquet(root.parent / "truth/severity.parquet").filter(dataset="covid19-radiography")
    found = dict(truth.group_by("image_id").agg("finding").iter_rows())
    assert all(("covid-19" in names) == image.startswith("COVID/") for image, names in found.items())
    assert all("pneumonia" in found[f"Viral Pneumonia/images/Viral Pneumonia-{number}.png"] for number in (1, 2))
    opaque = {"infiltrate", "consolidation", "ground-glass opacity", "edema"}
    assert all(opaque & set(found[f"Lung_Opacity/images/Lung_Opacity-{number}.png"]) for number in range(1, 7))
    devices = {"sternotomy wire", "surgical clip", "pacemaker", "endotracheal tube", "enteric tube", "picc",
               "central venous catheter", "chest tube"}  # fmt: skip
    assert all(set(found.get(f"Normal/images/Normal-{number}.png", [])) <= devices for number in range(1, 9))


def test_images_are_as_published_and_some_coloured(tmp_path: Path) -> None:
    visits = sample_cohort(np.random.default_rng(0), 30, returning=0)
    with Darkroom(1) as darkroom:
        write_rahman(tmp_path, {"Normal": visits, "COVID": visits[:2]}, 512, np.random.default_rng(0), darkroom)
    seen = Counter()
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as image:
            seen[image.size, image.mode] += 1
    assert {size for size, _ in seen} == {(299, 299)}
    assert seen[(299, 299), "L"] > seen[(299, 299), "RGB"] > 0


def test_the_list_is_a_workbook_of_the_covid_images(root: Path, tmp_path: Path) -> None:
    path = root / "COVID.metadata.xlsx"
    with ZipFile(path) as archive:
        for name in archive.namelist():
            ElementTree.fromstring(archive.read(name))
        sheet = ElementTree.fromstring(archive.read("xl/sheet1.xml"))
    texts = [[cell.text for cell in row.iter() if cell.tag.endswith("}t")] for row in sheet.iter() if
             row.tag.endswith("}row")]  # fmt: skip
    assert texts[0] == ["FILE NAME", "FORMAT", "SIZE", "URL"]
    assert [row[:3] for row in texts[1:]] == [[f"COVID-{number}", "PNG", "64*64"] for number in range(1, 9)]
