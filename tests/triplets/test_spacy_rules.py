"""Whole reports: spans, sentences and hostile text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.spacy_rules import SpacyRules


@pytest.fixture(scope="module")
def rules() -> SpacyRules:
    return SpacyRules(load_lexicon())


def test_spans_and_sentences(rules: SpacyRules):
    report = "INDICATION: Pneumonia.\n\nFINDINGS: 1. Clear lungs.\n2. Left effusion.\n\nIMPRESSION: No edema."
    found = [(t.sentence, t.pathology, report[t.start : t.end]) for t in rules.read(report)]
    assert found == [(0, "normal", "Clear"), (1, "pleural effusion", "effusion"), (2, "edema", "edema")]


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\n", "\x00\x01\x1f", "...", "0", "___", "¿Qué?", "肺炎。胸水なし", "🫁" * 10]
)
def test_text_without_findings(rules: SpacyRules, text: str):
    assert rules.read(text) == []


def test_other_languages_do_not_stop_it(rules: SpacyRules):
    assert rules.read("Kein Pleuraerguss. Herz normal groß. Épanchement pleural droit.") is not None


@pytest.mark.parametrize(
    "unit",
    [
        "No pleural effusion. ",
        "no effusion, ",
        "left and right ",
        "opacity in the base of ",
        "effusion, ",
        "left base and ",
        "is not seen ",
        "x",
        "\n",
        " ",
        "-",
        ": ",
        "FINDINGS: ",
        "NO EDEMA\n\n",
        "(",
        "()",
        ".",
        "x.",
        "x(",
        "x,.",
        "_",
    ],
)
def test_fifty_thousand_characters(rules: SpacyRules, unit: str):
    report = unit * (50_000 // len(unit))
    for triplet in rules.read(report):
        assert 0 <= triplet.start < triplet.end <= len(report)


def test_a_long_report_gives_what_its_parts_give(rules: SpacyRules):
    part = "The lungs are clear. No effusion or pneumothorax. "
    assert len(rules.read(part * 1000)) == 1000 * len(rules.read(part))


_WORDS = [
    "no",
    "left",
    "and",
    "or",
    ",",
    ".",
    "but",
    "effusion",
    "base",
    "in",
    "is",
    "not seen",
    "may",
    "small",
    "normal",
    "of",
    "(",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(_WORDS), max_size=25))
def test_any_order_of_words_is_read(rules: SpacyRules, words: list[str]):
    report = " ".join(words)
    mentioned = report.count("effusion") + report.count("normal")
    triplets = rules.read(report)
    assert len({(t.start, t.pathology) for t in triplets}) <= mentioned
    assert all(report[t.start : t.end] in ("effusion", "normal") for t in triplets)
