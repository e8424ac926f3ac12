"""Pieces: cut and remembered, they hold the sentences that the whole text has."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triplets import sentences
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.sections import BODY, Section
from pipeline.triplets.sentences import Pieces, Sentence
from pipeline.triplets.vocabulary import Vocabulary

_VOCABULARY = Vocabulary(load_lexicon())
_PARTS = [
    "effusion", "No edema", "zz", "1", "2.5", "Dr", "vs", "A", ".", "!", "。", ",", " ", "  ", "\n", "\n\n", "\n \n",
    "\x00", "\x1d", "-", ". ", ".\n", "1. ", "word " * 201,
]  # fmt: skip

Placed = tuple[tuple[int, ...], list[int], list[int]]


def _sentences(text: str, start: int, end: int) -> list[Placed]:
    """Ids, first characters and ends of the words of each sentence."""

    def made(_: str, found: Sequence[Sentence]) -> Sequence[Sentence]:
        return found

    pieces = Pieces(_VOCABULARY, made).of(text, [Section(BODY, start, end)])
    return [
        (ids, [at + s for s in starts], [at + e for e in ends]) for at, found in pieces for ids, starts, ends in found
    ]


@given(st.lists(st.sampled_from(_PARTS), max_size=30).map("".join), st.data())
def test_pieces_have_the_sentences_of_the_whole(text: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    with pytest.MonkeyPatch.context() as whole:
        whole.setattr(sentences, "LONG", 0)
        expected = _sentences(text, start, end)
    assert _sentences(text, start, end) == expected


def test_a_piece_is_made_once_wherever_it_stands():
    seen: list[str] = []
    pieces = Pieces(_VOCABULARY, lambda text, _: seen.append(text))
    report = "No edema. 1. Clear lungs.\n\nFindings\n\nNo edema.  No edema vs. effusion. No edema."
    assert [at for at, _ in pieces.of(report, [Section(BODY, 0, len(report))])] == [0, 10, 27, 48, 71]
    assert seen[0] == "No edema."
    assert seen.count("No edema.") == 1


def test_a_text_without_an_end_is_read_in_time():
    report = "A. " * 20_000  # each stop might end a piece, and none does
    assert len(_sentences(report, 0, len(report))) == 100
