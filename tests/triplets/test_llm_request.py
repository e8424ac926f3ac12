"""The prompt as data: its examples are right, and a wrong file is named."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.schemas import SEVERITIES
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.llm_request import Entity, load_questions
from pipeline.triplets.llm_rules import LlmReader
from pipeline.triplets.shards import Item

_FILE = Path("pipeline/triplets/llm_prompt.yaml")
_PROMPT = yaml.safe_load(_FILE.read_text())


def test_the_examples_hold_what_the_instructions_ask_for() -> None:
    messages = load_questions("m", 0.0).request("No edema.")["messages"]
    assert [message["role"] for message in messages] == [
        "system",
        *["user", "assistant"] * len(_PROMPT["examples"]),
        "user",
    ]
    reader, lexicon = LlmReader(), load_lexicon()
    for question, answer in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
        triplets, counts = reader.read([Item("s", question["content"], "", answer["content"])])
        assert counts.pop("entities") == len(triplets)
        assert not any(counts.values())
    for example in _PROMPT["examples"]:
        for entity in example["entities"]:
            assert entity["category"] in lexicon.pathologies
            assert entity["location"] is None or entity["location"] in lexicon.anatomies


def test_the_severities_are_those_of_the_triplets() -> None:
    assert get_args(get_args(Entity.model_fields["severity"].annotation)[0]) == SEVERITIES


def test_the_instructions_name_the_lexicon() -> None:
    instructions = load_questions("m", 0.0).request("No edema.")["messages"][0]["content"]
    for name in (*load_lexicon().pathologies, *load_lexicon().anatomies):
        assert name in instructions


def test_the_digest_is_of_prompt_and_report(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    digests = set()
    for change in ({}, {"instructions": "Read."}, {"examples": []}, {"correction": "Again."}):
        own.write_text(yaml.safe_dump(_PROMPT | change))
        questions = load_questions("m", 0.0, own)
        assert questions.digest("No edema.") == load_questions("m", 0.0, own).digest("No edema.")
        digests |= {questions.digest("No edema."), questions.digest("Edema.")}
    assert len(digests) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instructions": "{unknown}"}, "hold a brace"),
        ({"instructions": "{"}, "hold a brace"),
        ({"note": "x"}, "wrong at note"),
        ({"examples": [{"report": "x", "entities": [{"category": "edema"}]}]}, r"wrong at examples\.0\.entities\.0\."),
    ],
)
def test_a_wrong_prompt_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(_PROMPT | change))
    with pytest.raises(ParamsError, match=message):
        load_questions("m", 0.0, own)


def test_a_missing_prompt_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"gone\.yaml cannot be read"):
        load_questions("m", 0.0, tmp_path / "gone.yaml")
