import io
from pathlib import Path

import polars as pl
import published_layouts as layouts
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from pipeline.benchmarks import BENCHMARKS
from pipeline.check import Examined, examine, print_examined
from pipeline.check.datasets import Inspected, published
from pipeline.check.experiment import RETRIEVED, _other_problems
from pipeline.cli import app
from pipeline.corpora import CORPORA
from pipeline.errors import DatasetError, ParamsError
from pipeline.evaluation.retrieval import KS
from pipeline.params import compose, parse_params
from pipeline.schemas import BROKEN_IMAGES, read_table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every dataset in its usual folder, in small."""
    for name, write in layouts.SMALL.items():
        root = tmp_path / "data" / (BENCHMARKS | CORPORA)[name].SOURCE.folder
        if name != "csv":  # a table of one's own has no usual folder
            root.mkdir(parents=True)
            layouts.fill(root, write(root))
    # the images are smaller than their masks
    monkeypatch.setattr(BENCHMARKS["siim"], "read_size", lambda _: (layouts.SIDE, layouts.SIDE))
    monkeypatch.setattr("pipeline.check.experiment.LISTINGS", tmp_path / "listings")
    monkeypatch.chdir(ROOT)
    return tmp_path / "data"


def look(data: Path, *overrides: str, dataset: str | None = None, workers: int | None = None) -> Examined:
    _, values = compose(ROOT / "conf", ["corpus=mimic_cxr", f"data.root={data}", *overrides])
    return examine(parse_params(values), dataset, workers)


def one(examined: Examined, key: str) -> Inspected:
    return next(seen for seen in examined.datasets if seen.key == key)


def shown(examined: Examined, terminal: bool = False) -> str:
    text = io.StringIO()
    print_examined(examined, Console(file=text, force_terminal=terminal, width=150))
    return text.getvalue()


def test_every_dataset_is_seen_those_of_the_experiment_first(data: Path) -> None:
    examined = look(data, "+benchmark=vinbigdata")
    assert examined.problems == []
    assert not examined.phantoms
    assert {seen.key for seen in examined.datasets} == {*BENCHMARKS, *CORPORA} - {"csv"}
    assert [seen.key for seen in examined.datasets if seen.configured] == [
        *("mimic_cxr", "cxr14", "rsna", "siim", "covidx", "vinbigdata"),
    ]
    assert all(seen.configured for seen in examined.datasets[:6])
    assert {seen.state for seen in examined.datasets} <= {"odd", "found"}


def test_counts_stand_beside_the_published_ones(data: Path) -> None:
    rsna = one(look(data), "rsna")
    assert "images listed 150 of 26,684" in rsna.counts
    assert "splits: train " in rsna.facts[0]
    assert rsna.facts[1] == "positive: pneumonia 60"
    assert any(odd.startswith("boxes: 90 instead of the published 9,555 (Shih G") for odd in rsna.oddities)
    (data / "rsna-pneumonia/stage_2_train_images").rename(data / "moved")
    (data / "rsna-pneumonia/stage_2_train_images").mkdir()
    (data / "moved" / next((data / "moved").iterdir()).name).rename(data / "rsna-pneumonia/stage_2_train_images/x.dcm")
    assert "holds none of the 150 listed images" in one(look(data), "rsna").problems[0]


def test_missing_images_are_odd_and_the_experiment_runs(data: Path) -> None:
    for path in list((data / "covidx-cxr4/test").iterdir())[:2]:
        path.unlink()
    examined = look(data)
    assert "images missing: 2" in one(examined, "covidx").oddities
    assert examined.problems == []


def test_a_missing_dataset_stops_the_experiment_only_if_configured(data: Path) -> None:
    (data / "siim-acr").rename(data / "elsewhere")
    (data / "openi").rename(data / "elsewhere_too")
    examined = look(data)
    assert one(examined, "siim").state == one(examined, "openi").state == "missing"
    assert len(examined.problems) == 1
    assert "siim-acr is missing: ask for SIIM-ACR Pneumothorax at https://www.kaggle.com" in examined.problems[0]
    assert look(data, "~benchmarks.siim", "finetune.benchmarks=[]", "finetune.segmentation=[]").problems == []
    assert look(data, "benchmarks.siim.folder=elsewhere").problems == []


def test_what_the_reader_refuses_is_a_problem(data: Path) -> None:
    (data / "vinbigdata/train.csv").write_text("image_id\n")
    assert look(data).problems == []
    assert "lacks the column" in look(data, "+benchmark=vinbigdata").problems[0]
    (data / "nih-chestxray14/Data_Entry_2017.csv").rename(data / "nih-chestxray14/Data_Entry_2017_v2020.csv")
    renamed = look(data)
    assert "name the file you have with benchmarks.cxr14.labels" in renamed.problems[0]
    assert look(data, "benchmarks.cxr14.labels=Data_Entry_2017_v2020.csv").problems == []


def test_other_needs_of_the_experiment(data: Path) -> None:
    (lacking,) = look(data, "extraction.graphs=nowhere.json").problems
    assert "nowhere.json is missing: set extraction.graphs" in lacking
    llm = ["extraction.source=llm", "extraction.llm.base_url=http://8.8.8.8/v1"]
    assert "extraction.llm.model is not set" in look(data, *llm).problems[0]
    assert "neither this machine nor a private network" in look(data, *llm, "extraction.llm.model=m").problems[0]
    assert not look(data, *llm, "extraction.llm.model=m", "extraction.llm.allow_remote=true").problems


@pytest.mark.parametrize(
    ("setting", "also"),
    [
        ("extraction.radgraph.folder", ["extraction.source=radgraph"]),
        ("model.imported", []),
        ("text_encoder.source", []),
        ("finetune.imagenet", ["finetune.inits=[pretrained,imagenet]"]),
    ],
)
def test_folders_that_the_experiment_names_must_be_there(setting: str, also: list[str]) -> None:
    def lacking(folder: Path | str) -> list[str]:
        _, values = compose(ROOT / "conf", ["corpus=mimic_cxr", f"{setting}={folder}", *also])
        return [problem for problem in _other_problems(parse_params(values)) if setting in problem]

    assert lacking("/nowhere/model") == [f"/nowhere/model is missing: set {setting} to where it is."]
    assert lacking("../nowhere") == [f"../nowhere is missing: set {setting} to where it is."]
    assert lacking(ROOT) == []
    if setting in ("text_encoder.source", "finetune.imagenet"):
        assert lacking("organisation/a_name_on_the_hub") == []


def test_fine_tuning_needs_training_images(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BENCHMARKS["rsna"], "FRACTIONS", {"validate": 0.4, "test": 0.6})
    assert look(data, "finetune.benchmarks=[siim]", dataset="rsna").problems == []
    (problem,) = look(data, "finetune.benchmarks=[rsna]", dataset="rsna").problems
    assert problem.endswith("rsna-pneumonia has no images in the split train; the experiment needs 1 or more.")


def test_a_corpus_without_test_patients_cannot_be_tested_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    rows = [f"{n}.png,Clear.,{n},{'validate' if n % 4 else 'train'}" for n in range(40)]
    layouts.fill(tmp_path, [row.split(",")[0] for row in rows])
    (tmp_path / "studies.csv").write_text("\n".join(["image,report,patient,split", *rows]) + "\n")
    assert look(tmp_path, "corpus=csv").problems == []
    (problem,) = look(tmp_path, "corpus=csv", "corpus_benchmarks=[mimic16]").problems
    assert "has no images in the split test; the experiment needs 1 or more" in problem
    tested = "\n".join(["image,report,patient,split", *rows]).replace("validate", "test", RETRIEVED - 1)
    (tmp_path / "studies.csv").write_text(tested + "\n")
    assert look(tmp_path, "corpus=csv", "corpus_benchmarks=[mimic16]").problems == []
    (problem,) = look(tmp_path, "corpus=csv", "retrieval=[corpus]").problems
    assert f"has 9 images in the split test; the experiment needs {max(KS)} or more" in problem


def test_one_dataset_alone_decides(data: Path) -> None:
    (data / "rsna-pneumonia/stage_2_train_labels.csv").unlink()
    assert look(data, dataset="covidx").problems == []
    assert [seen.key for seen in look(data, dataset="covid_chestxray").datasets] == ["covid_chestxray"] * 2
    assert len(look(data, dataset="rsna").problems) == 1
    with pytest.raises(ParamsError, match="chexpert is no dataset: name one of mimic_cxr"):
        look(data, dataset="chexpert")


def test_broken_images_are_counted_listed_and_not_named(data: Path) -> None:
    images = sorted((data / "mimic-cxr-jpg/files").rglob("*.jpg"))
    for path in images:
        path.unlink()
        path.write_bytes(b"no image")
    quick = look(data, dataset="mimic_cxr")
    assert "8 images cannot be decoded" in quick.problems[0]
    full = look(data, "images.max_broken=100", dataset="mimic_cxr", workers=2)
    assert full.problems == []
    mimic = one(full, "mimic_cxr")
    assert "decoded 0 of 48 images tried" in mimic.counts
    assert "48 images cannot be decoded" in mimic.oddities[-1]
    assert "is neither JPEG, PNG nor DICOM" in mimic.oddities[-1]
    listed = read_table(data.parent / "listings/mimic_cxr.parquet", BROKEN_IMAGES)
    assert listed.height == 48
    assert "p1000" not in shown(full)


def test_reports_are_sampled_and_never_shown(data: Path) -> None:
    for path in list((data / "mimic-cxr-jpg/files").rglob("*.txt"))[:3]:
        path.write_text("INDICATION: Meier, Anna.")
    examined = look(data)
    assert "reports sampled 48" in one(examined, "mimic_cxr").counts
    assert "reports sampled without section 3" in one(examined, "mimic_cxr").counts
    for terminal in (False, True):
        text = shown(examined, terminal)
        assert "Meier" not in text
        assert "effusion." not in text


def test_plain_output_is_lines_and_a_terminal_gets_a_table(data: Path) -> None:
    (data / "openi").rename(data / "elsewhere")
    examined = look(data)
    plain = shown(examined)
    assert "\x1b" not in plain
    assert "┃" not in plain
    assert "openi (corpus, not in this experiment): missing\n" in plain
    assert "access: https://physionet.org/content/mimic-cxr-jpg/" in plain
    assert plain.endswith("The datasets of the experiment can be read.\n")
    assert "┏" in shown(examined, terminal=True)


def test_a_table_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    layouts.fill(tmp_path, layouts.csv_table(tmp_path, 60))
    examined = look(tmp_path, "corpus=csv")
    assert examined.problems == []
    assert one(examined, "csv").state == "found"
    assert "patient 1" not in shown(examined)


def test_phantoms_are_told_from_patients(data: Path) -> None:
    (data / "truth").mkdir()
    columns = ("dataset", "image_id", "finding", "severity")
    pl.DataFrame(schema=dict.fromkeys(columns, pl.String)).write_parquet(data / "truth/severity.parquet")
    examined = look(data)
    assert examined.phantoms
    assert f"data.root is {data}: phantoms that the pipeline drew itself" in shown(examined)
    assert {seen.state for seen in examined.datasets} == {"found"}
    assert "images listed 150" in one(examined, "rsna").counts


def test_before_they_are_drawn_phantoms_are_not_asked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"^data/phantom holds no phantoms yet: `dvc repro phantom` draws them"):
        look(Path("data/phantom"), "corpus=phantom")


def test_the_command_ends_with_code_0_only_if_the_experiment_can_run(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})  # starting processes is slow, and tested above

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["check", *arguments, "-S", "corpus=mimic_cxr", "-S", f"data.root={data}"])

    done = run()
    assert (done.exit_code, "The datasets of the experiment can be read." in done.output) == (0, True)
    (data / "covidx-cxr4/val.txt").unlink()
    done = run()
    assert (done.exit_code, "cannot run: " in done.output) == (1, True)
    assert run("rsna", "--full").exit_code == 0


def test_published_counts_are_counts_of_the_readers() -> None:
    assert set(published()) == {*BENCHMARKS, *CORPORA}
    for name, row in published().items():
        assert row["citation"]
        assert bool(row["counts"]) == (name not in ("csv", "covid_chestxray"))
