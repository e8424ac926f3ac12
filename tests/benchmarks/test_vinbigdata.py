from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.errors import DatasetError
from pipeline.semantics.knowledge import load_knowledge

HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
NORMAL = [f"b,No finding,14,R{n},,,," for n in (1, 2, 3)]


def read(root: Path, *rows: str, missing: tuple[str, ...] = (), votes: int = 2) -> Benchmark:
    (root / "train").mkdir(exist_ok=True)
    for name in {row.split(",")[0] for row in rows} - set(missing):
        (root / f"train/{name}.dicom").write_bytes(b"dicom")
    (root / "train.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return BENCHMARKS["vinbigdata"].read(root, seed=0, votes=votes)


ROWS = (
    "a,Cardiomegaly,3,R8,691.0,1375.0,1653.0,1831.0",
    "a,Cardiomegaly,3,R9,700.0,1375.0,1653.0,1831.5",
    "a,Nodule/Mass,8,R9,10.0,20.0,30.0,60.0",
    "a,Nodule/Mass,8,R9,50.0,20.0,70.0,60.0",
    "a,Nodule/Mass,8,R10,11.0,20.0,30.0,60.0",
    "a,ILD,5,R10,1.0,2.0,3.0,4.0",
    *NORMAL,
)


def test_two_of_three_decide_and_their_boxes_count(tmp_path: Path) -> None:
    benchmark = read(tmp_path, *ROWS)
    positive = benchmark.labels.filter(pl.col("label") == 1).select("image_id", "finding")
    assert positive.rows() == [("a", "cardiomegaly"), ("a", "lesion")]
    assert benchmark.labels.height == 2 * 14
    assert benchmark.boxes is not None
    assert benchmark.boxes.filter(pl.col("finding") == "lesion")["x"].to_list() == [10, 11, 50]
    assert benchmark.boxes.row(0)[2:] == (691, 1375, 962, 456)
    assert benchmark.counts["findings_outvoted"] == 1
    assert benchmark.images["path"].to_list() == ["train/a.dicom", "train/b.dicom"]


def test_votes_are_a_parameter(tmp_path: Path) -> None:
    assert read(tmp_path, *ROWS, votes=1).counts["positive_interstitial opacity"] == 1
    assert read(tmp_path, *ROWS, votes=3).labels["label"].sum() == 0


def test_a_radiologist_who_boxes_twice_has_one_vote(tmp_path: Path) -> None:
    twice = [f"a,Cardiomegaly,3,R9,{x},5,100,90" for x in (1, 2)]
    assert read(tmp_path, *twice, *NORMAL).labels["label"].sum() == 0


def test_missing_images_are_counted(tmp_path: Path) -> None:
    assert read(tmp_path, *ROWS, missing=("b",)).counts["images_missing"] == 1


def test_every_finding_can_be_explained() -> None:
    for pathology in BENCHMARKS["vinbigdata"].FINDINGS.values():
        assert load_knowledge().explanation(pathology)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,Fracture,3,R9,1,2,3,4", "line 2: class_name is 'Fracture' instead of one of the 14 findings"),
        ("c,Cardiomegaly,4,R9,1,2,3,4", "line 2: class_id is '4' instead of the number of its class_name"),
        ("c,Cardiomegaly,3,9,1,2,3,4", "line 2: rad_id is '9' instead of a radiologist such as R9"),
        ("c,Cardiomegaly,3,R9,1,2,3,", "line 2: y_max is empty instead of a side of a box"),
        ("c,Cardiomegaly,3,R9,5,2,3,4", "line 2: x_max is '3.0' instead of a side of a box"),
        ("c,No finding,14,R9,1,,,", "line 2: x_min is '1.0' instead of a side of a box, or empty"),
        ("b,No finding,14,R4,,,,", "rad_id is 'R4' instead of one of at most 3 radiologists of an image"),
        ("b,Cardiomegaly,3,R1,1,2,3,4", "line 3: class_name is 'No finding' instead of No finding alone"),
        (",Cardiomegaly,3,R1,1,2,3,4", "line 2: image_id is empty"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, row, *NORMAL)
