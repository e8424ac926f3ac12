"""Scope, one rule at a time; whole sentences are in the gold set."""

import pytest

from pipeline.triplets.existence import existences
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load_lexicon())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("edema", ["present"]),
        ("no edema", ["absent"]),
        ("no edema, nodule or mass but scar", ["absent", "absent", "absent", "present"]),
        ("no edema, stable nodule", ["absent", "present"]),
        ("no edema, stable nodule or mass", ["absent", "absent", "absent"]),
        ("possible edema, nodule", ["uncertain", "present"]),
        ("possible edema, nodule or mass", ["uncertain", "uncertain", "uncertain"]),
        ("no evidence of absence of edema", ["present"]),
        ("nodule, edema is not seen", ["present", "absent"]),
        ("nodule, mass and edema are not seen", ["absent", "absent", "absent"]),
        ("edema versus pneumonia, nodule", ["uncertain", "uncertain", "present"]),
        ("history of edema, nodule", [None, "present"]),
        ("evaluate for edema, nodule", [None, None]),
        ("differential includes edema, nodule", ["uncertain", "uncertain"]),
        ("resolved edema", ["absent"]),
        ("edema resolved", ["absent"]),
        ("edema partially resolved", ["present"]),
        ("40 year old with edema", [None]),
        ("compared to edema there is nodule", [None, "present"]),
    ],
)
def test_scope(vocabulary: Vocabulary, text: str, expected: list[str | None]):
    mentions = vocabulary.mentions(vocabulary.words(text).ids)
    status = existences(mentions)
    assert [status[i] for i, mention in enumerate(mentions) if mention.meaning.finding] == expected
