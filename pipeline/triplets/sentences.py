"""Reports cut into sentences of words, the same for every source, so that sentence indexes and spans agree.

Which sections are read is the matter of `sections`, what the words mean that of `vocabulary`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.triplets.sections import Section
from pipeline.triplets.vocabulary import STOP, Vocabulary

_LONGEST = 200  # words; what runs on for longer is no sentence, and the rules look back and forth within one


class Sentence(NamedTuple):
    """The words of a sentence, or of a part of a very long one; its first word is `first` of those of its section."""

    number: int  # in the report, from 0
    ids: tuple[int, ...]
    first: int
    starts: list[int]  # first characters in the report, of the section's words
    ends: list[int]


def cut_sentences(vocabulary: Vocabulary, report: str, sections: Iterable[Section]) -> Iterator[Sentence]:
    """The sentences of some sections of a report."""
    number = 0
    for section in sections:
        words = vocabulary.words(report[section.start : section.end])
        starts, ends = words.starts, words.ends
        if section.start:
            starts = [start + section.start for start in starts]
            ends = [end + section.start for end in ends]
        for first, last in _between_stops(vocabulary, words.ids):
            yield Sentence(number, tuple(words.ids[first:last]), first, starts, ends)
            number += 1


def _between_stops(vocabulary: Vocabulary, ids: list[int]) -> Iterator[tuple[int, int]]:
    """Word ranges between stops; a lone word of no meaning is a list's number and belongs to what follows."""
    first = 0
    for index, word in enumerate((*ids, STOP)):
        if word != STOP or (index == first + 1 and not vocabulary.mentions(ids[first:index])):
            continue
        for start in range(first, index, _LONGEST):
            yield start, min(start + _LONGEST, index)
        first = index + 1
