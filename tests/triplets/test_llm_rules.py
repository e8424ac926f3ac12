"""Entities of a language model to triplets: names, spans, and what is dropped."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.triplets import extract
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.llm_rules import COUNTS, LlmReader, load_names
from pipeline.triplets.shards import Item
from pipeline.triplets.triplet import Triplet

_READER = LlmReader()
_REPORT = "The heart is enlarged. Small left\n  pleural effusion. No edema.\n\nEdema has resolved. Possible pneumonia."


def _read(*entities: dict[str, Any], report: str = _REPORT) -> tuple[list[Triplet], dict[str, int]]:
    default = {"severity": None, "location": None, "category": None, "negated": False, "uncertain": False}
    answer = json.dumps({"entities": [default | entity for entity in entities]})
    triplets, counts = _READER.read([Item("s", report, "", answer)])
    assert tuple(counts) == COUNTS
    assert counts["entities"] == len(entities)
    return [triplet for _, triplet in triplets], {name: n for name, n in counts.items() if n and name != "entities"}


def _names(*triplets: Triplet) -> list[tuple[str, str]]:
    return [(triplet.pathology, triplet.anatomy) for triplet in triplets]


def test_an_entity_is_the_triplet_that_the_rules_read() -> None:
    found, dropped = _read(
        {"category": "cardiomegaly", "location": "heart", "evidence": "The heart is enlarged"},
        {"category": "pleural effusion", "location": "left pleura", "severity": "mild",
         "evidence": "Small left pleural effusion"},
        {"category": "edema", "negated": True, "evidence": "No edema"},
        {"category": "edema", "negated": True, "evidence": "Edema has resolved"},
        {"category": "pneumonia", "uncertain": True, "evidence": "Possible pneumonia"},
    )  # fmt: skip
    assert not dropped
    assert found == [Triplet(*row[1:]) for row in extract(_table(_REPORT)).rows()]


def test_negated_is_absent_even_if_uncertain() -> None:
    found, _ = _read({"category": "edema", "negated": True, "uncertain": True, "evidence": "No edema"})
    assert found[0].existence == "absent"


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        ({"category": None, "evidence": "No edema"}, "entities_without_category"),
        ({"category": " ", "evidence": "No edema"}, "entities_without_category"),
        ({"category": "gout", "evidence": "No edema"}, "unknown_category"),
        ({"category": "edema or pneumonia", "evidence": "No edema"}, "unknown_category"),
        ({"category": "edema", "evidence": "no edema"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "edema is large"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "pleural  edema"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": ""}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": " \n"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "N.*a"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "."}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "o"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "No ede"}, "evidence_not_in_report"),
        ({"category": "edema", "evidence": "dema"}, "evidence_not_in_report"),
    ],
)
def test_what_is_dropped_is_counted_once(entity: dict[str, Any], reason: str) -> None:
    assert _read(entity) == ([], {reason: 1})


def test_evidence_in_a_section_that_is_not_read_is_not_in_the_report() -> None:
    report = "INDICATION: Edema.\nFINDINGS: Clear lungs."
    assert _read({"category": "edema", "evidence": "Edema"}, report=report)[1] == {"evidence_not_in_report": 1}


def test_repeated_words_are_taken_in_order() -> None:
    report = "Right base: opacity. Left base: opacity. Right base: opacity."
    entity = {"category": "opacity", "evidence": "opacity"}
    found, _ = _read({**entity, "location": "left lung base", "evidence": "Left base: opacity"}, entity, report=report)
    assert [triplet.start for triplet in found] == [32, 32]
    found, _ = _read(entity, {**entity, "evidence": "Left base: opacity"}, {"category": "opacity",
                     "location": "right lung base", "evidence": "Right base: opacity"}, report=report)  # fmt: skip
    assert [(triplet.sentence, triplet.start) for triplet in found] == [(0, 12), (1, 32), (2, 53)]


def test_the_same_statement_twice_is_one() -> None:
    entity = {"category": "edema", "negated": True, "evidence": "No edema"}
    assert len(_read(entity, entity)[0]) == 1


def test_words_without_the_findings_name_are_the_span() -> None:
    report = "Fluid tracks along the side."
    found, _ = _read({"category": "pleural effusion", "evidence": "Fluid tracks"}, report=report)
    assert (found[0].start, found[0].end) == (0, 12)


@pytest.mark.parametrize(
    ("category", "location", "expected"),
    [
        ("Pleural  Effusion", "Left Pleura", [("pleural effusion", "left pleura")]),
        ("pleural effusions", "left", [("pleural effusion", "left pleura")]),
        ("effusion", "bilateral", [("pleural effusion", "left pleura"), ("pleural effusion", "right pleura")]),
        ("pulmonary oedema", None, [("edema", "lung")]),
        ("enlarged heart", "cardiac", [("cardiomegaly", "heart")]),
        ("atelectasis", "left lower lobe", [("atelectasis", "left lower lobe")]),
        ("atelectasis", "lower lobe, left", [("atelectasis", "left lower lobe")]),
        ("atelectasis", "bibasilar", [("atelectasis", "left lung base"), ("atelectasis", "right lung base")]),
        ("opacity", "left base and right apex", [("opacity", "left lung base"), ("opacity", "right lung apex")]),
        ("pneumothorax", "unspecified", [("pneumothorax", "unspecified")]),
    ],
)
def test_names_are_the_lexicons(category: str, location: str | None, expected: list[tuple[str, str]]) -> None:
    found, dropped = _read({"category": category, "location": location, "evidence": "The heart"})
    assert _names(*found) == expected
    assert not dropped


def test_an_unknown_place_is_the_findings_own_and_counted() -> None:
    found, dropped = _read({"category": "edema", "location": "knee", "evidence": "No edema"})
    assert _names(*found) == [("edema", "lung")]
    assert dropped == {"unknown_location": 1}


def test_every_name_of_the_lexicon_is_itself() -> None:
    names, lexicon = load_names(), load_lexicon()
    assert all(names.category(name) == name for name in lexicon.pathologies)
    assert all(names.anatomies(name, "opacity") == (name,) for name in lexicon.anatomies)


@settings(max_examples=50)
@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 60), st.integers(0, 20))
def test_spans_lie_in_the_report_and_invented_evidence_never_passes(report: str, other: str, at: int, length: int):
    for evidence in (report[at : at + length], other):
        found, dropped = _read({"category": "edema", "evidence": evidence}, report=report)
        words = evidence.split()
        if not words or " ".join(words) not in " ".join(report.split()):
            assert dropped == {"evidence_not_in_report": 1}
        for triplet in found:
            assert report[triplet.start : triplet.end].split() == words


def _table(report: str) -> Any:
    import polars as pl

    return pl.DataFrame({"study_id": ["s"], "text": [report]})
