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
        ("edema is likely pneumonia", ["present", "uncertain"]),
        ("edema is likely due to pneumonia", ["present", "uncertain"]),
        ("edema is likely secondary to pneumonia", ["present", "uncertain"]),
        ("edema is favored to represent pneumonia", ["present", "uncertain"]),
        ("edema is suspected to reflect pneumonia", ["present", "uncertain"]),
        ("edema is unlikely to be related to pneumonia", ["present", "uncertain"]),
        ("edema seems unlikely", ["uncertain"]),
        ("edema is felt to be very unlikely", ["uncertain"]),
        ("edema would be less likely", ["uncertain"]),
        ("edema, less likely pneumonia", ["present", "uncertain"]),
        ("no edema, unlikely pneumonia", ["absent", "uncertain"]),
        ("unlikely a new underlying edema", ["uncertain"]),
        ("cannot definitively exclude edema", ["uncertain"]),
        ("difficult to unequivocally exclude edema", ["uncertain"]),
        ("impossible to exclude an underlying edema", ["uncertain"]),
        ("edema would be hard to exclude", ["uncertain"]),
        ("edema cannot be reliably excluded", ["uncertain"]),
        ("edema is no longer clearly seen", ["absent"]),
        ("in the right clinical setting, unlikely edema, nodule", ["uncertain", "uncertain"]),
        ("endotracheal tube has been withdrawn by 2 cm", ["present"]),
        ("endotracheal tube should be removed", ["present"]),
        ("endotracheal tube has been removed", ["absent"]),
        ("chest tube has been pulled", ["absent"]),
        ("chest tube was discontinued", ["absent"]),
        ("chest tube has been pulled back", ["present"]),
        ("endotracheal tube is not seen", ["absent"]),
        ("tip of the endotracheal tube is not well seen", ["present"]),
        ("enteric tube below the diaphragm, tip not visualized", ["present"]),
        ("tip of the endotracheal tube is low, edema is not seen", ["present", "absent"]),
    ],
)
def test_scope(vocabulary: Vocabulary, text: str, expected: list[str | None]):
    mentions = vocabulary.mentions(vocabulary.words(text).ids)
    status = existences(mentions)
    assert [status[i] for i, mention in enumerate(mentions) if mention.meaning.finding] == expected
