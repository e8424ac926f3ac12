from pathlib import Path

import polars as pl
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def root(phantoms: Path) -> Path:
    return phantoms / "covidx-cxr4"


def entries(root: Path, part: str) -> list[tuple[str, str, str, str]]:
    """patient, file name, label, source: the name may hold blanks."""
    parsed = []
    for line in (root / f"{part}.txt").read_text().splitlines():
        patient, rest = line.split(" ", 1)
        name, label, source = rest.rsplit(" ", 2)
        parsed.append((patient, name, label, source))
    return parsed


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_lists_name_the_images(root: Path, part: str) -> None:
    listed = entries(root, part)
    assert {path.name for path in (root / part).iterdir()} == {name for _, name, _, _ in listed}
    assert {label for _, _, label, _ in listed} == {"positive", "negative"}
    truth = pl.read_parquet(root.parent / "truth/severity.parquet").filter(dataset="covidx-cxr4", finding="covid-19")
    ill = {name for _, name, label, _ in listed if label == "positive"}
    assert {f"{part}/{name}" for name in ill} == {i for i in truth["image_id"] if i.startswith(f"{part}/")}


def test_patients_stay_in_one_split(root: Path) -> None:
    patients = [patient for part in ("train", "val", "test") for patient, *_ in entries(root, part)]
    assert len(patients) == len(set(patients)) == 24


def test_images_differ_in_kind_and_size(root: Path) -> None:
    formats, sizes, modes = set(), set(), set()
    for part in ("train", "val", "test"):
        for path in (root / part).iterdir():
            with Image.open(path) as image:
                formats.add(image.format)
                sizes.add(image.size)
                modes.add(image.mode)
    assert formats == {"PNG", "JPEG"}
    assert modes == {"L", "RGB"}
    assert len(sizes) > 5
    assert any(" " in path.name for path in root.rglob("*.*"))


def test_the_unseen_disease_is_nowhere_else(root: Path) -> None:
    truth = pl.read_parquet(root.parent / "truth/severity.parquet").filter(finding="covid-19")
    assert set(truth["dataset"]) == {"covidx-cxr4", "covid19-radiography"}
    reports = (root.parent / "mimic-cxr-jpg").rglob("*.txt")
    assert not any("covid" in path.read_text().lower() for path in reports)
