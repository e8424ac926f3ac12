"""The `spacy` source: reports to triplets by rules over a blank English pipeline, without any model to download.

It cuts reports into sentences and puts together what `vocabulary`, `existence` and `attachment` find in each. The words
it knows are in `lexicon.yaml` and `cues.yaml`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pipeline.triplets.attachment import Attachment
from pipeline.triplets.existence import existences
from pipeline.triplets.lexicon import Lexicon
from pipeline.triplets.sections import read_sections
from pipeline.triplets.vocabulary import STOP, Vocabulary

_LONGEST = 200  # words; what runs on for longer is no sentence, and the rules look back and forth within one
_MEMO = 1 << 16  # reports repeat their sentences; each costs about 1 kB


class Found(NamedTuple):
    """A triplet of one sentence; words [start, end) are the pathology's."""

    pathology: str
    anatomy: str
    existence: str
    severity: str | None
    start: int
    end: int


class Triplet(NamedTuple):
    """A triplet of a report, in the order of `schemas.TRIPLETS` after the study's id."""

    sentence: int
    pathology: str
    anatomy: str
    existence: str
    severity: str | None
    start: int
    end: int


class SpacyRules:
    """The rule-based extractor of one lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._vocabulary = Vocabulary(lexicon)
        self._attachment = Attachment(lexicon)
        self._read = lru_cache(_MEMO)(self.read_sentence)

    def read(self, report: str) -> list[Triplet]:
        """The triplets of a report in the order of mention; spans are characters of the report as given."""
        triplets: list[Triplet] = []
        sentence = 0
        for section in read_sections(report):
            words = self._vocabulary.words(report[section.start : section.end])
            for first, last in self._sentences(words.ids):
                for found in self._read(tuple(words.ids[first:last])):
                    start, end = (
                        words.starts[first + found.start] + section.start,
                        words.ends[first + found.end - 1] + section.start,
                    )
                    triplets.append(Triplet(sentence, *found[:4], start, end))
                sentence += 1
        return triplets

    def read_sentence(self, ids: tuple[int, ...]) -> tuple[Found, ...]:
        """The triplets of one sentence of word ids."""
        mentions = self._vocabulary.mentions(ids)
        if not mentions:
            return ()
        status = existences(mentions)
        return tuple(
            Found(finding, anatomy, existence, severity, mentions[index].start, mentions[index].end)
            for index, finding, places in self._attachment.attach(mentions)
            if (existence := status[index]) is not None
            for anatomy, severity in places
        )

    def _sentences(self, ids: list[int]) -> Iterator[tuple[int, int]]:
        """Word ranges between stops; a lone word of no meaning is a list's number and belongs to what follows."""
        first = 0
        for index, word in enumerate((*ids, STOP)):
            if word != STOP or (index == first + 1 and not self._vocabulary.mentions(ids[first:index])):
                continue
            for start in range(first, index, _LONGEST):
                yield start, min(start + _LONGEST, index)
            first = index + 1
