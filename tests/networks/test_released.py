import dataclasses
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.networks.medslip import MeDSLIP
from pipeline.networks.released import RELEASED, from_released, read_checkpoint, released_name, to_released
from pipeline.networks.released import write_checkpoint as write

REFERENCE = Path(__file__).with_name("released")
PARAMETERS = json.loads((REFERENCE / "parameters.json").read_text())
NORMS = ("weight", "bias")


def noise(name, *shape):
    """Normal draws that depend on a name alone."""
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))


def parameter(name, shape, dtype):
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    n = noise(name, *shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * n.abs()
    if name.endswith("running_mean"):
        return 0.1 * n
    if len(shape) == 1:
        return 1 + 0.1 * n if name.endswith(".weight") else 0.05 * n
    return n / np.sqrt(np.prod(shape[1:]))


@pytest.fixture(scope="module")
def state():
    """A state dict in the released layout."""
    return {name: parameter(name, *described) for name, described in PARAMETERS.items()}


@pytest.fixture(scope="module")
def shared(state):
    """The same, as the authors' model stores it: one layer under two names."""
    return state | {f"decoder_anatomy.norm.{part}": state[f"decoder_pathology.norm.{part}"] for part in NORMS}


@pytest.fixture(scope="module")
def imported(state):
    model = MeDSLIP(RELEASED)
    model.load_state_dict(from_released(state))
    return model.eval()


def outputs(model):
    images, anatomies = noise("dev/images", 2, 3, 224, 224), noise("dev/anatomy_book", 51, 768)
    with torch.no_grad():
        found = model(images, noise("dev/pathology_book", 75, 768), anatomies, maps=True)
    pathology, anatomy = found.pathology, found.anatomy
    return {
        "patch_pathology_mean": pathology.patches.mean(1),
        "patch_anatomy_mean": anatomy.patches.mean(1),
        "queried_pathology": pathology.queried[..., ::16],
        "queried_anatomy": anatomy.queried[..., ::16],
        "pathology_logits": pathology.logits,
        "anatomy_logits": anatomy.logits,
        "pathology_attention_layer_mean": pathology.attention.mean(1)[:, ::3, ::8],
        "cooccurrence_dot": found.icl_logits.mT[:, ::4, ::4],
    }


def test_an_imported_model_answers_as_the_released_one(imported):
    expected, found = np.load(REFERENCE / "expected.npz"), outputs(imported)
    assert set(expected) == set(found)
    for name, values in found.items():
        wanted = torch.from_numpy(expected[name])
        if name.endswith("logits"):  # this project keeps the difference of the two classes
            wanted = wanted[..., 1] - wanted[..., 0]
        torch.testing.assert_close(values, wanted, rtol=0, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_every_parameter_has_a_name_there():
    assert {released_name(name) for name in MeDSLIP(RELEASED).state_dict()} == set(PARAMETERS)


def test_there_and_back_is_bit_for_bit(shared, tmp_path):
    weights = from_released(shared)
    exported, left_out = to_released(RELEASED, weights)
    write(tmp_path / "checkpoint.pth", exported)
    again = read_checkpoint(tmp_path / "checkpoint.pth")
    assert left_out == []
    assert again.keys() == shared.keys()
    assert all(torch.equal(again[name], shared[name]) for name in shared)
    back = from_released(again)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_the_other_name_of_the_prompt_layer_is_known(state, tmp_path):
    renamed = {name.replace("pathology_embedding", "disease_embedding"): tensor for name, tensor in state.items()}
    torch.save({"model": renamed, "epoch": 7}, tmp_path / "checkpoint.pth")
    assert read_checkpoint(tmp_path / "checkpoint.pth").keys() == state.keys()


def test_names_of_a_model_wrapped_for_several_gpus_are_known(state, tmp_path):
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"model": wrapped}, tmp_path / "checkpoint.pth")
    assert read_checkpoint(tmp_path / "checkpoint.pth").keys() == state.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_generator.bias": None}, r"The checkpoint lacks mask_generator\.bias: give"),
        ({"head.weight": torch.ones(2)}, r"does not, head\.weight: give"),
        ({"head.weight": torch.ones(2), "mask_generator.bias": None}, r"lacks mask_generator\.bias: give"),
        (
            {"classifier_anatomy.weight": torch.ones(3, 256)},
            r"holds classifier_anatomy\.weight \(3, 256\) instead of \(2, 256\)",
        ),
        ({name: None for name in PARAMETERS if name.startswith("cl_fc")}, r"lacks .*cl_fc_\w+\.\w+ and 1 more: give"),
    ],
)
def test_parameters_that_do_not_fit_are_named(state, changes, message):
    other = {name: tensor for name, tensor in {**state, **changes}.items() if tensor is not None}
    with pytest.raises(ModelError, match=message):
        from_released(other)


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_refused_and_not_executed(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    content = {"model": {"a": torch.ones(1)}, "config": Harmful()}
    torch.save(content, tmp_path / "checkpoint.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match=r"checkpoint\.pth holds something other than tensors.*nothing in it was exec"):
        read_checkpoint(tmp_path / "checkpoint.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content", [{"state_dict": {}}, [torch.ones(1)], {"model": {"a": 1}}, {"model": torch.ones(1)}]
)
def test_a_file_without_a_state_dict_is_named(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(ModelError, match=r"checkpoint\.pth holds no state dict under `model`"):
        read_checkpoint(tmp_path / "checkpoint.pth")


def test_missing_and_damaged_files_are_named(tmp_path):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(ModelError, match="is missing"):
        read_checkpoint(path)
    torch.save({"model": {"a": torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ModelError, match=r"checkpoint\.pth is no readable"):
        read_checkpoint(path)
    for content in (b"", b"<!DOCTYPE html>\n<title>Sign in</title>", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"checkpoint\.pth is no readable torch checkpoint: download it anew"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": "sigmoid"}, r"counterpart of mask = sigmoid \(there linear\)"),
        ({"shared_norm": False}, "shared_norm = False"),
        ({"depths": (3, 4), "widths": (256, 512)}, r"depths = \(3, 4\) .*widths"),
        ({"disentangle": False}, "disentangle = False"),
        ({"heads": 8}, "heads = 8"),
        ({"text_size": 128}, "text_size = 128"),
    ],
)
def test_a_model_that_would_answer_differently_there_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        to_released(dataclasses.replace(RELEASED, **change), {})


def test_what_serves_training_alone_is_left_out_and_named(imported):
    config = dataclasses.replace(RELEASED, icl_similarity="cosine", icl_scale="learned", learn_tau=True)
    model = MeDSLIP(config)
    state, left_out = to_released(config, model.state_dict())
    assert state.keys() == PARAMETERS.keys()
    assert left_out == [
        "co_existence.anatomy.bias",
        "co_existence.anatomy.weight",
        "co_existence.bias",
        "co_existence.log_scale",
        "co_existence.pathology.bias",
        "co_existence.pathology.weight",
        "proto_log_scale",
    ]


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere/checkpoint\.pth cannot be written"):
        write(tmp_path / "nowhere" / "checkpoint.pth", {"a": torch.ones(1)})
