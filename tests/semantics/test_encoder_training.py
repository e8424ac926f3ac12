from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.semantics.encoder_training import IGNORED, EncoderConfig, mask_tokens, train_encoder
from pipeline.semantics.text_encoder import load_encoder
from pipeline.semantics.tokens import SPECIAL

REPORTS = [f"The {where} is {what}. There is {size} effusion." for where in ("lung", "heart", "left base", "hilum")
           for what in ("clear", "large", "white") for size in ("a small", "no", "a large")]  # fmt: skip
DESCRIPTIONS = [
    ("Fluid hides the base as a white layer.", "effusion", "layer, white"),
    ("The heart is wide and large.", "cardiomegaly", "wide, soft tissue"),
    ("A small round white spot in the lung.", "nodule", "round spot, white"),
]
HELD_OUT = ["The left base is white and clear.", "No effusion at the hilum."]
CONFIG = EncoderConfig(hidden=32, layers=1, heads=2, vocabulary=400, steps=60, batch=8, lr=5e-3, contrast=0.3)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_training_learns_and_gives_the_same_bytes(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    figures = train_encoder(REPORTS, DESCRIPTIONS, HELD_OUT, tmp_path / "one", CONFIG, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(figures) == {"loss", "accuracy", "held_out_loss", "held_out_accuracy", "matched"}
    assert figures["loss"] < 4 < torch.tensor(400.0).log()
    assert figures["matched"] == 1
    assert train_encoder(REPORTS, DESCRIPTIONS, HELD_OUT, tmp_path / "two", CONFIG, seed=1) == figures
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    train_encoder(REPORTS, DESCRIPTIONS, HELD_OUT, tmp_path / "three", CONFIG, seed=2)
    assert contents(tmp_path / "three")["model.safetensors"] != contents(tmp_path / "one")["model.safetensors"]
    vectors = load_encoder(str(tmp_path / "one")).encode([texts[0] for texts in DESCRIPTIONS], "mean")
    assert vectors.shape == (3, 32)
    assert vectors.std(0).mean() > 0.1


def test_without_unseen_sentences_nothing_is_said_of_them(tmp_path: Path) -> None:
    figures = train_encoder(REPORTS, DESCRIPTIONS, REPORTS[:2], tmp_path, replace(CONFIG, steps=2), seed=1)
    assert set(figures) == {"loss", "accuracy", "matched"}


def test_too_few_sentences_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="too few for batches of 8"):
        train_encoder(["One."], DESCRIPTIONS[:1], [], tmp_path, CONFIG, seed=1)


def test_masking_hides_fifteen_percent_and_only_ordinary_tokens() -> None:
    tokens = torch.arange(400).repeat(500, 1)
    masked, targets = mask_tokens(tokens, 400, torch.Generator().manual_seed(0))
    chosen = targets != IGNORED
    assert not chosen[:, : len(SPECIAL)].any()
    assert torch.equal(masked[~chosen], tokens[~chosen])
    assert torch.equal(targets[chosen], tokens[chosen])
    assert chosen[:, len(SPECIAL) :].float().mean() == pytest.approx(0.15, abs=0.005)
    is_mask = masked[chosen] == list(SPECIAL).index("mask_token")
    kept = masked[chosen] == tokens[chosen]
    assert is_mask.float().mean() == pytest.approx(0.8, abs=0.01)
    assert kept.float().mean() == pytest.approx(0.1, abs=0.01)
    assert (masked[chosen & (masked != tokens)] >= list(SPECIAL).index("mask_token")).all()
