"""ImageNet encoders from checkpoints that transformers writes."""

import json

import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification, ResNetModel

from pipeline.errors import ModelError
from pipeline.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from pipeline.networks.imagenet import load_imagenet


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32], depths=[1, 2, 1], layer_type="basic")
    model = ResNetForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "resnet")
    return tmp_path / "resnet", model


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_features_are_those_of_transformers(checkpoint, stages):
    folder, model = checkpoint
    encoder = load_imagenet(str(folder), stages)
    assert not encoder.training
    grey = torch.rand(2, 1, 64, 64)
    normalised = (grey - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    with torch.no_grad():
        states = model.resnet(normalised, output_hidden_states=True).hidden_states  # the stem's, then each stage's
        torch.testing.assert_close(encoder(grey), states[min(stages, 3)])


def test_a_model_without_a_classifier_has_no_prefix(tmp_path):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[16], depths=[1], layer_type="bottleneck")
    model = ResNetModel(config)
    model.save_pretrained(tmp_path)
    weights = load_imagenet(str(tmp_path), 1).resnet.state_dict()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(checkpoint, name):
    folder, _ = checkpoint
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"lacks {name}: bring config.json and model.safetensors"):
        load_imagenet(str(folder), 2)


def test_what_is_no_resnet_is_an_error(checkpoint, tmp_path):
    folder, _ = checkpoint
    with pytest.raises(ModelError, match=r"no folder \./nowhere with a ResNet: bring config.json"):
        load_imagenet("./nowhere", 2)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"depths": [1, 1, 1], "hidden_sizes": [8, 24, 32]}))
    with pytest.raises(ModelError, match=r"hold no fitting encoder\.stages\.1"):
        load_imagenet(str(folder), 2)
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu"}))
    with pytest.raises(ModelError, match="hidden_act gelu, not relu"):
        load_imagenet(str(folder), 2)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="describes no ResNet"):
        load_imagenet(str(folder), 2)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="not readable"):
        load_imagenet(str(folder), 2)


def test_without_a_network_the_hub_says_what_to_bring(monkeypatch):
    def unreachable(*args, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"the hub gave none \(ConnectionError\): bring config.json"):
        load_imagenet("microsoft/resnet-18", 2)
