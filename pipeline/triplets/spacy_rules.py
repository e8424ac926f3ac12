"""The `spacy` source: reports to triplets by rules over a blank English pipeline, without any model to download.

It puts together what `vocabulary`, `existence` and `attachment` find in each sentence. The words it knows are in
`lexicon.yaml` and `cues.yaml`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.triplets.attachment import Attachment
from pipeline.triplets.existence import existences
from pipeline.triplets.lexicon import Lexicon, load_lexicon
from pipeline.triplets.sections import read_sections
from pipeline.triplets.sentences import Pieces, Sentence
from pipeline.triplets.shards import Item, collector_paused
from pipeline.triplets.triplet import Triplet
from pipeline.triplets.vocabulary import Vocabulary


class Said(NamedTuple):
    """What a piece of text says; sentences and characters are counted from its start."""

    triplets: list[Triplet]
    sentences: int


class SpacyRules:
    """The rule-based extractor of one lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._vocabulary = Vocabulary(lexicon)
        self._attachment = Attachment(lexicon)
        self._pieces = Pieces(self._vocabulary, self._said)

    def read(self, report: str) -> list[Triplet]:
        """The triplets of a report in the order of mention; spans are characters of the report as given."""
        triplets: list[Triplet] = []
        number = 0
        for start, said in self._pieces.of(report, read_sections(report)):
            triplets += [triplet.moved(number, start) for triplet in said.triplets]
            number += said.sentences
        return triplets

    def _said(self, _: str, sentences: Sequence[Sentence]) -> Said:
        triplets: list[Triplet] = []
        for number, sentence in enumerate(sentences):
            triplets += self._read_sentence(number, sentence)
        return Said(triplets, len(sentences))

    def _read_sentence(self, number: int, sentence: Sentence) -> list[Triplet]:
        ids, starts, ends = sentence
        mentions = self._vocabulary.mentions(ids)
        if not mentions:
            return []
        status = existences(mentions)
        return [
            tuple.__new__(Triplet, (number, finding, anatomy, existence, severity, starts[first], ends[end - 1]))
            for index, finding, places in self._attachment.attach(mentions)
            if (existence := status[index]) is not None
            for (_, first, end) in (mentions[index],)
            for anatomy, severity in places
        ]


class SpacyReader:
    """The `spacy` source in one worker; it leaves nothing out."""

    def __init__(self) -> None:
        self._rules = SpacyRules(load_lexicon())

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        """The triplets of some reports."""
        with collector_paused():
            return [(item.study_id, triplet) for item in items for triplet in self._rules.read(item.text)], {}
