"""Tokens are found in the report they come from, wherever the report's sections begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triplets.alignment import Alignment, Span

_TEXT = (
    "FINAL REPORT INDICATION : no cough . FINDINGS : The lungs are clear . No effusion . IMPRESSION : No pneumonia . "
    "RECOMMENDATION : treat pneumonia ."
)
_FULL = _TEXT.split()


def _spans(tokens: list[str], report: str) -> list[Span | None]:
    alignment = Alignment(tokens, report)
    return [alignment.span(index, index) for index in range(len(tokens))]


def _found(tokens: list[str], report: str) -> list[str | None]:
    return [None if span is None else report[slice(*span)] for span in _spans(tokens, report)]


def test_only_the_sections_that_the_report_keeps_have_positions():
    report = "The lungs are clear.\nNo effusion.\n\nNo pneumonia."
    found = _found(_FULL, report)
    assert found[9:17] == ["The", "lungs", "are", "clear", ".", "No", "effusion", "."]
    assert found[19:22] == ["No", "pneumonia", "."]
    assert set(found[:9] + found[17:19] + found[22:]) == {None}


@pytest.mark.parametrize(
    ("tokens", "report", "found"),
    [
        (["x", "-", "ray"], "X-ray", ["X", "-", "ray"]),
        (["x-ray", "clear"], "x - ray  clear", ["x - ray", "clear"]),
        (["port-a-cath"], "port-a-line", [None]),
        (["a", "b"], "", [None, None]),
        ([], "a b", []),
        (["", "a"], "a", [None, "a"]),
        (["\N{LATIN SMALL LETTER SHARP S}"], "SS", ["SS"]),
    ],
)
def test_tokens_split_otherwise(tokens: list[str], report: str, found: list[str | None]):
    assert _found(tokens, report) == found


_WORDS = st.lists(
    st.sampled_from(["the", "lung", ".", "no", "x-ray", "___", "(", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
)


@given(_WORDS, _WORDS, _WORDS)
def test_positions_are_in_order_and_of_the_same_word(before: list[str], words: list[str], after: list[str]):
    tokens, report = [*before, *words, *after], " ".join(words).upper()
    end = 0
    for token, span in zip(tokens, _spans(tokens, report), strict=True):
        if span is not None:
            assert end <= span[0]
            assert report[slice(*span)].casefold() == token.casefold()
            end = span[1]
    assert None not in _spans(words, report)


@given(_WORDS, _WORDS, st.data())
def test_several_tokens_stand_from_the_first_to_the_last_if_all_are_there(
    words: list[str], others: list[str], data: st.DataObject
):
    tokens, report = [*words, *others, "lung"], " ".join([*words, "lung"])
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, len(tokens) - 1))
    spans = _spans(tokens, report)[first : last + 1]
    known = [span for span in spans if span is not None]
    expected = (known[0][0], known[-1][1]) if len(known) == len(spans) else None
    assert Alignment(tokens, report).span(first, last) == expected


def test_fifty_thousand_characters_are_aligned():
    tokens = ["no", "effusion", "or", "pneumothorax", "."] * 2000
    spans = _spans(["FINDINGS", ":", *tokens], " ".join(tokens))
    assert spans[:2] == [None, None]
    assert None not in spans[2:]
