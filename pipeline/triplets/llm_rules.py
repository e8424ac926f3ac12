"""A language model's entities to triplets: names by the lexicon, and nothing that the report does not say.

An entity is dropped, and counted, when it names no category, one that the lexicon does not know, or words that are not
in the report. Asking is the matter of `llm_answers`.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain

from pipeline.schemas import ABSENT, PRESENT, UNCERTAIN
from pipeline.triplets.lexicon import Lexicon, load_lexicon
from pipeline.triplets.llm_request import Answer, Entity
from pipeline.triplets.sections import Section, read_sections
from pipeline.triplets.sentences import Pieces
from pipeline.triplets.shards import Item
from pipeline.triplets.spacy_rules import SpacyRules
from pipeline.triplets.triplet import Triplet
from pipeline.triplets.vocabulary import Vocabulary

COUNTS = ("entities", "entities_without_category", "unknown_category", "unknown_location", "evidence_not_in_report")
_WORD, _OUTSIDE_WORDS = re.compile(r"\w"), r"(?!(?<=\w)\w)"  # the latter: anywhere but between two letters or digits
_MEMO = 1 << 14  # phrases; models repeat them


class Names:
    """The lexicon's names for the categories and locations that a model writes."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon, self._vocabulary = lexicon, Vocabulary(lexicon)
        self.category = lru_cache(_MEMO)(self._category)
        self.anatomies = lru_cache(_MEMO)(self._anatomies)

    def unknown(self, answer: Answer) -> list[str]:
        """The categories of an answer that mean no one finding of the lexicon."""
        written = [_plain(entity.category) for entity in answer.entities if entity.category]
        return [category for category in written if category and self.category(category) is None]

    def _category(self, phrase: str) -> str | None:
        """The pathology that a phrase names; None for none, or for several."""
        if phrase in self._lexicon.pathologies:
            return phrase
        mentions = self._vocabulary.mentions(self._vocabulary.words(phrase).ids)
        found = {mention.meaning.finding for mention in mentions} - {None}
        return found.pop() if len(found) == 1 else None

    def _anatomies(self, phrase: str, category: str) -> tuple[str, ...]:
        """The places that a phrase names; where it names a side alone, the category's own place on that side.

        Empty when it names nothing that the lexicon knows.
        """
        if phrase in self._lexicon.anatomies:
            return (phrase,)
        places: list[str] = []
        sides: list[str | None] = []
        side = None
        for mention in self._vocabulary.mentions(self._vocabulary.words(phrase).ids):
            side = mention.meaning.side or side
            places += mention.meaning.places
            sides += [side] * len(mention.meaning.places)
        if not places and side is None:
            return ()
        if not places:
            places, sides = [self._lexicon.pathologies[category].default_anatomy], [side]
        named = [self._lexicon.sided(place, own or side) for place, own in zip(places, sides, strict=True)]
        return tuple(dict.fromkeys(chain.from_iterable(named)))


@cache
def load_names() -> Names:
    """The names of the lexicon, made once."""
    return Names(load_lexicon())


class LlmReader:
    """The `llm` source in one worker: reads answers, the items' annotations."""

    def __init__(self) -> None:
        lexicon = load_lexicon()
        self._lexicon, self._names, self._rules = lexicon, load_names(), SpacyRules(lexicon)
        self._pieces = Pieces(Vocabulary(lexicon), lambda _, sentences: [sentence.starts[0] for sentence in sentences])
        self._counts: Counter[str] = Counter()

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        """The triplets of some reports by their answers, in the order of mention, and the counts in `COUNTS`."""
        self._counts.clear()
        found = [
            (item.study_id, triplet)
            for item in items
            for triplet in self._triplets(Answer.model_validate_json(item.annotation), item.text)
        ]
        return found, {name: self._counts[name] for name in COUNTS}

    def _triplets(self, answer: Answer, report: str) -> list[Triplet]:
        sections = read_sections(report)
        sentences = [start + first for start, firsts in self._pieces.of(report, sections) for first in firsts]
        found: dict[Triplet, None] = {}
        at = 0
        for entity in answer.entities:
            self._counts["entities"] += 1
            category, span = self._checked(entity, report, sections, at)
            if category is None or span is None:
                continue
            at = span[0]  # entities follow the report: where words repeat, theirs are the next ones
            start, end = self._mention(category, report, *span)
            sentence = max(0, bisect_right(sentences, start) - 1)
            for anatomy in self._places(entity.location, category):
                found[Triplet(sentence, category, anatomy, _existence(entity), entity.severity, start, end)] = None
        return sorted(found, key=lambda triplet: triplet.start)

    def _checked(
        self, entity: Entity, report: str, sections: Sequence[Section], at: int
    ) -> tuple[str | None, tuple[int, int] | None]:
        """An entity's pathology and the characters of its evidence, each None when it is to be dropped."""
        written = _plain(entity.category or "")
        category = self._names.category(written) if written else None
        span = _find(entity.evidence, report, sections, at)
        if not written:
            self._counts["entities_without_category"] += 1
        elif category is None:
            self._counts["unknown_category"] += 1
        elif span is None:
            self._counts["evidence_not_in_report"] += 1
        return category, span

    def _places(self, location: str | None, category: str) -> tuple[str, ...]:
        default = (self._lexicon.pathologies[category].default_anatomy,)
        written = _plain(location or "")
        if not written:
            return default
        places = self._names.anatomies(written, category)
        self._counts["unknown_location"] += not places
        return places or default

    def _mention(self, category: str, report: str, start: int, end: int) -> tuple[int, int]:
        """The characters that name the pathology within the evidence; all of it where the lexicon finds none."""
        for triplet in self._rules.read(report[start:end]):
            if triplet.pathology == category:
                return start + triplet.start, start + triplet.end
        return start, end


def _existence(entity: Entity) -> str:
    if entity.negated:
        return ABSENT
    return UNCERTAIN if entity.uncertain else PRESENT


def _find(evidence: str, report: str, sections: Sequence[Section], at: int) -> tuple[int, int] | None:
    """Where words stand in sections of a report, spaces aside: the first place from a character on, else the first.

    Whole words only: a full stop or a letter stands in every report.
    """
    if not _WORD.search(evidence):
        return None
    words = r"\s+".join(map(re.escape, evidence.split()))
    pattern = re.compile(_OUTSIDE_WORDS + words + _OUTSIDE_WORDS)
    spans = [match.span() for section in sections for match in pattern.finditer(report, section.start, section.end)]
    return next((span for span in spans if span[0] >= at), spans[0] if spans else None)


def _plain(phrase: str) -> str:
    return " ".join(phrase.casefold().split())
