import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel

from pipeline.errors import ModelError
from pipeline.semantics.text_encoder import Pooling, TextEncoder, load_encoder, pool
from pipeline.semantics.tokens import train_tokenizer

TEXTS = [
    "a white patch",
    "the left lung is dark",
    "",
    "patch",
    "a long sentence about the left and the white lung " * 8,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as `save_pretrained` leaves it."""
    path = tmp_path_factory.mktemp("bert")
    tokenizer = train_tokenizer(TEXTS, 400, 32)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    shape = BertConfig(len(tokenizer), 16, 2, 2, 32, max_position_embeddings=32)
    BertModel(shape, add_pooling_layer=False).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return load_encoder(str(folder))


def one_at_a_time(encoder: TextEncoder, text: str, pooling: Pooling) -> torch.Tensor:
    ids = encoder.tokenizer(text, truncation=True, max_length=32, return_tensors="pt")["input_ids"]
    states = encoder.model(ids).last_hidden_state[0]
    return states[0] if pooling == "cls" else states.mean(0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_batches_give_what_single_texts_give(encoder: TextEncoder, pooling: Pooling, batch: int) -> None:
    vectors = encoder.encode(TEXTS, pooling, batch)
    expected = torch.stack([one_at_a_time(encoder, text, pooling) for text in TEXTS])
    assert vectors.dtype == torch.float32
    assert vectors.shape == (len(TEXTS), encoder.width)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)


def test_encoding_is_repeatable_and_may_be_empty(encoder: TextEncoder) -> None:
    assert torch.equal(encoder.encode(TEXTS, "mean"), encoder.encode(TEXTS, "mean"))
    assert encoder.encode([], "mean").shape == (0, encoder.width)
    assert not any(weight.requires_grad for weight in encoder.model.parameters())


@settings(max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 99))
def test_mean_pooling_ignores_padding(lengths: list[int], seed: int) -> None:
    states = torch.randn(len(lengths), 6, 3, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    expected = torch.stack([state[:length].mean(0) for state, length in zip(states, lengths, strict=True)])
    torch.testing.assert_close(pool(states, mask, "mean"), expected)


def copy(folder: Path, target: Path, without: tuple[str, ...] = ()) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_pickled_weights_are_read_without_running_code(folder: Path, encoder: TextEncoder, tmp_path: Path) -> None:
    old = copy(folder, tmp_path / "old", without=("model.safetensors",))
    torch.save(encoder.model.state_dict(), old / "pytorch_model.bin")
    assert torch.equal(load_encoder(str(old)).encode(TEXTS, "cls"), encoder.encode(TEXTS, "cls"))
    torch.save({"embeddings": print}, old / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(old))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", r"lacks config\.json"),
        ("model.safetensors", r"lacks model\.safetensors or pytorch_model\.bin"),
        ("tokenizer.json", r"lacks tokenizer\.json or vocab\.txt"),
    ],
)
def test_a_missing_file_is_named_with_the_files_to_bring(folder: Path, tmp_path: Path, file: str, message: str) -> None:
    broken = copy(folder, tmp_path / "broken", without=(file,))
    with pytest.raises(ModelError, match=message + ".*: bring config.json.*text_encoder.source"):
        load_encoder(str(broken))


def test_a_damaged_file_is_an_error(folder: Path, tmp_path: Path) -> None:
    broken = copy(folder, tmp_path / "broken", without=("model.safetensors",))
    (broken / "model.safetensors").write_bytes(b"half a download")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(broken))


def test_weights_of_another_model_are_an_error(folder: Path, tmp_path: Path) -> None:
    deeper = copy(folder, tmp_path / "deeper")
    config = json.loads((deeper / "config.json").read_text()) | {"num_hidden_layers": 3}
    (deeper / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"hold no fitting encoder\.layer\.2"):
        load_encoder(str(deeper))


@pytest.mark.parametrize("source", ["./models/nowhere", "/a/b/nowhere", "one/two/three", "nowhere"])
def test_a_missing_folder_is_named(source: str) -> None:
    with pytest.raises(ModelError, match=f"no folder {source} .*bring config.json"):
        load_encoder(source)


def test_an_unreachable_hub_is_an_error_in_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"some-lab/some-bert is no folder.*bring config\.json"):
        load_encoder("some-lab/some-bert")
