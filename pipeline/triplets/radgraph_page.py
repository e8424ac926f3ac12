"""The words of an annotated text and the phrases in them, for the rules that read RadGraph's entities.

A page is a piece of a report, or several pieces that entities join. What its phrases say of each other is the matter
of `radgraph_reading`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pipeline.triplets.sentences import Sentence
from pipeline.triplets.vocabulary import Meaning, Mention


class Phrase(NamedTuple):
    """A phrase of lexicon or cues: its meaning, and its words [start, end) of the page."""

    meaning: Meaning
    start: int
    end: int


class Page:
    """The words of some sentences and the phrases in them, both numbered through."""

    def __init__(
        self,
        text: str,
        sentences: Iterable[tuple[int, int, Sentence]],
        mentions: Callable[[tuple[int, ...]], list[Mention]],
    ) -> None:
        """Of sentences with their numbers, and the characters of the text from which theirs are counted."""
        self._text = text
        self.starts: list[int] = []  # characters of the words
        self.ends: list[int] = []
        self.sentence_of: list[int] = []
        self.phrases: list[Phrase] = []
        self._phrase_of: list[int | None] = []
        for number, offset, sentence in sentences:
            self._add(number, offset, sentence, mentions(sentence.ids))

    def _add(self, number: int, offset: int, sentence: Sentence, mentions: Iterable[Mention]) -> None:
        first = len(self.starts)
        self.starts += [offset + start for start in sentence.starts]
        self.ends += [offset + end for end in sentence.ends]
        self.sentence_of += [number] * len(sentence.ids)
        self._phrase_of += [None] * len(sentence.ids)
        for meaning, start, end in mentions:
            self._phrase_of[first + start : first + end] = [len(self.phrases)] * (end - start)
            self.phrases.append(
                tuple.__new__(Phrase, (meaning, first + start, first + end))
            )  # quicker than Phrase(...)

    def words(self, start: int, end: int) -> range:
        """The words that hold some of the characters [start, end)."""
        return range(bisect_right(self.ends, start), bisect_left(self.starts, end))

    def numbers(self, words: Sequence[int]) -> list[int]:
        """The numbers of the phrases that some words in order belong to."""
        found = [number for word in words if (number := self._phrase_of[word]) is not None]
        return list(dict.fromkeys(found)) if len(found) > 1 else found

    def phrases_of(self, words: Sequence[int]) -> list[Phrase]:
        """The phrases that some words belong to, in order."""
        return [self.phrases[number] for number in self.numbers(words)]

    def unnamed(self, words: Iterable[int]) -> str:
        """Those of some words that belong to no phrase."""
        return self.text(word for word in words if self._phrase_of[word] is None)

    def text(self, words: Iterable[int]) -> str:
        """Some words joined by spaces."""
        return " ".join(self._text[self.starts[word] : self.ends[word]] for word in words)
