from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import ParamsError
from pipeline.schemas import PROMPTS, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.semantics.prompts import prompt_table

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


def test_every_benchmark_is_prompted_in_four_styles(tmp_path: Path) -> None:
    table = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE, KNOWLEDGE)
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
        ("label", "positive", label_text("covid-19", None, None, KNOWLEDGE)),
    ]


def test_a_severity_is_named_in_every_style() -> None:
    rows = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE, KNOWLEDGE).filter(group="mimic_fg", name="mild edema")
    texts = dict(rows.select("style", "text").rows())
    assert texts["name"] == "mild edema"
    assert texts["template"] == "There is mild edema."
    assert texts["explanation"].startswith(f"mild edema. {KNOWLEDGE.explanation('edema')}")
    wording = KNOWLEDGE.severity_wording("edema", "mild")
    assert texts["explanation"].endswith(f" {wording[0].upper()}{wording[1:]}.")
    assert texts["label"] == texts["explanation"]


def test_labels_without_injected_knowledge_end_with_themselves() -> None:
    rows = prompt_table(QUERY_SETS, BENCHMARKS, KNOWLEDGE, None).filter(style="label")
    assert rows["text"].to_list() == ["edema.", "mass.", "covid-19.", "mild edema.", "severe mass."]


def test_a_finding_is_explained_in_the_words_of_the_query_that_stands_for_it() -> None:
    own = QUERY_SETS.with_columns(prompt=pl.when(name="edema").then(pl.lit("Wet lungs.")).otherwise("prompt"))
    table = prompt_table(own, BENCHMARKS, KNOWLEDGE, KNOWLEDGE)
    asked = dict(table.filter(group="cxr14", style="explanation").select("name", "text").rows())
    assert asked == {"Edema": "Wet lungs.", "Mass": KNOWLEDGE.explanation("mass")}


def test_a_benchmark_finding_without_explanation_is_named() -> None:
    with pytest.raises(ParamsError, match="'gout'"):
        prompt_table(QUERY_SETS, {"feet": {"Gout": ("gout", None)}}, KNOWLEDGE, None)
