from pathlib import Path

import published_layouts as layouts
import pytest

from pipeline.benchmarks import BENCHMARKS
from pipeline.errors import DatasetError

COUNTS = {"COVID": 30, "Lung_Opacity": 20, "Normal": 40, "Viral Pneumonia": 10}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    layouts.fill(tmp_path, layouts.rahman(tmp_path, **COUNTS))
    return tmp_path


def test_the_folder_is_the_label(root: Path) -> None:
    (root / "COVID/masks").mkdir()
    (root / "COVID/masks/COVID-1.png").write_bytes(b"mask")
    benchmark = BENCHMARKS["rahman"].read(root, seed=0)
    assert benchmark.images.height == 100
    labels = dict(benchmark.labels.select("image_id", "label").iter_rows())
    assert {image for image, label in labels.items() if label} == {f"COVID/images/COVID-{n + 1}.png" for n in range(30)}
    assert set(benchmark.labels["finding"]) == {"covid-19"}
    assert set(benchmark.images["split"]) == {"train", "validate", "test"}
    assert benchmark.counts["images_of_Viral Pneumonia"] == 10


def test_what_macos_adds_is_no_image(root: Path) -> None:
    for name in ("COVID/images/._COVID-1.png", "Normal/images/.cache/Normal-1.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"\0\5\26\7")
    assert BENCHMARKS["rahman"].read(root, seed=0).counts["images"] == 100


def test_an_empty_folder_is_named(root: Path) -> None:
    for path in (root / "Normal/images").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="Normal/images holds no PNG image: unpack COVID-19 Radiography Database"):
        BENCHMARKS["rahman"].read(root, seed=0)
    with pytest.raises(DatasetError, match="nowhere is missing: put COVID-19 Radiography Database there"):
        BENCHMARKS["rahman"].read(root / "nowhere", seed=0)
