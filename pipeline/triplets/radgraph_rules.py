"""RadGraph's annotations to triplets: one report's annotation in, its triplets out.

The entities go to the pieces of the report that they stand in, and each piece is read on its own by the rules in
`radgraph_reading`, except those that entities or relations join. Nothing here runs RadGraph's model or reads its
published file.
"""

import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from pipeline.triplets.alignment import Alignment, Span
from pipeline.triplets.annotations import Entity, parse_annotation
from pipeline.triplets.attachment import Attachment
from pipeline.triplets.lexicon import Lexicon
from pipeline.triplets.radgraph_page import Page
from pipeline.triplets.radgraph_reading import Placed, Reading
from pipeline.triplets.sections import BODY, Section, read_sections
from pipeline.triplets.sentences import LONG, Pieces, Sentence
from pipeline.triplets.triplet import Triplet
from pipeline.triplets.vocabulary import Meaning, Vocabulary

_MEMO = 1 << 16  # pieces with their entities, and phrases; reports repeat both
_Position = tuple[int, int, int]  # of an entity: the first piece with some of it, and its characters [start, end)


@dataclass(slots=True, eq=False)
class _Text:
    """A piece of text and its sentences; one that is remembered is itself again, and quick to look up."""

    text: str
    sentences: tuple[Sentence, ...]


class _Piece(NamedTuple):
    """A piece of a report, its first character and its first sentence's number."""

    text: _Text
    start: int
    number: int

    @property
    def end(self) -> int:
        return self.start + len(self.text.text)


class _Said(NamedTuple):
    """What a page says, and the counts of its `Reading`."""

    triplets: list[Triplet]
    counts: dict[str, int]


class GraphRules:
    """Reads annotations in RadGraph's published format by one lexicon.

    Attributes:
        counts: what was read and left out since the start, or since they were cleared, by the names in `COUNTS`.
            `entities`: of all annotations; `entities_outside`: with a word that has no counterpart in the sections of
            the report that are read; these are left out.
            `observations`: the others among the observations, measurements aside; `observations_unknown`: their words
            mean no finding in the lexicon and they modify nothing; `observations_unplaced`: a "normal" of something
            that is no place in the lexicon. `anatomies_unknown`: places of findings that the lexicon does not know.
    """

    counts: Counter[str]

    def __init__(self, lexicon: Lexicon) -> None:
        self.counts = Counter()
        self._vocabulary = Vocabulary(lexicon)
        self._attachment = Attachment(lexicon)
        self._mentions = lru_cache(_MEMO)(self._vocabulary.mentions)
        self._lookup = lru_cache(_MEMO)(self._meaning)
        self._pieces = Pieces(self._vocabulary, _Text)
        self._said = lru_cache(_MEMO)(self._read_piece)

    def read(self, annotation: Mapping[str, Any], report: str | None) -> list[Triplet]:
        """The triplets of one report, in the order of mention.

        Args:
            annotation: {"text": tokens joined by single spaces, "entities": {"1": {"tokens", "label", "start_ix",
                "end_ix", "relations": [["located_at", "2"]]}, ...}}; labels in either spelling (OBS-DP,
                "Observation::definitely present"), start_ix and end_ix the first and last token.
            report: the text that spans shall refer to, aligned with the tokens word by word, case and spaces aside. An
                entity with a word that has no counterpart there is left out, and counted in `entities_outside`: its
                position would be a guess. None: spans are characters of the annotation's own text.

        Raises:
            DatasetError: a part is missing, or a label, relation or id is unknown; the message names the entity, and
                the caller puts the file and the report's key before it.
        """
        tokens, entities = parse_annotation(annotation)
        span: Callable[[int, int], Span | None]  # of an entity's tokens, from the first to the last
        if report is None:
            report = str(annotation["text"])
            span, sections = _own_spans(tokens), [Section(BODY, 0, len(report))]
        else:
            span, sections = Alignment(tokens, report).span, read_sections(report)
        pieces = self._cut(report, sections)
        positions, joined = _distribute(entities, span, pieces)
        self.counts["entities"] += len(entities)
        self.counts["entities_outside"] += len(entities) - len(positions)
        found: list[Triplet] = []
        for index, names in _by_piece(positions, joined).items():
            if index is None:
                said = self._read_page(
                    report, [pieces[part] for part in sorted(joined)], _placed(names, entities, positions, 0)
                )
                found += said.triplets
            else:
                piece = pieces[index]
                said = self._said(piece.text, _placed(names, entities, positions, piece.start))
                found += [triplet.moved(piece.number, piece.start) for triplet in said.triplets]
            for name, count in said.counts.items():
                self.counts[name] += count
        return sorted(found, key=lambda triplet: triplet.start)

    def _cut(self, report: str, sections: Iterable[Section]) -> list[_Piece]:
        pieces: list[_Piece] = []
        number = 0
        for start, text in self._pieces.of(report, sections):
            pieces.append(_Piece(text, start, number))
            number += len(text.sentences)
        return pieces

    def _read_piece(self, text: _Text, entities: tuple[Placed, ...]) -> _Said:
        return self._read_page(text.text, [_Piece(text, 0, 0)], entities)

    def _read_page(self, text: str, pieces: Iterable[_Piece], entities: Sequence[Placed]) -> _Said:
        """What entities say whose characters are counted from the text's first, as the pieces' are."""
        sentences = (
            (piece.number + index, piece.start, sentence)
            for piece in pieces
            for index, sentence in enumerate(piece.text.sentences)
        )
        reading = Reading(Page(text, sentences, self._mentions), entities, self._attachment, self._lookup)
        return _Said(reading.triplets(), {name: count for name, count in reading.counts.items() if count})

    def _meaning(self, phrase: str) -> Meaning | None:
        """What some words mean when they stand together."""
        ids = self._vocabulary.words(phrase).ids
        mentions = self._vocabulary.mentions(ids)
        return mentions[0].meaning if len(mentions) == 1 and mentions[0].end - mentions[0].start == len(ids) else None


def _own_spans(tokens: Iterable[str]) -> Callable[[int, int], Span]:
    """The characters of tokens, first to last, in the text that joins them by single spaces."""
    ends = list(accumulate(tokens, lambda end, token: end + 1 + len(token), initial=-1))  # ends[0] is before the text
    return lambda first, last: (ends[first] + 1, ends[last + 1])


def _distribute(
    entities: Mapping[str, Entity], span: Callable[[int, int], Span | None], pieces: Sequence[_Piece]
) -> tuple[dict[str, _Position], set[int]]:
    """Where the entities are that have a place in the pieces, and the pieces that cannot be read on their own.

    These are joined by an entity or a relation, or too long to be remembered.
    """
    ends = [piece.end for piece in pieces]
    starts = [piece.start for piece in pieces] + [sys.maxsize] * 2  # no entity reaches beyond the last
    joined = {index for index, piece in enumerate(pieces) if len(piece.text.text) > LONG}
    positions: dict[str, _Position] = {}
    for name, entity in entities.items():
        found = span(entity.first, entity.last)
        if found is None:
            continue
        start, end = found
        piece = bisect_right(ends, start)
        if starts[piece] < end:
            positions[name] = (piece, start, end)
        if starts[piece + 1] < end:
            joined.update(range(piece, bisect_left(starts, end)))
    for name, (piece, _, _) in positions.items():
        for _, target in entities[name].relations:
            if target in positions and (other := positions[target][0]) != piece:
                joined |= {piece, other}
    return positions, joined


def _by_piece(positions: Mapping[str, _Position], joined: Container[int]) -> dict[int | None, list[str]]:
    """The entities of each piece in their order, those of all joined ones under None."""
    names: dict[int | None, list[str]] = {}
    for name, (piece, _, _) in positions.items():
        names.setdefault(None if piece in joined else piece, []).append(name)
    return names


def _placed(
    names: Sequence[str], entities: Mapping[str, Entity], positions: Mapping[str, _Position], offset: int
) -> tuple[Placed, ...]:
    """Some entities with characters counted from an offset, and the relations between them."""
    numbers = {name: number for number, name in enumerate(names)}
    placed = []
    for name in names:
        (label, _, _, relations), (_, start, end) = entities[name], positions[name]
        if relations:  # most often there are none
            inner = tuple([(relation, numbers[target]) for relation, target in relations if target in numbers])
        else:
            inner = ()
        placed.append(tuple.__new__(Placed, (label, start - offset, end - offset, inner)))  # quicker than Placed(...)
    return tuple(placed)
