import subprocess
from pathlib import Path

import pytest

from pipeline.errors import DatasetError, ParamsError
from pipeline.params import compose, parse_params
from pipeline.params.inputs import find_inputs, require_datasets, require_input

ROOT = Path(__file__).parents[2]


def inputs(*overrides: str) -> dict[str, str]:
    return compose(ROOT / "conf", overrides)[1]["inputs"]


def test_phantoms_and_what_stands_for_nothing_supplied_are_no_inputs() -> None:
    assert inputs() == {}


def test_label_files_below_the_users_root_are_inputs() -> None:
    found = inputs("data.root=/data/cxr", "~benchmarks.siim", "~benchmarks.rahman")
    assert [*found] == ["corpus", "cxr14", "rsna", "covidx", "vinbigdata"]
    assert found["rsna"] == "/data/cxr/rsna-pneumonia/stage_2_train_labels.csv"


def test_a_file_of_two_readers_is_one_input() -> None:
    """DVC takes a path as the output of one stage alone."""
    assert inputs("corpus=covid_chestxray", "data.root=cxr") == {"corpus": "cxr/covid-chestxray/metadata.csv"}


def test_annotations_and_radgraphs_folder_are_inputs_where_they_are_set() -> None:
    found = inputs("extraction.graphs=/data/graphs.json", "extraction.radgraph.folder=/data/radgraph")
    assert found == {"graphs": "/data/graphs.json", "radgraph": "/data/radgraph"}


def test_the_dataset_itself_can_be_the_root() -> None:
    assert inputs("corpus=csv", "data.root=/data/pacs")["corpus"] == "/data/pacs/studies.csv"


@pytest.mark.parametrize(
    "override",
    [{"data": {"root": None}}, {"corpus": 3}, {"benchmarks": None}, {"benchmarks": {"rsna": 1}}, {"extraction": 2}],
)
def test_what_lacks_a_part_is_left_to_the_validation(override: dict[str, object]) -> None:
    _, values = compose(ROOT / "conf")
    assert find_inputs(values | override) == {}


def test_a_folder_around_another_input_is_none() -> None:
    """DVC takes no output that lies in another."""
    found = inputs("data.root=/data", "extraction.radgraph.folder=/data", "extraction.graphs=/data/graphs.json")
    assert "radgraph" not in found
    assert {"corpus", "rsna", "graphs"} < {*found}


def test_phantoms_by_their_absolute_path_are_no_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert inputs(f"data.root={ROOT}/data/phantom") == {}


@pytest.mark.parametrize("override", ["inputs={a:/etc/hostname}", "+inputs.corpus=/etc/hostname", "~inputs"])
def test_inputs_are_not_to_be_set(override: str) -> None:
    with pytest.raises(ParamsError, match="inputs"):
        inputs(override)


@pytest.mark.parametrize("absolute", [True, False])
def test_what_git_would_commit_is_refused(tmp_path: Path, absolute: bool) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/data\n")
    for folder in ("data", "cohort"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "export.csv").touch()
    start = tmp_path if absolute else Path()
    require_input("corpus", start / "data/export.csv", tmp_path)
    with pytest.raises(DatasetError, match=r"cohort/export\.csv lies in the project's folder .*data/raw"):
        require_input("corpus", start / "cohort/export.csv", tmp_path)


def test_a_relative_path_is_named_where_an_experiment_runs_in_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    (tmp_path / "export.csv").touch()
    with pytest.raises(DatasetError, match="give an absolute path"):
        require_input("corpus", Path("export.csv"), copy)


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(
    ("name", "remedy"), [("rsna", "set data.root"), ("graphs", "extraction.graphs"), ("radgraph", "radgraph.folder")]
)
def test_an_input_that_is_not_there_is_named_with_its_remedy(
    tmp_path: Path, name: str, remedy: str, absolute: bool
) -> None:
    path = tmp_path / "given" if absolute else Path("given")
    with pytest.raises(DatasetError, match=f"given is missing: .*{remedy}"):
        require_input(name, path, tmp_path)
    (tmp_path / "given").touch()
    require_input(name, path, tmp_path)


@pytest.mark.parametrize("lacking", ["corpus", "rsna"])
def test_a_dataset_that_is_not_there_is_named(tmp_path: Path, lacking: str) -> None:
    params = parse_params(compose(ROOT / "conf", [f"data.root={tmp_path}"])[1])
    tables = {"corpus": params.corpus, **params.benchmarks}
    paths = {name: tmp_path / dataset.folder / dataset.labels for name, dataset in tables.items()}
    for name, path in paths.items():
        if name != lacking:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    with pytest.raises(DatasetError, match=f"{paths[lacking]} is missing"):
        require_datasets(params.data, params.corpus, params.benchmarks)
    paths[lacking].parent.mkdir(parents=True, exist_ok=True)
    paths[lacking].touch()
    require_datasets(params.data, params.corpus, params.benchmarks)
