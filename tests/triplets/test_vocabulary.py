"""Words, spelling and phrases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.vocabulary import STOP, UNKNOWN, Cue, Vocabulary, _plain, _tokenizer


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load_lexicon())


def _findings(vocabulary: Vocabulary, text: str) -> list[str | None]:
    return [mention.meaning.finding for mention in vocabulary.mentions(vocabulary.words(text).ids)]


@given(st.text(max_size=200))
def test_words_lie_in_the_text_in_order(vocabulary: Vocabulary, text: str):
    words = vocabulary.words(text)
    assert len(words.ids) == len(words.starts) == len(words.ends)
    assert all(start < end <= len(text) for start, end in zip(words.starts, words.ends, strict=True))
    assert words.starts == sorted(words.starts)


@given(
    st.lists(st.sampled_from(["x-ray", "No.3", "vs.", "2.5cm,", "(edema)", "\n", " ", "  ", "\x00", "!"])).map("".join)
)
def test_runs_are_cut_as_the_whole_text_is(vocabulary: Vocabulary, text: str):
    spaced = text.replace("\x00", " ")
    whole = _tokenizer()(_plain(spaced))
    expected = [(token.idx, token.idx + len(token)) for token in whole if not token.text.isspace()]
    words = vocabulary.words(text)
    spans = zip(words.starts, words.ends, strict=True)
    assert [span for span in spans if not spaced[slice(*span)].isspace()] == expected


def test_spans_survive_hyphens_and_control_characters(vocabulary: Vocabulary):
    text = "A\x00 ground-glass\topacity"
    words = vocabulary.words(text)
    (mention,) = [m for m in vocabulary.mentions(words.ids) if m.meaning.finding]
    assert text[words.starts[mention.start] : words.ends[mention.end - 1]] == "ground-glass\topacity"


def test_longest_phrase_wins(vocabulary: Vocabulary):
    assert _findings(vocabulary, "calcified granuloma") == ["granuloma"]
    assert _findings(vocabulary, "subcutaneous emphysema") == ["subcutaneous emphysema"]


@pytest.mark.parametrize("text", ["pneumothoraces", "PNEUMOTHORAX", "Pneumothorax", "pnuemothorax", "pneumothorx"])
def test_inflections_case_and_typing_errors(vocabulary: Vocabulary, text: str):
    assert _findings(vocabulary, text) == ["pneumothorax"]


@pytest.mark.parametrize("text", ["infusion", "thoracotomy", "patient", "obstruction", "injection", "ed3ma", "mess"])
def test_other_words_are_not_corrected_into_findings(vocabulary: Vocabulary, text: str):
    assert not any(_findings(vocabulary, text))


def test_stops(vocabulary: Vocabulary):
    ids = vocabulary.words("Clear.No edema.. Stable vs. worse\n\nEnd 2.5 cm").ids
    assert ids.count(STOP) == 3
    assert vocabulary.words("quux").ids == [UNKNOWN]


def test_a_phrase_keeps_all_its_meanings(vocabulary: Vocabulary):
    (mention,) = vocabulary.mentions(vocabulary.words("prominent").ids)
    assert mention.meaning.severity == "severe"
    assert mention.meaning.described["hilum"] == "hilar enlargement"
    (mention,) = vocabulary.mentions(vocabulary.words("there is").ids)
    assert mention.meaning.cue == Cue.VERB | Cue.OPENING
