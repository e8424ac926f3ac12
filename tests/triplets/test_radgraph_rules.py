"""Annotations to triplets, one rule at a time. A case says of each word its label, then relations and their targets."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DatasetError
from pipeline.triplets.annotations import RELATIONS
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.radgraph_rules import GraphRules
from pipeline.triplets.spacy_rules import SpacyRules

_RULES = GraphRules(load_lexicon())
P, U, A, N = "OBS-DP", "OBS-U", "OBS-DA", "ANAT-DP"
_XL = {
    P: "Observation::definitely present",
    U: "Observation::uncertain",
    A: "Observation::definitely absent",
    N: "Anatomy::definitely present",
}


def annotate(text: str, words: dict[str, str]) -> dict[str, Any]:
    """An annotation of a text of distinct words: {"small": "OBS-DP modify effusion"}; "_" joins words of one entity."""
    tokens, ids = text.split(" "), {word: str(number) for number, word in enumerate(words, 1)}
    entities = {}
    for word, described in words.items():
        parts = word.split("_")
        label, *relations = described.split()
        entities[ids[word]] = {
            "tokens": " ".join(parts),
            "label": label,
            "start_ix": tokens.index(parts[0]),
            "end_ix": tokens.index(parts[-1]),
            "relations": [
                [relation, ids[target]] for relation, target in zip(relations[::2], relations[1::2], strict=True)
            ],
        }
    return {"text": text, "entities": entities}


def _said(annotation: dict[str, Any], rules: GraphRules | None = None, report: str | None = None) -> str:
    triplets = (rules or _RULES).read(annotation, report)
    return "; ".join(" ".join(word or "-" for word in triplet[1:5]) for triplet in triplets)


_CASES = {
    "several words of a place": (
        "Opacity in left lower lobe .",
        {"Opacity": f"{P} located_at lobe", "left": f"{N} modify lobe", "lower": f"{N} modify lobe", "lobe": N},
        "opacity left lower lobe present -",
    ),
    "a place in another order": (
        "Opacity in lower left lobe .",
        {"Opacity": f"{P} located_at lobe", "left": f"{N} modify lobe", "lower": f"{N} modify lobe", "lobe": N},
        "opacity left lower lobe present -",
    ),
    "severity, side, and a place within the finding's name": (
        "Small left pleural effusion .",
        {"Small": f"{P} modify effusion", "left": f"{N} modify pleural", "pleural": N,
         "effusion": f"{P} located_at pleural"},
        "pleural effusion left pleura present mild",
    ),
    "each side's severity": (
        "Moderate left and small right effusions .",
        {"Moderate": f"{P} modify effusions", "left": f"{N} modify effusions", "small": f"{P} modify effusions",
         "right": f"{N} modify effusions", "effusions": P},
        "pleural effusion left pleura present moderate; pleural effusion right pleura present mild",
    ),
    "a side alone": (
        "Effusion on the right .",
        {"Effusion": f"{P} located_at right", "right": N},
        "pleural effusion right pleura present -",
    ),
    "plurals, and several places": (
        "Opacities in lingula and bilateral apices .",
        {"Opacities": f"{P} located_at lingula located_at apices", "lingula": N, "bilateral": f"{N} modify apices",
         "apices": N},
        "opacity lingula present -; opacity left lung apex present -; opacity right lung apex present -",
    ),
    "coordinated places": (
        "Opacity in upper and left lower lobe .",
        {"Opacity": f"{P} located_at lobe", "upper": f"{N} modify lobe", "left": f"{N} modify lobe",
         "lower": f"{N} modify lobe", "lobe": N},
        "opacity upper lobe present -; opacity left lower lobe present -",
    ),
    "denied": ("No pneumothorax .", {"pneumothorax": A}, "pneumothorax pleura absent -"),
    "uncertain": ("Possible pneumonia .", {"pneumonia": U}, "pneumonia lung uncertain -"),
    "no place anywhere": ("Nodes show calcification .", {"calcification": P}, "calcification unspecified present -"),
    "what it suggests lies there too": (
        "Left basilar opacity suggests pneumonia .",
        {"Left": f"{N} modify basilar", "basilar": N, "opacity": f"{P} located_at basilar suggestive_of pneumonia",
         "pneumonia": U},
        "opacity left lung base present -; pneumonia left lung base uncertain -",
    ),
    "suggested by what is no finding": (
        "Findings in left base suggest pneumonia .",
        {"Findings": f"{P} located_at base suggestive_of pneumonia", "left": f"{N} modify base", "base": N,
         "pneumonia": U},
        "pneumonia left lung base uncertain -",
    ),
    "what it suggests lies elsewhere": (
        "Left basilar opacity suggests cardiomegaly .",
        {"Left": f"{N} modify basilar", "basilar": N, "opacity": f"{P} located_at basilar suggestive_of cardiomegaly",
         "cardiomegaly": U},
        "opacity left lung base present -; cardiomegaly heart uncertain -",
    ),
    "a word that means a finding of its place": (
        "Heart size is mildly enlarged .",
        {"Heart": N, "size": f"{N} modify Heart", "mildly": f"{P} modify enlarged",
         "enlarged": f"{P} located_at Heart"},
        "cardiomegaly heart present mild",
    ),
    "words apart": (
        "Lung volumes are quite low .",
        {"Lung": f"{N} modify volumes", "volumes": N, "low": f"{P} located_at volumes"},
        "low lung volumes lung present -",
    ),
    "one phrase of two entities": (
        "Calcified granuloma .",
        {"Calcified": f"{P} modify granuloma", "granuloma": P},
        "granuloma lung present -",
    ),
    "a modifier that is a finding": (
        "Calcified left nodule .",
        {"Calcified": f"{P} modify nodule", "left": f"{N} modify nodule", "nodule": P},
        "calcification left lung present -; nodule left lung present -",
    ),
    "a finding that modifies an unknown word": (
        "Atelectatic and fibrotic changes at left base .",
        {"Atelectatic": f"{P} modify changes", "fibrotic": f"{P} modify changes", "changes": f"{P} located_at base",
         "left": f"{N} modify base", "base": N},
        "atelectasis left lung base present -; fibrosis left lung base present -",
    ),
    "a device within an anatomy's word": (
        "Left chest tube removed .",
        {"Left": f"{N} modify chest", "chest": N, "tube": f"{A} located_at chest"},
        "chest tube left pleura absent -",
    ),
    "normal places": (
        "Heart and mediastinum are normal .",
        {"Heart": N, "mediastinum": N, "normal": f"{P} located_at Heart located_at mediastinum"},
        "normal heart present -; normal mediastinum present -",
    ),
    "normal alone": ("Normal .", {"Normal": P}, "normal unspecified present -"),
    "entities of several words": (
        "Small pleural effusion in left base .",
        {"Small_effusion": f"{P} located_at left_base", "left_base": N},
        "pleural effusion left lung base present mild",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES.keys())
def test_rules(case: tuple[str, dict[str, str], str]):
    text, words, expected = case
    assert _said(annotate(text, words)) == expected
    annotation = annotate(text, words)
    for entity in annotation["entities"].values():
        entity["label"] = _XL[entity["label"]]
    assert _said(annotation) == expected


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES.keys())
def test_spans_and_sentences_are_the_reports(case: tuple[str, dict[str, str], str]):
    text, words, expected = case
    report, rules = f"The chest.\n\n  {text.replace(' .', '.').upper()}", _RULES
    assert _said(annotate(text, words), rules, report) == expected
    triplets, own = rules.read(annotate(text, words), report), rules.read(annotate(text, words), None)
    assert {triplet.sentence for triplet in triplets} == {1}
    assert [report[t.start : t.end] for t in triplets] == [text[t.start : t.end].upper() for t in own]


def test_it_agrees_with_the_spacy_source_but_where_the_graph_says_more():
    rules, differ = SpacyRules(load_lexicon()), set()
    for name, (text, _, expected) in _CASES.items():
        other = "; ".join(" ".join(word or "-" for word in triplet[1:5]) for triplet in rules.read(text))
        differ |= {name} - ({name} if other == expected else set())
    assert differ == {"a modifier that is a finding", "a place in another order", "words apart"}


def test_what_is_left_out_is_counted():
    rules = GraphRules(load_lexicon())
    annotation = annotate(
        "INDICATION : edema . Stable wires intact with effusion 4_cm from gizmo .",
        {"edema": P, "Stable": f"{P} modify wires", "wires": P, "intact": f"{P} modify wires",
         "effusion": f"{P} located_at gizmo", "gizmo": N},
    )  # fmt: skip
    annotation["entities"]["7"] = {
        "tokens": "4_cm", "label": "Observation::measurement::definitely present", "start_ix": 8, "end_ix": 8,
        "relations": [["modify", "5"]],
    }  # fmt: skip
    assert _said(annotation, rules, "Stable wires intact with effusion 4_cm from gizmo.") == (
        "pleural effusion pleura present -"
    )
    assert rules.counts == {
        "entities": 7,
        "entities_outside": 1,  # edema
        "observations": 4,
        "observations_unknown": 1,  # wires
        "observations_unplaced": 1,  # intact
        "anatomies_unknown": 1,  # gizmo
    }


def _broken(**changes: Any) -> dict[str, Any]:
    annotation = annotate("Left effusion .", {"Left": f"{N} modify effusion", "effusion": P})
    annotation["entities"]["1"] |= changes
    return annotation


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({}, "lacks text or entities"),
        ({"text": None, "entities": {}}, "lacks text or entities"),
        ({"text": "a", "entities": ["1"]}, "lacks text or entities"),
        ({"text": "a", "entities": {"1": None}}, "entity 1 lacks label"),
        ({"text": "a", "entities": {"1": {"label": P}}}, "entity 1 lacks label"),
        (_broken(label="OBS"), "entity 1 has the label 'OBS': use one of OBS-DP"),
        (_broken(relations=[["near", "2"]]), "entity 1 has the relation 'near': use one of located_at"),
        (_broken(relations=[["modify", "9"]]), "entity 1 has a relation to 9, which does not exist"),
        (_broken(relations=["modify"]), "entity 1 lacks label"),
        (_broken(start_ix="0"), "entity 1 has no whole numbers"),
        (_broken(end_ix=3), "entity 1 has the tokens 0 to 3 of 3"),
        (_broken(start_ix=-1), "entity 1 has the tokens -1 to 0 of 3"),
        (_broken(start_ix=1), "entity 1 has the tokens 1 to 0 of 3"),
    ],
)
def test_broken_annotations(annotation: dict[str, Any], message: str):
    with pytest.raises(DatasetError, match=message):
        _RULES.read(annotation, None)


_VOCABULARY = [
    "effusion",
    "opacity",
    "normal",
    "enlarged",
    "heart",
    "left",
    "lower",
    "lobe",
    "small",
    "calcified",
    "zz",
    ".",
]


@st.composite
def _graphs(draw: st.DrawFn) -> dict[str, Any]:
    tokens = draw(st.lists(st.sampled_from(_VOCABULARY), min_size=1, max_size=12))
    names = [str(number) for number in range(draw(st.integers(0, 8)))]
    entities = {}
    for name in names:
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(tokens) - 1)] * 2)))
        relations = draw(st.lists(st.tuples(st.sampled_from(RELATIONS), st.sampled_from(names)), max_size=3))
        label = draw(st.sampled_from([*_XL, *_XL.values(), "Anatomy::measurement::uncertain"]))
        entities[name] = {"label": label, "start_ix": first, "end_ix": last, "relations": relations}
    return {"text": " ".join(tokens), "entities": entities}


@settings(max_examples=300)
@given(_graphs())
def test_any_graph_is_read_and_every_observation_accounted_for(annotation: dict[str, Any]):
    rules, text = _RULES, annotation["text"]
    rules.counts.clear()
    triplets = rules.read(annotation, None)
    assert all(0 <= triplet.start < triplet.end <= len(text) for triplet in triplets)
    assert [t.start for t in triplets] == sorted(t.start for t in triplets)
    tokens = text.split(" ")
    for entity in annotation["entities"].values():
        first, last = entity["start_ix"], entity["end_ix"]
        if tokens[first : last + 1] == ["effusion"] and entity["label"] in (P, U, A):
            start = sum(len(token) + 1 for token in tokens[:first])
            assert (start, start + len("effusion")) in {(t.start, t.end) for t in triplets}
