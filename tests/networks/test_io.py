import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import ModelError
from pipeline.networks.io import load_model, save_model, write_atomically
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig

CONFIG = MeDSLIPConfig(
    block="basic", depths=(1,), widths=(8,), stem=4, channels=1, text_size=6, hidden_size=8, heads=2, layers=1,
    feed_forward=8,
)  # fmt: skip


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    model = MeDSLIP(CONFIG).eval()
    save_model(tmp_path / "m", CONFIG, model.state_dict(), ("edema", "mass"), ("lung", "other"), {"seed": 3})
    return tmp_path / "m", model


def test_what_is_saved_is_loaded(stored):
    folder, model = stored
    loaded = load_model(folder)
    assert loaded.model.config == CONFIG
    assert (loaded.pathologies, loaded.anatomies, loaded.extra) == (("edema", "mass"), ("lung", "other"), {"seed": 3})
    images, prompts = torch.rand(2, 1, 32, 32), (torch.randn(2, 6), torch.randn(2, 6))
    assert torch.equal(loaded.model(images, *prompts).pathology.logits, model(images, *prompts).pathology.logits)
    assert not loaded.model.training


def test_a_shared_layer_is_stored_under_both_names(tmp_path):
    config = dataclasses.replace(CONFIG, shared_norm=True)
    model = MeDSLIP(config)
    torch.nn.init.normal_(model.pathology.decoder.norm.weight)
    save_model(tmp_path, config, model.state_dict(), ("edema",), ("other",), {})
    loaded = load_model(tmp_path).model.state_dict()
    assert torch.equal(loaded["anatomy.decoder.norm.weight"], model.state_dict()["pathology.decoder.norm.weight"])
    assert loaded.keys() == model.state_dict().keys()


def test_same_model_same_bytes(stored, tmp_path):
    folder, model = stored
    save_model(tmp_path / "n", CONFIG, model.state_dict(), ("edema", "mass"), ("lung", "other"), {"seed": 3})
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "n" / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_file(stored, name):
    folder, _ = stored
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_model(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {"depth": 3}}'])
def test_broken_config(stored, content):
    folder, _ = stored
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(folder)


def test_truncated_weights(stored):
    folder, _ = stored
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="safetensors"):
        load_model(folder)


def test_weights_of_another_config(stored):
    folder, _ = stored
    config = json.loads((folder / "config.json").read_text())
    config["model"]["hidden_size"] = 16
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not fit"):
        load_model(folder)


def test_pickles_are_not_read(stored):
    folder, model = stored
    torch.save(model.state_dict(), folder / "model.safetensors")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(folder)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "file" / "m", CONFIG, {}, (), (), {})


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights"
    save_file({"a": torch.ones(2)}, path)
    before = path.read_bytes()

    def fail(unfinished):
        unfinished.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, fail)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]
