from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.errors import DatasetError
from pipeline.schemas import BOXES, IMAGES, LABELS, read_table, write_table

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def entry(image: str, findings: str, patient: int = 1, age: str = "58", sex: str = "M", view: str = "PA") -> str:
    return f"{image},{findings},0,{patient},{age},{sex},{view},2682,2749,0.143,0.143"


class Dataset:
    """ChestX-ray14 in its own layout: 40 training patients, two test images."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.header, self.end, self.entries_name = HEADER, "", "Data_Entry_2017.csv"
        names = [f"{n:08d}_000.png" for n in range(2, 42)]
        self.entries = [
            entry("00000001_000.png", "Effusion|Infiltration", 1),
            entry("00000001_001.png", "No Finding", 1),
        ]
        self.entries += [entry(name, "No Finding", int(name[:8])) for name in names]
        self.train, self.test = names, ["00000001_000.png", "00000001_001.png"]
        self.boxes = ["00000001_000.png,Infiltrate,225.08,547.01,86.7,79.1"]
        self.absent: set[str] = set()

    def read(self) -> Benchmark:
        lines = [self.header, *self.entries]
        (self.root / self.entries_name).write_text("".join(f"{line}{self.end}\n" for line in lines))
        (self.root / "train_val_list.txt").write_text("\n".join(self.train) + "\n")
        (self.root / "test_list.txt").write_text("\n".join(self.test))  # no line feed at the end
        (self.root / "BBox_List_2017.csv").write_text("\n".join([BOX_HEADER, *self.boxes]) + "\n")
        for number, name in enumerate(line.split(",")[0] for line in self.entries):
            folder = self.root / f"images_{number % 2 + 1:03d}/images"
            folder.mkdir(parents=True, exist_ok=True)
            if name not in self.absent:
                (folder / name).write_bytes(b"png")
        return BENCHMARKS["cxr14"].read(self.root, labels=self.entries_name, seed=0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


def test_images_labels_and_boxes(dataset: Dataset, tmp_path: Path) -> None:
    benchmark = dataset.read()
    first = benchmark.images.row(0, named=True)
    assert first["path"] == "images_001/images/00000001_000.png"
    assert (first["patient_id"], first["split"], first["sex"], first["age"], first["bytes"]) == (
        "1",
        "test",
        "M",
        58,
        3,
    )
    positive = benchmark.labels.filter(pl.col("label") == 1)
    assert positive.select("image_id", "finding").rows() == [
        ("00000001_000.png", "infiltrate"),
        ("00000001_000.png", "pleural effusion"),
    ]
    assert benchmark.labels.height == 42 * 14
    assert benchmark.boxes is not None
    assert benchmark.boxes.select("image_id", "finding").rows() == [("00000001_000.png", "infiltrate")]
    assert benchmark.boxes.select("x", "height").row(0) == pytest.approx((225.08, 79.1))
    for table, schema in ((benchmark.images, IMAGES), (benchmark.labels, LABELS), (benchmark.boxes, BOXES)):
        write_table(table, tmp_path / "t.parquet", schema)
        assert read_table(tmp_path / "t.parquet", schema).height == table.height


def test_older_and_newer_copies_read_the_same(dataset: Dataset, tmp_path: Path) -> None:
    plain = dataset.read()
    dataset.end = ","
    dataset.boxes = [f"{box},,," for box in dataset.boxes]
    assert dataset.read().images.equals(plain.images)
    (tmp_path / "Data_Entry_2017.csv").unlink()
    dataset.entries_name = "Data_Entry_2017_v2020.csv"
    assert dataset.read().labels.equals(plain.labels)


def test_the_test_list_is_official_and_patients_are_apart(dataset: Dataset) -> None:
    images = dataset.read().images
    assert images.filter(pl.col("split") == "test")["image_id"].to_list() == dataset.test
    assert set(images["split"]) == {"train", "validate", "test"}
    assert images.group_by("patient_id").n_unique()["split"].max() == 1


def test_a_patient_of_both_lists_leaves_training(dataset: Dataset) -> None:
    dataset.entries.append(entry("00000001_002.png", "Mass", 1))
    dataset.train.append("00000001_002.png")
    benchmark = dataset.read()
    assert benchmark.counts["images_of_patients_in_two_splits"] == 1
    assert "00000001_002.png" not in set(benchmark.images["image_id"])


def test_missing_images_are_counted_unless_all_are(dataset: Dataset) -> None:
    dataset.absent = {"00000002_000.png"}
    assert dataset.read().counts["images_missing"] == 1
    for path in dataset.root.glob("images_*/images/*"):
        path.unlink()
    dataset.absent = {line.split(",")[0] for line in dataset.entries}
    with pytest.raises(DatasetError, match="holds none of the 42 listed images"):
        dataset.read()


def test_old_ages_have_units(dataset: Dataset) -> None:
    dataset.entries[0] = entry("00000001_000.png", "No Finding", age="018M")
    dataset.entries[1] = entry("00000001_001.png", "No Finding", age="060Y")
    assert dataset.read().images["age"].to_list()[:2] == [1.5, 60]


def test_ages_that_nobody_has_are_null_and_counted(dataset: Dataset) -> None:
    for row, age in enumerate(("414", "120", "148M")):
        dataset.entries[row] = entry(dataset.entries[row].split(",")[0], "No Finding", row // 2 + 1, age=age)
    benchmark = dataset.read()
    assert benchmark.images["age"].to_list()[:3] == [None, 120, pytest.approx(148 / 12)]
    assert benchmark.counts["ages_over_120"] == 1


def test_severity_comes_from_the_phantoms_truth(dataset: Dataset) -> None:
    dataset.root = dataset.root / "nih"
    dataset.root.mkdir()
    (dataset.root.parent / "truth").mkdir()
    drawn = {"finding": ["pleural effusion"] * 2 + ["hernia"], "severity": ["subtle", "severe", "mild"]}
    truth = pl.DataFrame({"dataset": "nih", "image_id": "00000001_000.png", **drawn})
    truth.write_parquet(dataset.root.parent / "truth/severity.parquet")
    severe = dataset.read().labels.filter(pl.col("severity").is_not_null())
    assert severe.select("finding", "label", "severity").rows() == [("pleural effusion", 1, "severe")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (entry("00000002_000.png", "Effusions", 2), "line 4: finding is 'Effusions' instead of one of the 14 findings"),
        (entry("00000002_000.png", "No Finding|Mass", 2), "line 4: finding is .* instead of 'No Finding' alone"),
        (entry("00000002_000.png", "Mass", 2, sex="X"), "line 4: Patient Gender is 'X' instead of F or M"),
        (entry("00000002_000.png", "Mass", 2, view="LL"), "line 4: View Position is 'LL'"),
        (entry("00000002_000.png", "Mass", 2, age="old"), "line 4: Patient Age is 'old'"),
        (entry("00000001_000.png", "Mass", 2), "line 4: Image Index is .* instead of an image that occurs once"),
        (entry("99999999_000.png", "Mass", 2), "line 4: Image Index is .* instead of an image of train_val_list.txt"),
        ("00000002_000.png,Mass,0,2", "line 4: 4 fields instead of 11"),
    ],
)
def test_bad_entries_are_named(dataset: Dataset, line: str, message: str) -> None:
    dataset.entries[2] = line
    with pytest.raises(DatasetError, match=message):
        dataset.read()


def test_bad_boxes_and_lists_are_named(dataset: Dataset) -> None:
    dataset.boxes = ["00000001_000.png,Infiltrate,225.08,547.01,86.7,0"]
    with pytest.raises(DatasetError, match=r"BBox_List_2017.csv, line 2: h\] is '0.0' instead of a length above 0"):
        dataset.read()
    dataset.boxes = ["00000001_000.png,Infiltrate,1000.5,0.0,24.5,1024.0"]
    assert dataset.read().counts["boxes"] == 1
    dataset.boxes.append("00000001_000.png,Infiltrate,900,900,5000,100")
    with pytest.raises(DatasetError, match=r"line 3: w is '5000\.0' instead of a length that ends within 1024 pixels"):
        dataset.read()
    dataset.boxes = ["00000001_000.png,Fracture,1,1,1,1"]
    with pytest.raises(DatasetError, match="Finding Label is 'Fracture'"):
        dataset.read()
    dataset.test.append(dataset.train[0])
    with pytest.raises(DatasetError, match=r"test_list.txt, line 3: image is '00000002_000.png'"):
        dataset.read()


def test_missing_files_are_named(dataset: Dataset) -> None:
    dataset.read()
    for name in ("BBox_List_2017.csv", "test_list.txt", "Data_Entry_2017.csv"):
        (dataset.root / name).unlink()
        with pytest.raises(DatasetError, match=f"{name} is missing: put this file of NIH ChestX-ray14 there"):
            BENCHMARKS["cxr14"].read(dataset.root, seed=0)
