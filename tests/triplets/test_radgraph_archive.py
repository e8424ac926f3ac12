"""Archives that are missing, cut short, hostile, or only on the hub."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import tiny_radgraph as tiny
import torch

from pipeline.errors import ModelError, ParamsError
from pipeline.triplets import radgraph_archive
from pipeline.triplets.radgraph_archive import RadGraphConfig, archive_files, load_radgraph

MODEL = "radgraph-xl"
TEXTS = tiny.reports(5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tiny.write_archive(folder)
    return folder


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy to break; its config.json names BERT where it lies in the original."""
    shutil.copytree(whole / MODEL, tmp_path / MODEL)
    return tmp_path


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty local cache of the hub, which itself is out of reach."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cache(hub: Path, repository: str) -> Path:
    """The folder where the local cache keeps the files of a repository."""
    cached = hub / f"models--{repository.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a" * 40)
    (cached / "snapshots" / ("a" * 40)).mkdir(parents=True)
    return cached / "snapshots" / ("a" * 40)


def rename_bert(root: Path, name: str) -> None:
    config = root / MODEL / "config.json"
    values = json.loads(config.read_text())
    for part in radgraph_archive._bert_parts(values, root / MODEL):
        part["model_name"] = name
    config.write_text(json.dumps(values))


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_the_package_s_model_and_the_folder_stays_as_it_is(whole: Path) -> None:
    before = files(whole)
    loaded = load_radgraph(RadGraphConfig(MODEL, str(whole)))
    assert files(whole) == before
    assert not loaded.model.training
    assert loaded(TEXTS) == tiny.load_package(whole)(TEXTS)


@pytest.mark.parametrize("name", archive_files(MODEL))
def test_a_missing_file_is_named_with_where_to_get_it(root: Path, name: str) -> None:
    (root / MODEL / name).unlink()
    with pytest.raises(ModelError, match=rf"lacks {name} in {root / MODEL}: unpack radgraph-xl\.tar\.gz of .*folder"):
        load_radgraph(RadGraphConfig(MODEL, str(root)))


def test_a_missing_folder_names_all_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_radgraph(RadGraphConfig(MODEL, str(tmp_path / "nowhere")))
    assert all(name in str(caught.value) for name in archive_files(MODEL))
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_model_is_an_error(whole: Path) -> None:
    with pytest.raises(ParamsError, match=r"extraction\.radgraph\.model is 'echograph': use one of radgraph, "):
        load_radgraph(RadGraphConfig("echograph", str(whole)))


@pytest.mark.parametrize(("file", "message"), [("config.json", "lacks config.json"), ("vocab.txt", "lacks tokenizer")])
def test_a_missing_file_of_bert_is_named(root: Path, whole: Path, file: str, message: str) -> None:
    shutil.copytree(whole / "bert", root / MODEL / "bert")
    (root / MODEL / "bert" / file).unlink()
    with pytest.raises(ModelError, match=f"{message}.*bert: bring config.json and .*no weights"):
        load_radgraph(RadGraphConfig(MODEL, str(root)))


@pytest.mark.parametrize("name", ["some-lab/some-bert", "/a/folder/of/another/computer", "bert"])
def test_bert_is_asked_for_by_name_and_may_be_brought_along(root: Path, whole: Path, name: str) -> None:
    rename_bert(root, name)
    with pytest.raises(ModelError, match=f"BERT {name} is no folder and not in the local cache.*to {root}/.*/bert"):
        load_radgraph(RadGraphConfig(MODEL, str(root)))
    shutil.copytree(whole / "bert", root / MODEL / "bert")
    assert load_radgraph(RadGraphConfig(MODEL, str(root)))(TEXTS) == tiny.load_package(whole)(TEXTS)


def test_without_the_hub_its_archive_is_named() -> None:
    with pytest.raises(ModelError, match=r"radgraph-xl\.tar\.gz is not in the local cache.*unpack .*radgraph\.folder"):
        load_radgraph(RadGraphConfig(MODEL, ""))


def test_the_hub_s_files_are_read_from_its_local_cache(root: Path, whole: Path, hub: Path) -> None:
    rename_bert(root, "some-lab/some-bert")
    with tarfile.open(cache(hub, radgraph_archive.REPOSITORY) / f"{MODEL}.tar.gz", "w:gz") as tar:
        for name in archive_files(MODEL):
            tar.add(root / MODEL / name, name)
    shutil.copytree(whole / "bert", cache(hub, "some-lab/some-bert"), dirs_exist_ok=True)
    assert load_radgraph(RadGraphConfig(MODEL, ""))(TEXTS) == tiny.load_package(whole)(TEXTS)


def test_an_archive_that_reaches_out_of_its_folder_is_refused(root: Path, hub: Path, tmp_path: Path) -> None:
    with tarfile.open(cache(hub, radgraph_archive.REPOSITORY) / f"{MODEL}.tar.gz", "w:gz") as tar:
        tar.add(root / MODEL / "config.json", "../../escaped.json")
    with pytest.raises(ModelError, match=r"tar\.gz cannot be unpacked .*delete it"):
        load_radgraph(RadGraphConfig(MODEL, ""))


class Hostile:
    """Its pickle makes a file when it is loaded by pickle's rules."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("force", ["0", "1"])
def test_code_in_the_weights_is_not_run(root: Path, monkeypatch: pytest.MonkeyPatch, force: str) -> None:
    weights = root / MODEL / "weights.th"
    torch.save({"weight": Hostile(root / "mark")}, weights)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    with pytest.raises(
        ModelError, match=r"weights\.th holds more than tensors.*was not run: bring it from a source you trust"
    ):
        load_radgraph(RadGraphConfig(MODEL, str(root)))
    assert not (root / "mark").exists()
    torch.load(weights, weights_only=False)
    assert (root / "mark").exists(), "the file is harmless, so that this test shows nothing"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", r"config\.json is not valid JSON"),
        ("config.json", b"[]", r"config\.json is none of RadGraph's"),
        ("config.json", b'{"dataset_reader": {}}', r"config\.json is none of RadGraph's"),
        ("weights.th", b"half a download", "cannot be loaded from .*anew from one source"),
        ("vocabulary/radgraph-xl__ner_labels.txt", b"a\nb\n", "cannot be loaded from .*anew from one source"),
        ("vocabulary/radgraph-xl__relation_labels.txt", b"modify\n", "cannot be loaded from .*anew from one source"),
    ],
)
def test_damage_is_an_error(root: Path, name: str, content: bytes, message: str) -> None:
    (root / MODEL / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_radgraph(RadGraphConfig(MODEL, str(root)))


def test_two_names_for_bert_are_an_error(root: Path) -> None:
    config = root / MODEL / "config.json"
    values = json.loads(config.read_text())
    values["dataset_reader"]["token_indexers"]["bert"]["model_name"] = "some-lab/another"
    config.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"names two models .*some-lab/another.*: name one twice"):
        load_radgraph(RadGraphConfig(MODEL, str(root)))
