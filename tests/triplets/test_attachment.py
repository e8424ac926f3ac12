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
        ("large right, tiny left effusions", "pleural effusion: left pleura subtle right pleura severe"),
        ("small right, and moderate left effusions", "pleural effusion: left pleura moderate right pleura mild"),
        ("effusion on the left, small nodule", "pleural effusion: left pleura, nodule: lung mild"),
        (
            "on the right, there is a small effusion and nodule",
            "pleural effusion: right pleura mild, nodule: right lung",
        ),
        ("on the left there is no nodule, right effusion", "nodule: left lung, pleural effusion: right pleura"),
        ("no nodule; on the left, there is effusion", "nodule: lung, pleural effusion: left pleura"),
        ("right: effusion; nodule", "pleural effusion: right pleura, nodule: lung"),
        ("the patient is rotated to the right, effusion is seen", "pleural effusion: pleura"),
        ("effusion: small left", "pleural effusion: left pleura mild"),
        ("effusion: small left, large right", "pleural effusion: left pleura mild right pleura severe"),
        ("fractures of the left sixth and seventh ribs", "fracture: left rib"),
        ("left 5th and 6th rib fractures", "fracture: left rib"),
        (
            "effusions are small on the right and moderate on the left",
            "pleural effusion: left pleura moderate right pleura mild",
        ),
        (
            "bilateral effusions, moderate on the left and small on the right",
            "pleural effusion: left pleura moderate right pleura mild",
        ),
        ("bilateral effusions, large on the right", "pleural effusion: left pleura right pleura severe"),
        ("effusion, small on the left", "pleural effusion: left pleura mild"),
        ("edema, now mild", "edema: lung mild"),
        ("edema, slightly improved", "edema: lung"),
        ("cardiomegaly, moderate to severe", "cardiomegaly: heart severe"),
        ("small to moderate effusion", "pleural effusion: pleura moderate"),
        ("mildly to moderately enlarged heart", "cardiomegaly: heart moderate"),
        ("previously moderate effusion is now small", "pleural effusion: pleura mild"),
        ("enteric tube should be advanced", "enteric tube: stomach"),
        ("advanced emphysema", "emphysema: lung severe"),
    ],
)
def test_places(vocabulary: Vocabulary, text: str, expected: str):
    attached = Attachment(load_lexicon()).attach(vocabulary.mentions(vocabulary.words(text).ids))
    found = [
        " ".join([f"{item.finding}:", *(word for place in item.places for word in place if word)]) for item in attached
    ]
    assert ", ".join(found) == expected
