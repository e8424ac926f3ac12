"""Places, sides and severities, one rule at a time; whole sentences are in the gold set."""

import pytest

from pipeline.triplets.attachment import Attachment
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load_lexicon())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodule", "nodule: lung"),
        ("left nodule", "nodule: left lung"),
        ("left apical nodule", "nodule: left lung apex"),
        ("nodule in the left lung apex", "nodule: left lung apex"),
        ("basilar nodule in the right lung", "nodule: right lung base"),
        ("nodule above the carina", "nodule: lung"),
        ("nodule obscures the heart", "nodule: lung"),
        ("left effusion and pneumothorax", "pleural effusion: left pleura, pneumothorax: left pleura"),
        ("left effusion and cardiomegaly", "pleural effusion: left pleura, cardiomegaly: heart"),
        ("left picc and effusion", "picc: superior vena cava, pleural effusion: pleura"),
        ("nodule and mass in the lingula", "nodule: lingula, mass: lingula"),
        ("large heart", "cardiomegaly: heart"),
        ("large nodule", "nodule: lung severe"),
        ("the nodule is small", "nodule: lung mild"),
        ("tiny left and large right effusions", "pleural effusion: left pleura subtle right pleura severe"),
        ("wires are intact", "normal:"),
        ("normal", "normal: unspecified"),
        ("lungs are clear, heart normal", "normal: lung, normal: heart"),
        ("lungs are clear, nodule", "normal: lung, nodule: lung"),
        ("lungs are otherwise clear", "normal: lung"),
        ("nodule, otherwise the lungs are clear", "nodule: lung, normal: lung"),
        ("side port of the enteric tube", "enteric tube: stomach"),
        ("right port", "port: superior vena cava"),
    ],
)
def test_places(vocabulary: Vocabulary, text: str, expected: str):
    attached = Attachment(load_lexicon()).attach(vocabulary.mentions(vocabulary.words(text).ids))
    found = [
        " ".join([f"{item.finding}:", *(word for place in item.places for word in place if word)]) for item in attached
    ]
    assert ", ".join(found) == expected
