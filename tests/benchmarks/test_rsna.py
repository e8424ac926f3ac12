from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.errors import DatasetError
from pipeline.splits import hash_split


def read(root: Path, *rows: str, missing: tuple[str, ...] = ()) -> Benchmark:
    folder = root / "stage_2_train_images"
    folder.mkdir(exist_ok=True)
    for name in {row.split(",")[0] for row in rows} - set(missing):
        (folder / f"{name}.dcm").write_bytes(b"dicom")
    (root / "stage_2_train_labels.csv").write_text("\n".join(["patientId,x,y,width,height,Target", *rows]) + "\n")
    return BENCHMARKS["rsna"].read(root, seed=0)


def test_ids_repeat_once_per_box(tmp_path: Path) -> None:
    rows = ("b,264.0,152.0,213.0,379.0,1", "a,,,,,0", "b,562.0,152.0,256.0,453.0,1", "c,,,,,0")
    benchmark = read(tmp_path, *rows, missing=("c",))
    assert benchmark.images["image_id"].to_list() == ["a", "b"]
    assert benchmark.images["path"][1] == "stage_2_train_images/b.dcm"
    assert benchmark.labels.select("image_id", "finding", "label").rows() == [
        ("a", "pneumonia", 0),
        ("b", "pneumonia", 1),
    ]
    assert benchmark.boxes is not None
    assert benchmark.boxes.rows() == [("b", "pneumonia", 264, 152, 213, 379), ("b", "pneumonia", 562, 152, 256, 453)]
    assert (benchmark.counts["rows_published"], benchmark.counts["images_missing"]) == (4, 1)


def test_splits_follow_the_hash_rule(tmp_path: Path) -> None:
    images = read(tmp_path, *(f"patient-{n},,,,,0" for n in range(50))).images
    rule = hash_split(images["patient_id"], 0, {"train": 0.5, "validate": 0.2, "test": 0.3})
    assert images["split"].equals(rule)
    assert images["patient_id"].is_unique().all()
    assert "0:<patient>" in read(tmp_path, "a,,,,,0").split_rule


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,,,,,2", "line 3: Target is '2' instead of 0 or 1"),
        ("a,,,,,", "line 3: Target is empty instead of 0 or 1"),
        ("a,1,1,5,5,0", "line 3: x is '1.0' instead of a side of a box where Target is 1 and empty where it is 0"),
        ("a,1,1,,5,1", "line 3: width is empty"),
        ("a,1,-1,5,5,1", "line 3: y is '-1.0'"),
        ("a,1,1,5,wide,1", "line 3: height is 'wide' instead of a value of type Float32"),
        ("a,1,1,5,9e6,1", "line 3: height is '9000000.0' instead of a length that ends within 1024 pixels"),
        ("a,900,1,200,5,1", "line 3: width is '200.0' instead of a length that ends within 1024 pixels"),
        ("z,1,1,5,5,1", "line 2: Target is '0' instead of the same in all rows of an image"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, "z,,,,,0", row)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"stage_2_train_labels\.csv is missing"):
        BENCHMARKS["rsna"].read(tmp_path, seed=0)
    with pytest.raises(DatasetError, match="holds none of the 1 listed images"):
        read(tmp_path, "a,,,,,0", missing=("a",))


def test_findings_are_canonical() -> None:
    assert pl.Series(list(BENCHMARKS["rsna"].FINDINGS.values())).to_list() == ["pneumonia"]
