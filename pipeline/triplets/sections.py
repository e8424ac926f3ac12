"""The sections of a report: which are read, which are not, and counts of both.

Findings, impressions and addenda are read. Text under no heading is read when there is no findings section, and so is
a paragraph that follows an empty line below indication, technique or comparison, as in many MIMIC-CXR reports. The
context itself (indication, technique, comparison ...) is never read. Nothing here looks for findings.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

FINDINGS, IMPRESSION, ADDENDUM, BODY, CONTEXT = "findings", "impression", "addendum", "body", "context"
_HEADINGS = {
    FINDINGS: "findings?|chest findings|description",
    IMPRESSION: r"impressions?|conclusions?|opinion|interpretation|summary|findings (?:and|/) ?impression",
    ADDENDUM: "addendum|addenda",
    CONTEXT: "(?:clinical )?(?:indications?|history|information|data)|"
    "reason for (?:the |this )?(?:exam(?:ination)?|study)|technique|comparisons?|comparison (?:study|studies|exams?)|"
    "(?:type of )?exam(?:ination)?|procedure|date of exam|(?:underlying )?medical condition|recommendations?|"
    "notifications?|(?:electronically )?signed by|dictated by|wet read",
}
_HEADING = re.compile(
    r"(?:^|(?<=[.!?])\s)[ \t*]*(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in _HEADINGS.items())
    + r")[ \t*]*:",
    re.IGNORECASE | re.MULTILINE,
)
_BANNER = re.compile(r"^[ \t]*(?:final|preliminary|wet read)[ \t]+report[ \t]*$", re.IGNORECASE | re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_MASKED = re.compile(r"_{2,}|\bX{3,}\b")  # words removed for privacy: "___" in MIMIC-CXR, "XXXX" in Open-i


@dataclass(frozen=True)
class Section:
    """Characters [start, end) of a report under one kind of heading, the heading itself left out."""

    name: str  # findings | impression | addendum | body | context
    start: int
    end: int


class Selection(NamedTuple):
    """The text of a report that is read, and the sections it comes from ("findings+impression"; "" for none)."""

    text: str
    sections: str


def parse_sections(report: str) -> list[Section]:
    """Cut a report at its headings, in order; the body is what stands under none."""
    headings = list(_HEADING.finditer(report)) if ":" in report else []
    banner = _BANNER.search(report)
    start = banner.end() if banner and (not headings or banner.end() <= headings[0].start()) else 0
    sections = [Section(BODY, start, headings[0].start() if headings else len(report))]
    for index, heading in enumerate(headings):
        end = headings[index + 1].start() if index + 1 < len(headings) else len(report)
        name = str(heading.lastgroup)
        paragraph = _PARAGRAPH.search(report, heading.end(), end) if name == CONTEXT else None
        below = end if paragraph is None or not report[heading.end() : paragraph.start()].strip() else paragraph.end()
        sections.append(Section(name, heading.end(), below))
        sections.append(Section(BODY, below, end))
    return [section for section in sections if report[section.start : section.end].strip()]


def read_sections(report: str) -> list[Section]:
    """The sections that are read: findings (or, without these, the body), impressions and addenda, in order."""
    sections = parse_sections(report)
    found = FINDINGS if any(section.name == FINDINGS for section in sections) else BODY
    return [section for section in sections if section.name in (found, IMPRESSION, ADDENDUM)]


def select_sections(report: str, wanted: Collection[str] = (FINDINGS, IMPRESSION)) -> Selection:
    """What a corpus keeps of a raw report: the read sections' text, stripped, one paragraph each.

    Args:
        report: raw text.
        wanted: out of findings and impression. Addenda belong to every report, and text under no heading stands for the
            findings of a report that heads none.
    """
    names = {*wanted, ADDENDUM, *([BODY] if FINDINGS in wanted else [])}
    sections = [section for section in read_sections(report) if section.name in names]
    text = "\n\n".join(report[section.start : section.end].strip() for section in sections)
    return Selection(text, "+".join(dict.fromkeys(section.name for section in sections)))


def count_sections(selections: Iterable[Selection]) -> dict[str, int]:
    """Reports by the sections they are read from, and how many have addenda, masked words or no text at all.

    Masked words are read as words of no meaning: "effusion in the ___" is an effusion without a place.
    """
    counts: Counter[str] = Counter()
    for text, sections in selections:
        masked = len(_MASKED.findall(text))
        counts["reports"] += 1
        counts[f"reports_of_{sections or 'none'}"] += 1
        counts["reports_without_text"] += not text.strip()
        counts["reports_with_addenda"] += ADDENDUM in sections
        counts["reports_with_masked_words"] += masked > 0
        counts["masked_words"] += masked
    return dict(sorted(counts.items()))
