from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file

from pipeline.semantics.text_encoder import TextEncoder
from pipeline.semantics.vectors import encode_prompts, write_vectors

PROMPTS = pl.DataFrame(
    [
        ("pathology", "explanation", 1, "edema", "Wet lungs."),
        ("pathology", "explanation", 0, "mass", "A large round shadow."),
        ("anatomy", "template", 0, "lung", "It is located at lung."),
        ("covidx", "name", 0, "covid-19", "covid-19"),
        ("cxr14", "name", 0, "edema", "edema"),
        ("cxr14", "name", 1, "mass", "mass"),
        ("cxr14", "explanation", 1, "mass", "A large round shadow."),
        ("cxr14", "explanation", 0, "edema", "Wet lungs."),
    ],
    schema={"group": pl.String, "style": pl.String, "index": pl.Int32, "name": pl.String, "text": pl.String},
    orient="row",
)


class Lengths(TextEncoder):
    """Encodes a text as its length and its first letter, and remembers what it was asked."""

    def __init__(self) -> None:
        object.__setattr__(self, "asked", [])

    def encode(self, texts: Sequence[str], pooling: str, batch: int = 32) -> torch.Tensor:
        self.asked.extend(texts)  # type: ignore[attr-defined]
        return torch.tensor([[float(len(text)), float(ord(text[0]))] for text in texts])


def test_vectors_lie_in_the_order_of_the_index_and_each_text_is_encoded_once(tmp_path: Path) -> None:
    encoder = Lengths()
    write_vectors(encode_prompts(PROMPTS, encoder, "mean"), tmp_path / "models" / "prompts.safetensors")
    vectors = load_file(tmp_path / "models" / "prompts.safetensors")
    assert set(vectors) == {f"{group}/{style}" for group, style in PROMPTS.select("group", "style").rows()}
    for (group, style), rows in PROMPTS.group_by("group", "style"):
        texts = rows.sort("index")["text"]
        assert vectors[f"{group}/{style}"].tolist() == [[len(text), ord(text[0])] for text in texts]
    assert len(encoder.asked) == len(set(encoder.asked)) == PROMPTS["text"].n_unique()  # type: ignore[attr-defined]


def test_what_benchmarks_ask_changes_no_vector_that_is_learned_from() -> None:
    class Company(Lengths):
        """Encodes a text as the number of those it is encoded with."""

        def encode(self, texts: Sequence[str], pooling: str, batch: int = 32) -> torch.Tensor:
            return torch.full((len(texts), 1), float(len(texts)))

    few, many = (
        encode_prompts(table, Company(), "mean") for table in (PROMPTS.filter(pl.col("group") != "cxr14"), PROMPTS)
    )
    assert few["covidx/name"].tolist() != many["covidx/name"].tolist()
    for group in ("pathology/explanation", "anatomy/template"):
        assert few[group].tolist() == many[group].tolist()


def test_the_same_vectors_give_the_same_bytes(tmp_path: Path) -> None:
    vectors = {"b/name": torch.ones(2, 3), "a/name": torch.zeros(1, 3)}
    write_vectors(vectors, tmp_path / "one")
    write_vectors(dict(reversed(vectors.items())), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
