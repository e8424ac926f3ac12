import re
from pathlib import Path

import published_layouts as layouts
import pytest

from pipeline.errors import DatasetError
from pipeline.params import compose
from pipeline.schemas import IMAGES, LABELS, SPLITS, read_table
from stages import benchmark

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and in it data.root."""
    monkeypatch.chdir(tmp_path)
    for folder, write in (("rsna-pneumonia", layouts.rsna), ("vinbigdata", layouts.vinbigdata)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        layouts.fill(tmp_path / "data" / folder, write(tmp_path / "data" / folder, 60, 20, 240))
    return tmp_path / "data"


def run(name: str, *overrides: str) -> Path:
    text, _ = compose(ROOT / "conf", ["data.root=data", "seed=3", *overrides])
    Path("params.yaml").write_text(text)
    benchmark.main(name)
    return Path("data/benchmarks") / name


def test_a_derived_split_is_written_with_its_rule_and_seed(data: Path) -> None:
    out = run("rsna")
    splits = read_table(out / "splits.parquet", SPLITS)
    images = read_table(out / "images.parquet", IMAGES)
    assert splits["patient_id"].is_unique().all()
    assert set(splits["rule"]) == {"by SHA-256 of '3:<patient>' (train 50%, validate 20%, test 30%)"}
    assert dict(splits.select("patient_id", "split").iter_rows()) == dict(
        images.select("patient_id", "split").iter_rows()
    )
    assert '"images_missing": 0' in (out / "counts.json").read_text()


def test_the_named_label_file_is_read(data: Path) -> None:
    lines = (data / "rsna-pneumonia/stage_2_train_labels.csv").read_text().splitlines()
    kept = [line for line in lines[1:] if line.split(",")[0][-1] in "0123456"]
    (data / "rsna-pneumonia/mended.csv").write_text("\n".join([lines[0], *kept]) + "\n")
    images = read_table(run("rsna", "benchmarks.rsna.labels=mended.csv") / "images.parquet", IMAGES)
    assert {*images["image_id"]} == {line.split(",")[0] for line in kept} < {line.split(",")[0] for line in lines[1:]}
    with pytest.raises(DatasetError, match=r"nowhere\.csv is missing"):
        run("rsna", "benchmarks.rsna.labels=nowhere.csv")


def test_votes_reach_the_reader(data: Path) -> None:
    positives = []
    for votes in (1, 2, 3):
        out = run("vinbigdata", "+benchmark=vinbigdata", f"benchmarks.vinbigdata.votes={votes}")
        positives.append(read_table(out / "labels.parquet", LABELS)["label"].sum())
    assert positives == sorted(positives, reverse=True)
    assert len(set(positives)) > 1


@pytest.mark.parametrize(("target", "count"), [("0", 0), ("1", 1)])
def test_a_benchmark_of_one_class_is_refused_before_anything_is_trained(data: Path, target: str, count: int) -> None:
    table = data / "rsna-pneumonia/stage_2_train_labels.csv"
    header, *rows = table.read_text().splitlines()
    one = [row for row in rows if row.endswith(f",{target}")]
    table.write_text("\n".join([header, *one]) + "\n")
    with pytest.raises(
        DatasetError, match=r"stage_2_train_labels\.csv cannot test: of (\d+) test images (\d+) are"
    ) as caught:
        run("rsna")
    images, positive = (int(number) for number in re.findall(r"of (\d+) test images (\d+)", str(caught.value))[0])
    assert images > 0
    assert positive == count * images
    assert not Path("data/benchmarks/rsna").exists()
