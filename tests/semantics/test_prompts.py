from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from pipeline.errors import ParamsError
from pipeline.schemas import PROMPTS, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.prompts import encode_prompts, prompt_table, write_vectors
from pipeline.semantics.text_encoder import TextEncoder

KNOWLEDGE = load_knowledge()
QUERY_SETS = pl.DataFrame(
    [
        ("pathology", 1, "edema", KNOWLEDGE.explanation("edema")),
        ("pathology", 0, "mass", KNOWLEDGE.explanation("mass")),
        ("anatomy", 0, "lung", "It is located at lung."),
    ],
    schema={"kind": pl.String, "index": pl.Int32, "name": pl.String, "prompt": pl.String},
    orient="row",
)
BENCHMARKS = {
    "cxr14": {"Edema": ("edema", None), "Mass": ("mass", None)},
    "covidx": {"positive": ("covid-19", None)},
    "mimic_fg": {"mild edema": ("edema", "mild"), "severe mass": ("mass", "severe")},
}


class Lengths(TextEncoder):
    """Encodes a text as its length and its first letter, and remembers what it was asked."""

    def __init__(self) -> None:
        object.__setattr__(self, "asked", [])

    def encode(self, texts: Sequence[str], pooling: str, batch: int = 32) -> torch.Tensor:
        self.asked.extend(texts)  # type: ignore[attr-defined]
        return torch.tensor([[float(len(text)), float(ord(text[0]))] for text in texts])


def test_every_benchmark_is_prompted_in_three_styles(tmp_path: Path) -> None:
    table = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE)
    write_table(table, tmp_path / "prompts.parquet", PROMPTS)
    assert table.filter(group="pathology").rows() == [
        ("pathology", "explanation", 0, "mass", KNOWLEDGE.explanation("mass")),
        ("pathology", "explanation", 1, "edema", KNOWLEDGE.explanation("edema")),
    ]
    assert table.filter(group="anatomy").rows() == [("anatomy", "template", 0, "lung", "It is located at lung.")]
    assert table.filter(group="cxr14", style="template")["text"].to_list() == ["There is edema.", "There is mass."]
    assert table.filter(group="covidx").select("style", "name", "text").rows() == [
        ("name", "positive", "covid-19"),
        ("template", "positive", "There is covid-19."),
        ("explanation", "positive", KNOWLEDGE.explanation("covid-19")),
    ]


def test_a_severity_is_named_in_every_style() -> None:
    rows = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE).filter(group="mimic_fg", name="mild edema")
    texts = dict(rows.select("style", "text").rows())
    assert texts["name"] == "mild edema"
    assert texts["template"] == "There is mild edema."
    assert texts["explanation"].startswith(f"mild edema. {KNOWLEDGE.explanation('edema')}")
    wording = KNOWLEDGE.severity_wording("edema", "mild")
    assert texts["explanation"].endswith(f" {wording[0].upper()}{wording[1:]}.")


def test_a_finding_is_explained_in_the_words_of_the_query_that_stands_for_it() -> None:
    own = QUERY_SETS.with_columns(prompt=pl.when(name="edema").then(pl.lit("Wet lungs.")).otherwise("prompt"))
    table = prompt_table(own, BENCHMARKS, KNOWLEDGE)
    asked = dict(table.filter(group="cxr14", style="explanation").select("name", "text").rows())
    assert asked == {"Edema": "Wet lungs.", "Mass": KNOWLEDGE.explanation("mass")}


def test_vectors_lie_in_the_order_of_the_index_and_each_text_is_encoded_once(tmp_path: Path) -> None:
    table = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE)
    encoder = Lengths()
    write_vectors(encode_prompts(table, encoder, "mean"), tmp_path / "models" / "prompts.safetensors")
    vectors = load_file(tmp_path / "models" / "prompts.safetensors")
    assert set(vectors) == {f"{group}/{style}" for group, style in table.select("group", "style").rows()}
    for (group, style), rows in table.group_by("group", "style"):
        texts = rows.sort("index")["text"]
        assert vectors[f"{group}/{style}"].tolist() == [[len(text), ord(text[0])] for text in texts]
    assert len(encoder.asked) == len(set(encoder.asked)) == table["text"].n_unique()  # type: ignore[attr-defined]


def test_what_benchmarks_ask_changes_no_vector_that_is_learned_from() -> None:
    class Company(Lengths):
        """Encodes a text as the number of those it is encoded with."""

        def encode(self, texts: Sequence[str], pooling: str, batch: int = 32) -> torch.Tensor:
            return torch.full((len(texts), 1), float(len(texts)))

    few, many = (
        encode_prompts(prompt_table(QUERY_SETS, asked, KNOWLEDGE), Company(), "mean")
        for asked in ({"covidx": BENCHMARKS["covidx"]}, BENCHMARKS)
    )
    assert few["covidx/name"].tolist() != many["covidx/name"].tolist()
    for group in ("pathology/explanation", "anatomy/template"):
        assert few[group].tolist() == many[group].tolist()


def test_the_same_vectors_give_the_same_bytes(tmp_path: Path) -> None:
    vectors = {"b/name": torch.ones(2, 3), "a/name": torch.zeros(1, 3)}
    write_vectors(vectors, tmp_path / "one")
    write_vectors(dict(reversed(vectors.items())), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_benchmark_finding_without_explanation_is_named() -> None:
    with pytest.raises(ParamsError, match="'gout'"):
        prompt_table(QUERY_SETS, {"feet": {"Gout": ("gout", None)}}, KNOWLEDGE)
