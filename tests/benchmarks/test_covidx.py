from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.errors import DatasetError

LISTS = {
    "train": ["1 COVID (1).png positive cohen", "SIRM 2 x-ray.jpg negative sirm", "7 a.png negative rsna"],
    "val": ["2 b.png positive cohen", "2 c.png negative rsna"],
    "test": ["3 d.jpeg positive ricord", "4   e  f.png negative rsna"],
}


def read(root: Path, lists: dict[str, list[str]] = LISTS, missing: tuple[str, ...] = ()) -> Benchmark:
    for split, lines in lists.items():
        (root / f"{split}.txt").write_text("\r\n".join(lines) + "\n")
        (root / split).mkdir(exist_ok=True)
        for line in lines:
            name = line.split(maxsplit=1)[1].rsplit(maxsplit=2)[0] if len(line.split()) > 3 else ""
            if name and name not in missing:
                (root / split / name).write_bytes(b"image")
    return BENCHMARKS["covidx"].read(root, seed=0)


def test_names_with_spaces_are_read_from_both_ends(tmp_path: Path) -> None:
    benchmark = read(tmp_path)
    assert benchmark.images["path"].to_list() == [
        *("test/d.jpeg", "test/e  f.png", "train/2 x-ray.jpg", "train/COVID (1).png", "train/a.png"),
        *("val/b.png", "val/c.png"),
    ]
    assert benchmark.images["split"].to_list() == ["test"] * 2 + ["train"] * 3 + ["validate"] * 2
    positive = benchmark.labels.filter(pl.col("label") == 1)["image_id"].to_list()
    assert positive == ["test/d.jpeg", "train/COVID (1).png", "val/b.png"]
    assert set(benchmark.labels["finding"]) == {"covid-19"}


def test_a_patient_is_a_source_with_a_number_and_in_one_split(tmp_path: Path) -> None:
    lists = LISTS | {"train": [*LISTS["train"], "3 g.png negative ricord", "3 h.png negative cohen"]}
    benchmark = read(tmp_path, lists)
    assert benchmark.counts["images_of_patients_in_two_splits"] == 1
    assert "train/g.png" not in set(benchmark.images["image_id"])
    assert "train/h.png" in set(benchmark.images["image_id"])
    assert benchmark.images.group_by("patient_id").n_unique()["split"].max() == 1


def test_missing_images_are_counted(tmp_path: Path) -> None:
    assert read(tmp_path, missing=("b.png",)).counts["images_missing"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 d.jpeg COVID-19 ricord", r"test.txt, line 2: label is 'COVID-19' instead of positive or negative"),
        ("3 d.jpeg positive", r"test.txt, line 2: text is .* instead of patient, file name, label and source"),
        ("4 e  f.png negative rsna", r"line 2: filename is 'e  f.png' instead of an image that occurs once"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, LISTS | {"test": [LISTS["test"][1], line]})


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    read(tmp_path)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(DatasetError, match=r"val\.txt is missing: put this file of COVIDx CXR-4 there"):
        BENCHMARKS["covidx"].read(tmp_path, seed=0)
