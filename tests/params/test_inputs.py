from pathlib import Path

import pytest

from pipeline.errors import DatasetError
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
