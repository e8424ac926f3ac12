import pytest

from pipeline.errors import ParamsError
from pipeline.schemas import SEVERITIES
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.label_texts import label_text

KNOWLEDGE = load_knowledge()


@pytest.mark.parametrize(
    ("location", "severity", "text"),
    [
        ("left lung base", "mild", "mild left lung base edema."),
        ("left lung base", None, "left lung base edema."),
        (None, "mild", "mild edema."),
        ("unspecified", None, "edema."),
        (None, None, "edema."),
    ],
)
def test_missing_parts_are_left_out(location: str | None, severity: str | None, text: str) -> None:
    assert label_text("edema", location, severity, None) == text


def test_explanation_attributes_and_severity_follow() -> None:
    entry = KNOWLEDGE.explanations["pleural effusion"]
    wording = KNOWLEDGE.severity_wording("pleural effusion", "severe")
    text = label_text("pleural effusion", "left lung", "severe", KNOWLEDGE)
    attributes = f"{entry.shape}, {entry.density}, {entry.border}, {entry.place}"
    sentences = ["severe left lung pleural effusion.", entry.text, f"{attributes}.", f"{wording}."]
    assert text.casefold() == " ".join(sentences).casefold()
    assert label_text("pleural effusion", "left lung", None, KNOWLEDGE) in text


@pytest.mark.parametrize("category", KNOWLEDGE.explanations)
def test_every_category_reads_otherwise_at_every_severity(category: str) -> None:
    texts = {label_text(category, None, severity, KNOWLEDGE) for severity in (None, *SEVERITIES)}
    wordings = {KNOWLEDGE.severity_wording(category, severity) for severity in SEVERITIES}
    assert len(texts) == 1 + len(SEVERITIES)
    assert len(wordings) == len(SEVERITIES)


def test_what_is_not_known_is_named() -> None:
    with pytest.raises(ParamsError, match="explains no pathology 'gout'"):
        label_text("gout", None, "mild", KNOWLEDGE)
    with pytest.raises(ParamsError, match="Severity 'grave' of 'edema' is unknown"):
        label_text("edema", None, "grave", KNOWLEDGE)
