"""Structured labels as text: what is seen, where and how severe, followed by what it looks like.

One label is one sentence or a few; embedding them is the matter of the text encoders.
"""

from pipeline.semantics.knowledge import Knowledge
from pipeline.triplets.lexicon import UNSPECIFIED


def label_text(category: str, location: str | None, severity: str | None, knowledge: Knowledge | None) -> str:
    """A structured label, "{severity} {location} {category}. {explanation}", without what is not known.

    The explanation is followed by the visual attributes and by what the severity changes (MedFILIP's knowledge
    injector).

    Args:
        category: canonical pathology name.
        location: canonical anatomy name; none or "unspecified" is left out.
        severity: left out when none.
        knowledge: explains the category; without it the text ends with the label itself.

    Raises:
        ParamsError: the knowledge does not explain the category, or knows no such severity.
    """
    place = None if location == UNSPECIFIED else location
    label = " ".join(part for part in (severity, place, category) if part) + "."
    if knowledge is None:
        return label
    entry = knowledge.entry(category)
    parts = [label, entry.text, _sentence(entry.attributes)]
    if severity is not None:
        parts.append(_sentence(knowledge.severity_wording(category, severity)))
    return " ".join(parts)


def _sentence(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."
