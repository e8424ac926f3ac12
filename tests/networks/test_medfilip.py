"""MedFILIP against a loop over its images and texts, and what becomes of it on disk."""

import dataclasses
import json
import shutil

import pytest
import tiny_medfilip as tiny
import torch
from safetensors.torch import load_file

from pipeline.errors import ModelError
from pipeline.networks.io import StoredMedFILIP, load_medslip, load_model, load_tokenizer, save_medfilip
from pipeline.networks.medfilip import MedFILIP, MedFILIPConfig

TEXTS = ["mild left lung edema", "mass", "round white mass blurred"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MedFILIP(tiny.CONFIG).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def tokens(texts):
    return tiny.tokenizer()(texts, padding=True, return_tensors="pt")["input_ids"]


def test_cosines_and_logits_against_a_loop(model, images):
    with torch.no_grad():
        output = model(images, tokens(TEXTS))
        for i, image in enumerate(images):
            pooled = model.backbone(image[None])[0].flatten(1).mean(1)
            u = model.image_projection(pooled)
            for m, text in enumerate(TEXTS):
                states = model.text(input_ids=tokens([text])).last_hidden_state[0]
                v = model.text_projection(states.mean(0))
                cosine = float(u @ v / (u.norm() * v.norm()))
                assert float(output.cosines[i, m]) == pytest.approx(cosine, abs=1e-5)
                assert float(output.logits[i, m]) == pytest.approx(10 * cosine - 1, abs=1e-4)


def test_padding_and_neighbours_change_nothing(model):
    with torch.no_grad():
        together = model.embed_texts(torch.nn.functional.pad(tokens(TEXTS), (0, 3)))
        alone = torch.cat([model.embed_texts(tokens([text])) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))


def test_the_scale_is_bounded(model, images):
    hot = MedFILIP(tiny.CONFIG).eval()
    hot.load_state_dict(model.state_dict())
    with torch.no_grad():
        hot.log_scale.fill_(20.0)
        output = hot(images, tokens(TEXTS))
    torch.testing.assert_close(output.logits, 100 * output.cosines - 1)


def test_every_weight_learns(images):
    network = MedFILIP(tiny.CONFIG)
    output = network(images, tokens(TEXTS))
    (output.logits.square().sum() + output.cosines.sum()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_a_frozen_text_transformer_is_looked_up(images):
    network = MedFILIP(dataclasses.replace(tiny.CONFIG, train_text=False, pooling="max")).eval()
    ids = tokens(TEXTS)
    with torch.no_grad():
        states = [network.text(input_ids=tokens([text])).last_hidden_state[0].mean(0) for text in TEXTS]
    vectors = torch.stack([state / state.norm() for state in states])
    output = network(images, vectors)
    torch.testing.assert_close(network.place_texts(vectors), network.embed_texts(ids), atol=1e-5, rtol=1e-4)
    output.logits.square().sum().backward()
    learning = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert not any(name.startswith("text.") for name in learning)
    assert {"text_projection.weight", "image_projection.weight", "log_scale"} <= learning


def test_max_pooling_sees_the_strongest_patch(images):
    network = MedFILIP(dataclasses.replace(tiny.CONFIG, pooling="max")).eval()
    with torch.no_grad():
        features = network.backbone(images)
        wanted = torch.stack([torch.stack([channel.max() for channel in image]) for image in features])
        found = network.project(features)
        torch.testing.assert_close(found, torch.nn.functional.normalize(network.image_projection(wanted), dim=-1))


def test_the_papers_network_is_a_whole_resnet_50():
    text = dataclasses.replace(tiny.CONFIG).text
    with torch.device("meta"):
        network = MedFILIP(MedFILIPConfig(text=text))
    assert sum(weight.numel() for weight in network.backbone.parameters()) == 23_508_032  # without the classifier


@pytest.fixture
def stored(model, tmp_path):
    tiny.tokenizer().save_pretrained(tmp_path / "tokenizer")
    save_medfilip(
        tmp_path / "m", tiny.CONFIG, model.state_dict(), ("edema", "mass"), tmp_path / "tokenizer", {"seed": 3}
    )
    return tmp_path / "m"


def test_it_loads_from_its_folder_alone(stored, model, images, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(stored, moved)
    shutil.rmtree(tmp_path / "tokenizer")
    found = load_model(moved)
    assert isinstance(found, StoredMedFILIP)
    assert (found.categories, found.extra, found.model.config) == (("edema", "mass"), {"seed": 3}, tiny.CONFIG)
    tokenizer = load_tokenizer(found.tokenizer)
    ids = tokenizer(TEXTS, padding=True, return_tensors="pt")["input_ids"]
    assert torch.equal(ids, tokens(TEXTS))
    assert torch.equal(found.model(images, ids).cosines, model(images, ids).cosines)
    assert not found.model.training
    assert load_file(moved / "model.safetensors").keys() == model.state_dict().keys()


def test_same_model_same_bytes(stored, model, tmp_path):
    save_medfilip(
        tmp_path / "n", tiny.CONFIG, model.state_dict(), ("edema", "mass"), tmp_path / "tokenizer", {"seed": 3}
    )
    names = sorted(path.relative_to(stored) for path in stored.rglob("*") if path.is_file())
    assert all((tmp_path / "n" / name).read_bytes() == (stored / name).read_bytes() for name in names)
    assert len(names) == 5


def test_no_code_of_a_stored_model_is_run(stored):
    config = json.loads((stored / "config.json").read_text())
    config["model"]["text"] |= {"model_type": "custom", "auto_map": {"AutoModel": "evil.Model"}}
    (stored / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json is not of this version"):
        load_model(stored)


def test_a_missing_tokenizer_is_one_sentence(stored):
    shutil.rmtree(stored / "tokenizer")
    with pytest.raises(ModelError, match="holds no readable tokenizer: run `dvc repro pretrain`"):
        load_tokenizer(load_model(stored).tokenizer)


def test_what_is_for_medslip_says_so(stored):
    with pytest.raises(ModelError, match="holds MedFILIP, and this is for MeDSLIP only: pre-train with method=medslip"):
        load_medslip(stored)
