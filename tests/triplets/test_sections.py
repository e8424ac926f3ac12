"""Sections of reports in the layouts of MIMIC-CXR and Open-i."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triplets.sections import count_sections, parse_sections, select_sections

_FULL = """                                 FINAL REPORT
 EXAMINATION: CHEST (PORTABLE AP)

 INDICATION: ___ year old man, evaluate for
 pneumonia

 COMPARISON: ___

 FINDINGS:

 The lungs are clear.

 The heart is enlarged.

 IMPRESSION:

 Cardiomegaly.
"""


def test_findings_and_impression_are_read_with_all_their_paragraphs():
    selection = select_sections(_FULL)
    assert selection.sections == "findings+impression"
    assert selection.text == "The lungs are clear.\n\n The heart is enlarged.\n\nCardiomegaly."


@pytest.mark.parametrize(
    ("report", "sections", "text"),
    [
        ("The lungs are clear.", "body", "The lungs are clear."),
        ("", "", ""),
        (" \n ", "", ""),
        ("INDICATION: Cough.", "", ""),
        ("Indication: Cough. Findings: Clear. Impression: Normal.", "findings+impression", "Clear.\n\nNormal."),
        ("INDICATION: Cough.\n\nThe lungs are clear.", "body", "The lungs are clear."),
        ("INDICATION:\n\nCough.", "", ""),
        ("FINAL REPORT\nHeart is large.\n\nIMPRESSION: CHF.", "body+impression", "Heart is large.\n\nCHF."),
        ("IMPRESSION: No edema.\nADDENDUM: Edema.", "impression+addendum", "No edema.\n\nEdema."),
        ("PA AND LATERAL: The lungs are clear.", "body", "PA AND LATERAL: The lungs are clear."),
        ("CONCLUSION: Normal.", "impression", "Normal."),
        ("Heart: normal. History of cough: none.", "body", "Heart: normal. History of cough: none."),
    ],
)
def test_selection(report: str, sections: str, text: str):
    selection = select_sections(report)
    assert (selection.sections, selection.text) == (sections, text)


@given(
    st.lists(st.sampled_from(["FINDINGS: ", "IMPRESSION: ", "HISTORY: ", "Clear. ", "\n", "\n\n", "x"]), max_size=12)
)
def test_sections_are_in_order_and_never_overlap(parts: list[str]):
    report = "".join(parts)
    ends = [0]
    for section in parse_sections(report):
        assert ends[-1] <= section.start < section.end <= len(report)
        ends.append(section.end)


def test_addenda_come_with_every_wanted_section_and_the_body_with_findings():
    report = "Clear.\nIMPRESSION: Normal.\nADDENDUM: Edema."
    assert select_sections(report, ["findings"]) == ("Clear.\n\nEdema.", "body+addendum")
    assert select_sections(report, ["impression"]) == ("Normal.\n\nEdema.", "impression+addendum")


def test_counts():
    reports = [_FULL, "", "IMPRESSION: XXXX.\nADDENDUM: Clear.", "No effusion since ___ or ___."]
    assert count_sections(map(select_sections, reports)) == {
        "masked_words": 3,
        "reports": 4,
        "reports_of_body": 1,
        "reports_of_findings+impression": 1,
        "reports_of_impression+addendum": 1,
        "reports_of_none": 1,
        "reports_with_addenda": 1,
        "reports_with_masked_words": 2,
        "reports_without_text": 1,
    }
