import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.phantom.typos import mistype

SENTENCE = "There is no evidence of pneumothorax, ___ or effusion."


def test_rate_zero_changes_nothing() -> None:
    assert mistype(SENTENCE, 0.0, np.random.default_rng(0)) == SENTENCE


@given(st.integers(0, 2**32 - 1))
def test_short_words_stay(seed: int) -> None:
    typed = mistype(SENTENCE, 1.0, np.random.default_rng(seed))
    for word in ("is", "no", "of", "___", "or"):
        assert f" {word} " in typed
    assert abs(len(typed) - len(SENTENCE)) <= 6


def test_every_long_word_may_slip() -> None:
    words = [mistype("pneumothorax", 1.0, np.random.default_rng(seed)) for seed in range(200)]
    assert {len(word) - len("pneumothorax") for word in words} == {-1, 0, 1}
    assert all(word[0] == "p" and word[-1] == "x" for word in words)
