"""The `spacy` source: reports to triplets by rules over a blank English pipeline, without any model to download.

It puts together what `vocabulary`, `existence` and `attachment` find in each sentence. The words it knows are in
`lexicon.yaml` and `cues.yaml`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pipeline.triplets.attachment import Attachment
from pipeline.triplets.existence import existences
from pipeline.triplets.lexicon import Lexicon, load_lexicon
from pipeline.triplets.sections import read_sections
from pipeline.triplets.sentences import cut_sentences
from pipeline.triplets.shards import Item
from pipeline.triplets.triplet import Triplet
from pipeline.triplets.vocabulary import Vocabulary

_MEMO = 1 << 16  # reports repeat their sentences; each costs about 1 kB


class Found(NamedTuple):
    """A triplet of one sentence; words [start, end) are the pathology's."""

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
        return [
            Triplet(number, *found[:4], starts[first + found.start], ends[first + found.end - 1])
            for number, ids, first, starts, ends in cut_sentences(self._vocabulary, report, read_sections(report))
            for found in self._read(ids)
        ]

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


class SpacyReader:
    """The `spacy` source in one worker; it leaves nothing out."""

    def __init__(self) -> None:
        self._rules = SpacyRules(load_lexicon())

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        """The triplets of some reports."""
        return [(item.study_id, triplet) for item in items for triplet in self._rules.read(item.text)], {}
