"""Reports cut into sentences of words, the same for every source, so that sentence indexes and spans agree.

Text is read piece by piece: a piece ends with a stop or an empty line, and is most often one sentence. Nothing around
it changes what it says, so what a source makes of it is remembered: reports repeat their sentences. Which sections are
read is the matter of `sections`, what the words mean that of `vocabulary`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from pipeline.triplets.sections import Section
from pipeline.triplets.vocabulary import STOP, Vocabulary

Made = TypeVar("Made")

_LONGEST = 200  # words; what runs on for longer is no sentence, and the rules look back and forth within one
# Where a piece may end; spaces after a stop are not of it. The set first: searching is then quick.
_END = re.compile(r"[.!\n](?:(?<!\n)()(?:\s+|\Z)|(?<=\n)\s*\n\s*)")
LONG = 1000  # characters; longer pieces are not remembered
_MEMO = 1 << 16  # pieces that are remembered; each costs about 2 kB


class Sentence(NamedTuple):
    """The words of a sentence, or of a part of a very long one; characters are counted from its piece's first."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


class Pieces(Generic[Made]):
    """Cuts text into pieces and hands each one, with its sentences, to the function that makes something of it."""

    def __init__(self, vocabulary: Vocabulary, make: Callable[[str, tuple[Sentence, ...]], Made]) -> None:
        self._vocabulary, self._make = vocabulary, make
        self._remembered = lru_cache(_MEMO)(self._read)

    def of(self, report: str, sections: Iterable[Section]) -> Iterator[tuple[int, Made]]:
        """The first character of each piece of some sections, and what was made of it."""
        for section in sections:
            start = section.start
            for end, following in _ends(report, section):
                last = end == section.end
                if start < end and (last or end - start <= LONG):
                    text = report[start:end]
                    made, closed = self._remembered(text) if len(text) <= LONG else self._read(text)
                    if closed or last:
                        yield start, made
                        start = following

    def _read(self, text: str) -> tuple[Made, bool]:
        """What is made of a text, and whether its last sentence has come to its end."""
        ids, starts, ends = self._vocabulary.words(text)
        ranges, closed = _between_stops(self._vocabulary, ids)
        sentences = tuple([Sentence(tuple(ids[cut]), tuple(starts[cut]), tuple(ends[cut])) for cut in ranges])
        return self._make(text, sentences), closed


def _ends(report: str, section: Section) -> Iterator[tuple[int, int]]:
    """Where pieces of a section may end, and where the next would start; last the section's own end."""
    for stop in _END.finditer(report, section.start, section.end):
        yield stop.end(stop.lastindex or 0), stop.end()
    yield section.end, section.end


def _between_stops(vocabulary: Vocabulary, ids: list[int]) -> tuple[list[slice], bool]:
    """Words between stops, and whether nothing follows the last stop.

    A lone word of no meaning is a list's number and belongs to what follows.
    """
    ranges: list[slice] = []
    first, closed = 0, True
    for index in (*[index for index, word in enumerate(ids) if word == STOP], len(ids)):
        closed = first == index
        if index == first + 1 and not vocabulary.mentions(ids[first:index]):
            continue
        ranges += [slice(start, min(start + _LONGEST, index)) for start in range(first, index, _LONGEST)]
        first = index + 1
    return ranges, closed
