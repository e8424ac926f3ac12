"""Slips of the typing hand: doubled, swapped and dropped letters, missing blanks and full stops.

Short words are left alone, so that no slip turns a "no" into an "on" and changes what a sentence says.
"""

from itertools import pairwise

import numpy as np

_SHORTEST = 5


def mistype(sentence: str, rate: float, rng: np.random.Generator) -> str:
    """Mistype each longer word, and the end of the sentence, with probability `rate`."""
    if rate <= 0:
        return sentence
    words = [
        _slip(word, rng) if len(word) >= _SHORTEST and rng.random() < rate else word for word in sentence.split(" ")
    ]
    text = words[0]
    for before, word in pairwise(words):
        joined = min(len(before), len(word)) >= _SHORTEST and rng.random() < rate / 3
        text += word if joined else f" {word}"
    return text.removesuffix(".") if rng.random() < rate else text


def _slip(word: str, rng: np.random.Generator) -> str:
    """Double, swap or drop one of the inner letters."""
    at = int(rng.integers(1, len(word) - 2))
    if not word[at : at + 2].isalpha():
        return word
    kind = int(rng.integers(3))
    if kind == 0:
        return word[:at] + word[at] + word[at:]
    if kind == 1:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]
