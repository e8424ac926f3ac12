import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from pipeline import cli
from pipeline.errors import ModelError
from pipeline.imported import QUERIES, imported_folder
from pipeline.networks.io import load_model, save_model
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig
from pipeline.networks.released import RELEASED, to_released, write_checkpoint

NAMES = json.loads((Path(__file__).parent / "semantics" / "released_names.json").read_text())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint and explanations as the authors publish them, with random weights."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    state, _ = to_released(RELEASED, MeDSLIP(RELEASED).state_dict())
    write_checkpoint(folder / "medslip.pth", state)
    (folder / "explanations.json").write_text(json.dumps({name: f"It is {name}." for name in NAMES["pathology"]}))
    return folder, state


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cxr(monkeypatch, capsys, *arguments, code=0):
    """Run the command; what it printed."""
    monkeypatch.setattr(sys, "argv", ["cxr", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert (ended.value.code or 0) == code, printed.err
    return printed.out + printed.err


def test_an_import_is_a_folder_named_by_its_content(published, project, monkeypatch, capsys):
    folder, state = published
    command = ("import-checkpoint", folder / "medslip.pth", "--explanations", folder / "explanations.json")
    said = cxr(monkeypatch, capsys, *command)
    (own,) = (project / "models" / "imported").iterdir()
    assert f"-S model.imported=models/imported/{own.name}" in said
    stored = load_model(own)
    assert (list(stored.pathologies), list(stored.anatomies)) == (NAMES["pathology"], NAMES["anatomy"])
    assert torch.equal(stored.model.mask_generator.weight, state["mask_generator.weight"])
    assert yaml.safe_load((own / QUERIES).read_text())["pathology"]["scar"] == "It is scar."
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    assert cxr(monkeypatch, capsys, *command) == said
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    other = project / "other.json"
    other.write_text((folder / "explanations.json").read_text().replace("It is scar.", "Something else."))
    cxr(monkeypatch, capsys, *command[:-1], other)
    assert len(list(own.parent.iterdir())) == 2

    cxr(monkeypatch, capsys, "export-checkpoint", "back.pth", "--model", own)
    back = torch.load("back.pth", weights_only=True)["model"]
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    experiment = project / ".dvc" / "tmp" / "exps" / "tmpab12"
    experiment.mkdir(parents=True)
    monkeypatch.chdir(experiment)  # where DVC runs experiments, in a copy without models/
    assert imported_folder(f"models/imported/{own.name}") == own
    assert imported_folder(str(own)) == own


def test_what_is_no_import_is_named(project):
    with pytest.raises(ModelError, match=r"model\.imported = models/imported/x holds no imported model"):
        imported_folder("models/imported/x")


def test_a_model_without_counterpart_is_refused_in_one_sentence(project, monkeypatch, capsys):
    config = MeDSLIPConfig(depths=(1,), widths=(16,), stem=8, text_size=8, hidden_size=8, heads=2, layers=1)
    save_model(project / "own", config, MeDSLIP(config).state_dict(), ("edema",), ("other",), {})
    said = cxr(monkeypatch, capsys, "export-checkpoint", "out.pth", "--model", project / "own", code=1)
    assert said.startswith("error: The authors' model has no counterpart of depths = (1,) (there (3, 4, 6)), widths")
    assert not (project / "out.pth").exists()


def test_bad_files_are_one_sentence(published, project, monkeypatch, capsys):
    folder, _ = published
    said = cxr(
        monkeypatch, capsys, "import-checkpoint", "no.pth", "--explanations", folder / "explanations.json", code=1
    )
    assert said == "error: no.pth is missing: give the path of the downloaded checkpoint.\n"
    assert not (project / "models").exists()
