"""Cuts a radiology report into its headed sections and keeps the wanted ones.

A heading is one of the names below with a colon, in capitals anywhere or in any case at the start of a line; words in
capitals that are not in the list ("LUNGS:") belong to the section they stand in. Text under no heading is not used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Section -> the headings that open it, longest first; None opens what is never used.
HEADINGS: dict[str, tuple[str, ...]] = {
    "findings": ("FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "FINDINGS", "FINDING"),
    "impression": ("IMPRESSIONS", "IMPRESSION", "CONCLUSIONS", "CONCLUSION"),
    "other": (
        *("PROVISIONAL FINDINGS IMPRESSION", "WET READ", "PRELIMINARY REPORT", "FINAL ADDENDUM", "ADDENDUM"),
        *("EXAMINATION", "EXAM", "STUDY", "PROCEDURE", "TYPE OF EXAMINATION", "TECHNIQUE", "VIEWS", "DATE"),
        *("INDICATION", "INDICATIONS", "REASON FOR EXAMINATION", "REASON FOR EXAM", "REASON FOR THIS EXAMINATION"),
        *("CLINICAL HISTORY", "CLINICAL INFORMATION", "CLINICAL INDICATION", "HISTORY", "PATIENT HISTORY"),
        *("COMPARISONS", "COMPARISON", "COMPARISON STUDY", "REFERENCE EXAM", "CONTRAST", "DOSE"),
        *("RECOMMENDATION(S)", "RECOMMENDATIONS", "RECOMMENDATION", "NOTIFICATION", "FINAL REPORT", "DICTATED BY"),
    ),
}
SECTION_OF = {heading: section for section, headings in HEADINGS.items() for heading in headings}
_NAMES = "|".join(re.escape(heading).replace("\\ ", r"\s+") for heading in sorted(SECTION_OF, key=len, reverse=True))
_TITLES = "FINAL REPORT|FINAL ADDENDUM|ADDENDUM|WET READ"  # also stand alone on a line
_HEADING = re.compile(
    rf"(?:^[ \t]*(?i:({_NAMES}))|(?<![\w/])({_NAMES}))[ \t]*:|^[ \t]*({_TITLES})[ \t]*$", re.MULTILINE
)


@dataclass(frozen=True)
class Selection:
    """The wanted part of a report.

    Attributes:
        text: of the wanted sections, in the wanted order, with a blank line between; empty when there is none.
        used: names of the sections that the text comes from.
    """

    text: str
    used: tuple[str, ...]


def select_sections(report: str, wanted: Sequence[str]) -> Selection:
    """Keep the wanted sections of a report; one that occurs twice is joined.

    Args:
        report: as dictated, headings included.
        wanted: out of findings and impression, in the order to keep.
    """
    contents: dict[str, list[str]] = {section: [] for section in HEADINGS}
    headings = list(_HEADING.finditer(report))
    ends = [*(heading.start() for heading in headings), len(report)][1:]
    for heading, end in zip(headings, ends, strict=False):
        name = " ".join(heading[heading.lastindex or 0].upper().split())
        contents[SECTION_OF[name]].append(report[heading.end() : end].strip())
    kept = {section: "\n\n".join(filter(None, contents[section])) for section in wanted}
    used = tuple(section for section, text in kept.items() if text)
    return Selection("\n\n".join(kept[section] for section in used), used)
