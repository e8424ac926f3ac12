"""From text to meaningful words: spaCy's tokenizer, tolerant spelling, and one trie of all phrases of lexicon and cues.

A sentence becomes a list of `Mention`s, the longest phrases found from left to right. What the mentions say about each
other is the matter of `existence` and `attachment`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag, auto
from functools import lru_cache
from itertools import chain, permutations, product, repeat
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rapidfuzz import process
from rapidfuzz.distance import OSA
from spacy.attrs import LOWER
from spacy.lang.en import English
from spacy.tokenizer import Tokenizer
from spacy.tokens import Token
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex
from spacy.vocab import Vocab

from pipeline.errors import ParamsError
from pipeline.triplets.lexicon import SIDES, Lexicon

UNKNOWN, STOP = 0, 1  # word ids: a word of no phrase, the end of a sentence
_MEANING = -1
_CUES_FILE = Path(__file__).with_name("cues.yaml")
_STOPS = (".", "!", "\N{FULLWIDTH FULL STOP}", "\N{IDEOGRAPHIC FULL STOP}")
# Hyphens inside words and the stops of abbreviations would split phrases; one character gives one, so spans stay true.
_HYPHEN = re.compile(r"[-\u2010-\u2013](?<=[A-Za-z].)(?=[A-Za-z0-9])")  # the set first: searching is then quick
_SHORT = re.compile(r"\.(?<=\b(?:vs|dr).)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")
_RUN = re.compile(r"(\S+|\n\s*\n\s*)")  # what stands between spaces, or an empty line
_LONG = re.compile(r"\S{200,}")  # the tokenizer takes signs off such a one by one, in time that grows with the square
_MEMO = 1 << 16  # different runs; each costs about 0.5 kB
_SIGN_AFTER_SIGN = re.compile(r"(?<=[\W_])[\W_]")
_STOPS_INSIDE = (r"(?<=[A-Za-z])\.(?=[A-Za-z0-9])", r"(?<=[0-9])\.(?=[A-Za-z])")  # "effusion.No", "1.There"
_SLOT = re.compile(r"<(\w+)>")
_CORRECTABLE = re.compile(r"[a-z]{6,}")


class Cue(IntFlag):
    """What a small word does; `cues.yaml` explains each. NONE for words of findings and places."""

    NONE = 0
    NEGATION = auto()
    NEGATION_AFTER = auto()
    RESOLVED = auto()
    UNCERTAINTY = auto()
    UNCERTAINTY_AFTER = auto()
    DIFFERENTIAL = auto()
    ALTERNATIVE = auto()
    HYPOTHETICAL = auto()
    INDICATION = auto()
    HISTORY = auto()
    COMPARISON = auto()
    BREAK = auto()
    AND = auto()
    OR = auto()
    COMMA = auto()
    WITH = auto()
    VERB = auto()
    PREPOSITION = auto()
    DISTANCE = auto()
    REPRESENTING = auto()
    OPENING = auto()
    AFFIRMING = auto()
    NEUTRAL = auto()
    RELATIVE = auto()
    PART = auto()


@dataclass(slots=True)
class Meaning:
    """All that a phrase may mean: "prominent" is a severity, and of the hilum a finding."""

    finding: str | None = None
    places: tuple[str, ...] = ()
    side: str | None = None  # left | right | both
    severity: str | None = None
    described: dict[str, str] = field(default_factory=dict)  # anatomy -> finding
    cue: int = 0  # of Cue; a plain int because IntFlag's operators are slow


class Mention(NamedTuple):
    """A phrase found: its meaning and its words [start, end), counted from the sentence's first word."""

    meaning: Meaning
    start: int
    end: int


class Words(NamedTuple):
    """A report's words: their ids, first characters and end characters."""

    ids: list[int]
    starts: list[int]
    ends: list[int]


class Vocabulary:
    """The phrases of a lexicon and of `cues.yaml`, ready to be found in text."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._tokenizer = _tokenizer()
        self._ids: dict[str, int] = dict.fromkeys(_STOPS, STOP)
        self._trie: dict[int, Any] = {}
        self._words_of = lru_cache(_MEMO)(self._split)
        for phrase, parts in _phrases(lexicon):
            self._add(phrase, parts)
        self._corrections = sorted(word for word in self._names(lexicon) if len(word) >= 7)

    def words(self, text: str) -> Words:
        """The words of a text. Whitespace is left out, but an empty line ends a sentence."""
        ids: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        runs, gaps = _runs(text)
        at = 0
        for run, gap in zip(runs, gaps, strict=False):
            at += gap
            for word, start, end in self._words_of(run):
                ids.append(word)
                starts.append(at + start)
                ends.append(at + end)
            at += len(run)
        return Words(ids, starts, ends)

    def mentions(self, ids: Sequence[int]) -> list[Mention]:
        """The phrases in a sentence of word ids, the longest first, from left to right, never overlapping."""
        found: list[Mention] = []
        index, count, first = 0, len(ids), self._trie.get
        while index < count:
            node = first(ids[index])
            if node is None:  # most often
                index += 1
                continue
            end, meaning, best = index, None, index + 1
            while node is not None:
                end += 1
                if _MEANING in node:
                    meaning, best = node[_MEANING], end
                node = node.get(ids[end]) if end < count else None
            if meaning is not None:
                found.append(tuple.__new__(Mention, (meaning, index, best)))  # thrice as fast as Mention(...)
            index = best
        return found

    def _add(self, phrase: str, parts: Mapping[str, Any]) -> None:
        node = self._trie
        for token in self._tokens(phrase.lower()):
            node = node.setdefault(self._ids.setdefault(token.text, len(self._ids) + STOP), {})
        meaning: Meaning = node.setdefault(_MEANING, Meaning())
        for name, value in parts.items():
            if name == "described":
                meaning.described.update(value)
            else:
                setattr(meaning, name, getattr(meaning, name) | value if name == "cue" else value)

    def _names(self, lexicon: Lexicon) -> set[str]:
        """The words worth correcting to: those of the canonical names and of their plurals."""
        names = [*lexicon.pathologies, *lexicon.anatomies]
        return {word for name in names for word in (*name.split(), *lexicon.plural(name).split()) if word in self._ids}

    def _split(self, run: str) -> tuple[tuple[int, int, int], ...]:
        """The words of a run of characters: id, first character and end. The tokenizer, too, cuts at spaces first."""
        if run.isspace():
            return ((STOP, 0, len(run)),)
        return tuple([(self._id(token.lower_), token.idx, token.idx + len(token)) for token in self._tokens(run)])

    def _tokens(self, text: str) -> list[Token]:
        return [token for token in self._tokenizer(_plain(text)) if not token.text.isspace()]

    def _id(self, word: str) -> int:
        """The id of a word in lower case, corrected when it is nearly a word of the lexicon."""
        if not word.strip("."):
            return STOP
        return self._ids[word] if word in self._ids else self._ids.get(self._corrected(word), UNKNOWN)

    def _corrected(self, word: str) -> str:
        """The name within one edit (two from twelve letters on) and with the same first letter, or the word itself."""
        if not _CORRECTABLE.fullmatch(word):
            return word
        edits = 1 if len(word) < 12 else 2
        match = process.extractOne(word, self._corrections, scorer=OSA.distance, score_cutoff=edits)
        return match[0] if match is not None and match[0][0] == word[0] else word


def _runs(text: str) -> tuple[list[str], Iterable[int]]:
    """What stands between spaces, and how many characters lie before each."""
    if text.isprintable():  # most often: neither control characters nor spaces of another kind
        return text.split(" "), chain((0,), repeat(1))
    parts = _RUN.split(_CONTROL.sub(" ", text))  # a gap and a run in turn
    return parts[1::2], map(len, parts[::2])


def _tokenizer() -> Tokenizer:
    """A blank English pipeline's tokenizer without its exceptions ("Id", "Nov."), which split words we want whole."""
    defaults = English.Defaults
    return Tokenizer(
        Vocab(lex_attr_getters={LOWER: str.lower}),  # no other attribute of a word is read, and each costs time
        prefix_search=compile_prefix_regex(defaults.prefixes or ()).search,
        suffix_search=compile_suffix_regex(defaults.suffixes or ()).search,
        infix_finditer=compile_infix_regex([*(defaults.infixes or ()), *_STOPS_INSIDE]).finditer,
    )


def _plain(text: str) -> str:
    plain = _HYPHEN.sub(" ", _SHORT.sub(" ", text))
    return _LONG.sub(lambda run: _SIGN_AFTER_SIGN.sub(" ", run[0]), plain)


def _phrases(lexicon: Lexicon) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every phrase with the part of its meaning that each section of the lexicon and each kind of cue gives it."""
    for phrase in lexicon.lookalikes:
        yield from _numbers(lexicon, phrase, {"cue": int(Cue.NEUTRAL)})
    for name, entry in lexicon.pathologies.items():
        for phrase in entry.synonyms:
            yield from _numbers(lexicon, phrase, {"finding": name})
        for place, words in entry.described.items():
            yield from ((word, {"described": {place: name}}) for word in words)
    yield from _places(lexicon)
    yield from ((word, {"severity": name}) for name, words in lexicon.severities.items() for word in words)
    yield from ((word, {"side": name}) for name, words in lexicon.sides.items() for word in words)
    yield from ((word, {"cue": int(cue)}) for cue, words in _cues(lexicon).items() for word in words)


def _places(lexicon: Lexicon) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, place in lexicon.anatomies.items():
        for phrase in place.synonyms:
            yield from _numbers(lexicon, phrase, {"places": (name,)})
        for phrase in place.both:
            yield phrase, {"places": lexicon.sided(name, "both")}
    for phrase, names in lexicon.groups.items():
        yield from _numbers(lexicon, phrase, {"places": names})
    for family in lexicon.coordinated:
        yield from _coordinated(lexicon, family)


def _coordinated(lexicon: Lexicon, family: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """ "upper and lower lobe" and "upper and left lower lobe", for every two places of a family."""
    names = {phrase: name for name, place in lexicon.anatomies.items() for phrase in place.synonyms}
    for (first, second), joint in ((pair, joint) for pair in permutations(family, 2) for joint in ("and", "or", "to")):
        word = first.split(" ", 1)[0]
        yield from _numbers(lexicon, f"{word} {joint} {second}", {"places": (names[first], names[second])})
        for side in SIDES:
            half = lexicon.sided(names[second], side)
            yield from _numbers(lexicon, f"{word} {joint} {side} {second}", {"places": (names[first], *half)})


def _numbers(lexicon: Lexicon, phrase: str, parts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield phrase, parts
    yield lexicon.plural(phrase), parts


def _cues(lexicon: Lexicon) -> dict[Cue, list[str]]:
    raw = yaml.load(_CUES_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    slots = {**raw.pop("slots"), "severity": list(chain.from_iterable(lexicon.severities.values()))}
    if unknown := sorted(raw.keys() - {cue.name.lower() for cue in Cue if cue.name}):
        raise ParamsError(f"{_CUES_FILE.name} has the unknown kind {unknown[0]!r}: use those of the class Cue.")
    filled = {kind: chain.from_iterable(_filled(phrase, slots) for phrase in phrases) for kind, phrases in raw.items()}
    return {Cue[kind.upper()]: list(phrases) for kind, phrases in filled.items()}


def _filled(phrase: str, slots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A phrase with every word of its slots: "not <adverb> seen" is "not seen", "not clearly seen" and so on."""
    names = _SLOT.findall(phrase)
    if unknown := sorted(set(names) - slots.keys()):
        raise ParamsError(f"{_CUES_FILE.name} does not say what stands for <{unknown[0]}>: add it to slots.")
    for words in product(*(slots[name] for name in names)):
        following = iter(words)
        yield " ".join(_SLOT.sub(lambda _: next(following), phrase).split())  # noqa: B023 used at once
