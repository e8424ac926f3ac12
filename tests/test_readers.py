"""What holds for every reader: no patient is in two splits, and damaged files end in a named error or in tables."""

import gzip
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import published_layouts as layouts
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.benchmarks import BENCHMARKS
from pipeline.corpora import CORPORA
from pipeline.errors import DatasetError, PipelineError
from pipeline.params.tasks import TASKS
from pipeline.phantom.build import PhantomParams, build
from pipeline.splits import SPLITS

PHANTOMS = {"mimic_cxr": "mimic-cxr-jpg", "cxr14": "nih-chestxray14", "rsna": "rsna-pneumonia", "siim": "siim-acr",
            "covidx": "covidx-cxr4", "vinbigdata": "vinbigdata", "rahman": "covid19-radiography"}  # fmt: skip
READERS = [*BENCHMARKS, *(f"corpus {name}" for name in CORPORA)]


def read(reader: str, root: Path, seed: int = 0, labels: str = "") -> dict[str, pl.DataFrame]:
    """Images and, of a corpus, studies."""
    name = reader.removeprefix("corpus ")
    labels = labels or (BENCHMARKS | CORPORA)[name].SOURCE.label_files[0]
    if reader == name:
        return {"images": BENCHMARKS[name].read(root, labels=labels, seed=seed).images}
    corpus = CORPORA[name].read(root, labels=labels, views=(), sections=("findings", "impression"), seed=seed)
    return {"images": corpus.images, "studies": corpus.studies}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every dataset in small, with images."""
    roots = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BENCHMARKS["siim"], "read_size", lambda _: (layouts.SIDE, layouts.SIDE))
        for name, write in layouts.SMALL.items():
            roots[name] = tmp_path_factory.mktemp(name)
            layouts.fill(roots[name], write(roots[name]))
        yield roots


def assert_apart(tables: dict[str, pl.DataFrame]) -> None:
    splits = pl.concat(table.select("patient_id", "split") for table in tables.values())
    assert set(splits["split"]) <= set(SPLITS)
    shared = splits.group_by("patient_id").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    assert shared.height == 0, f"{shared.height} patients are in two splits"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_patient_is_in_two_splits(datasets: dict[str, Path], reader: str, seed: int) -> None:
    tables = read(reader, datasets[reader.removeprefix("corpus ")], seed)
    patients = tables["images"].group_by("patient_id").len()["len"].max()
    if reader in ("cxr14", "covidx", "covid_chestxray") or (reader.startswith("corpus") and reader != "corpus openi"):
        assert patients > 1, "the test's patients should have several images"
    assert tables["images"]["split"].n_unique() > 1
    assert_apart(tables)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_can_be_named_for_the_tasks_that_its_reader_serves(datasets: dict[str, Path], name: str) -> None:
    found = BENCHMARKS[name].read(datasets[name], seed=0)
    assert (name in TASKS["grounding"][1]) == (found.boxes is not None)
    assert (name in TASKS["finetune.segmentation"][1]) == (found.masks is not None)
    assert (name in TASKS["finetune.benchmarks"][1]) == ("train" in found.images["split"])
    assert (name in TASKS["finding_maps"][1]) == ("normal" not in found.labels["finding"])
    assert name not in TASKS["unseen"][1] or "covid-19" in found.labels["finding"]


@pytest.mark.parametrize("reader", READERS)
def test_the_named_labels_are_those_that_are_read(datasets: dict[str, Path], reader: str) -> None:
    name = reader.removeprefix("corpus ")
    root, usual = datasets[name], read(reader, datasets[name])
    published = root / (BENCHMARKS | CORPORA)[name].SOURCE.label_files[0]
    with pytest.raises(DatasetError, match="mended"):
        read(reader, root, labels=f"mended_{published.name}")
    mended = published.rename(published.with_name(f"mended_{published.name}"))
    try:
        if mended.is_file():
            published.write_text("no labels\n")
        for kind, table in read(reader, root, labels=mended.name).items():
            assert table.drop("file", strict=False).equals(usual[kind].drop("file", strict=False))
    finally:
        mended.replace(published)


def test_no_phantom_is_in_two_splits(tmp_path: Path) -> None:
    build(
        tmp_path,
        PhantomParams(seed=7, size=64, studies=40, cxr14=40, rsna=12, siim=12, covidx=12, vinbigdata=12, rahman=12),
    )
    for name, folder in PHANTOMS.items():
        assert_apart(read(f"corpus {name}" if name in CORPORA else name, tmp_path / folder))


def test_one_patient_in_two_splits_is_noticed() -> None:
    with pytest.raises(AssertionError, match="1 patients are in two splits"):
        assert_apart({"images": pl.DataFrame({"patient_id": ["a", "a"], "split": ["train", "test"]})})


@dataclass(frozen=True)
class Damage:
    """What is done to a file: bytes changed, lines moved, one column of all lines lost or a field replaced."""

    bytes: list[tuple[float, bytes]]
    lines: list[tuple[str, float, float]]
    column: tuple[str, int] | None
    field: tuple[float, int, str] | None

    def apply(self, content: bytes) -> bytes:
        lines = content.split(b"\n")
        for action, one, two in self.lines:
            first, second = int(one * len(lines)), int(two * len(lines))
            if action == "drop":
                del lines[first : first + 3]
            elif action == "repeat":
                lines.insert(second, lines[first])
            else:
                lines[first], lines[second] = lines[second], lines[first]
            lines = lines or [b""]
        if self.column:
            lines = [_without(line, *self.column) for line in lines]
        if self.field:
            at, number, value = self.field
            fields = lines[int(at * len(lines))].split(b",")
            fields[number % len(fields)] = value.encode("utf-8", "surrogatepass")
            lines[int(at * len(lines))] = b",".join(fields)
        damaged = bytearray(b"\n".join(lines))
        for at, value in self.bytes:
            place = int(at * len(damaged))
            damaged[place : place + 1] = value
        return bytes(damaged)


def _without(line: bytes, action: str, number: int) -> bytes:
    fields = line.split(b",")
    if action == "swap":
        fields.insert(0, fields.pop(number % len(fields)))
    else:
        del fields[number % len(fields)]
    return b",".join(fields)


unit = st.floats(0, 1, exclude_max=True)
odd_values = st.sampled_from(
    ["", "nan", "-1", "1e309", "9" * 30, "\0", '"', "No Finding|", "0 1 2", "../../x", "\ud800"]
)
damages = st.builds(
    Damage,
    st.lists(st.tuples(unit, st.binary(max_size=4)), max_size=4),
    st.lists(st.tuples(st.sampled_from(["drop", "repeat", "swap"]), unit, unit), max_size=3),
    st.none() | st.tuples(st.sampled_from(["drop", "swap"]), st.integers(0, 11)),
    st.none() | st.tuples(unit, st.integers(0, 11), odd_values | st.text(max_size=8)),
)


def label_files(root: Path) -> list[Path]:
    """Everything but images: tables, lists, a report."""
    files = [path for path in sorted(root.rglob("*")) if path.suffix in (".csv", ".txt", ".gz", ".xml")]
    return [path for path in files if path.parent == root] + [path for path in files if path.parent != root][:1]


@pytest.mark.parametrize("reader", [name for name in READERS if name != "rahman"])  # whose only label files are folders
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_end_in_a_named_error_or_in_tables(
    datasets: dict[str, Path], reader: str, data: st.DataObject
) -> None:
    root = datasets[reader.removeprefix("corpus ")]
    path = data.draw(st.sampled_from(label_files(root)))
    damage, zipped = data.draw(damages), data.draw(st.booleans())
    content = path.read_bytes()
    if path.suffix == ".gz" and not zipped:
        damaged = gzip.compress(damage.apply(gzip.decompress(content)))
    else:
        damaged = damage.apply(content)
    path.write_bytes(damaged)
    try:
        with suppress(PipelineError):
            assert_apart(read(reader, root))
    finally:
        path.write_bytes(content)
