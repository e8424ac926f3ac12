import numpy as np
import pytest

from pipeline.phantom.grammar import Speaker, Subject, laterality, severity_of, side_of, wording
from pipeline.phantom.scene import FINDINGS, SEEN


@pytest.mark.parametrize(
    ("anatomies", "expected"),
    [
        (("lung",), "none"),
        (("left pleura",), "one"),
        (("left pleura", "right pleura"), "both"),
        (("right lung base", "left lung base"), "both"),
        (("left lung base", "right upper lobe"), "several"),
    ],
)
def test_laterality(anatomies: tuple[str, ...], expected: str) -> None:
    assert laterality(anatomies) == expected


def test_side_of() -> None:
    assert side_of("left lung base") == ("left", "lung base")
    assert side_of("heart") == (None, "heart")


def test_severity_of_reads_every_adjective() -> None:
    assert severity_of("trace") == "subtle"
    assert severity_of("massive") == "severe"
    assert severity_of("focal") is None
    for adjectives in wording()["severities"].values():
        for severity, words in adjectives.items():
            assert {severity_of(word) for word in words} == {severity}


@pytest.mark.parametrize("name", SEEN)
def test_every_place_of_every_finding_has_words(name: str) -> None:
    speaker = Speaker(np.random.default_rng(0))
    for place in FINDINGS[name].places:
        side = place.side
        for _ in range(25):
            noun = speaker.noun(Subject(name, place.anatomies, "moderate", side, details={"vein": "subclavian"}))
            assert "None" not in noun.text
            assert "{" not in noun.text
            sides = {side_of(anatomy)[0] for anatomy in noun.subject.anatomies} - {None}
            for word in sides if len(sides) == 1 else ():
                assert (
                    word in noun.text or f"{word[0].upper()}" in noun.text or "ML" in noun.text or "lingul" in noun.text
                )


def test_articles_and_plurals() -> None:
    speaker = Speaker(np.random.default_rng(0))
    for _ in range(200):
        noun = speaker.noun(Subject("nodule", ("right upper lung",), "subtle"))
        assert noun.slots("x")["a_x"].startswith(("a ", "an "))
        pair = speaker.noun(Subject("pleural effusion", ("left pleura", "right pleura"), "mild"))
        assert pair.plural or not pair.countable
        assert not pair.slots("x")["a_x"].startswith("a ")


def test_denied_lists_share_one_negation() -> None:
    speaker = Speaker(np.random.default_rng(0))
    phrases = [
        ("focal consolidation", Subject("consolidation", ("lung",))),
        ("effusion", Subject("pleural effusion", ("pleura",))),
    ]
    sentence = speaker.deny(["No {list}", "There is neither {neither}"], phrases)
    assert sentence.text in ("No focal consolidation or effusion", "There is neither focal consolidation nor effusion")
    assert [(t.pathology, t.existence) for t in sentence.triplets] == [
        ("consolidation", "absent"),
        ("pleural effusion", "absent"),
    ]
