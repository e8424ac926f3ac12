"""Turns what is to be said into English sentences that carry their own truth.

A `Speaker` fills the sentence frames of `wording.yaml`; whatever it says, it returns with the triplets the
words mean. Which findings are mentioned, and how surely, is decided in `reports`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

_WORDING = Path(__file__).with_name("wording.yaml")
_SPELLED_WITH_VOWEL = set("AEFHILMNORSX")
_AGREEMENT = {"is": "are", "has": "have", "remains": "remain", "persists": "persist"}
Item = TypeVar("Item")


@dataclass(frozen=True)
class TrueTriplet:
    """What a report truly says: canonical names, existence present | absent | uncertain, severity where said."""

    pathology: str
    anatomy: str
    existence: str
    severity: str | None


@dataclass(frozen=True)
class Sentence:
    """A sentence without its full stop, and the triplets it states."""

    text: str
    triplets: tuple[TrueTriplet, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A finding as the radiologist takes it.

    Attributes:
        name: an entry of the wording's findings.
        anatomies: canonical anatomies.
        severity: None when not worth saying.
        side: left | right | both | "", as drawn; a line is named by the side it enters from.
        doubtful: whether the reader is unsure of it.
        course: present | appeared | stable | grown | shrunk, as stated: `present` says nothing of earlier studies.
        details: slots of its own, such as {cm}.
    """

    name: str
    anatomies: tuple[str, ...]
    severity: str | None = None
    side: str = ""
    doubtful: bool = False
    course: str = "present"
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Noun:
    """A noun phrase for a subject, and what was really put into words."""

    text: str
    plural: bool
    countable: bool
    subject: Subject

    def slots(self, letter: str) -> dict[str, str]:
        """The phrase without article, with its article, and with "the"."""
        article = f"{_article(self.text)} " if self.countable and not self.plural else ""
        return {letter: self.text, f"a_{letter}": article + self.text, f"the_{letter}": f"the {self.text}"}


@cache
def wording() -> dict[str, Any]:
    """The words and sentence frames, as in wording.yaml."""
    content: dict[str, Any] = yaml.safe_load(_WORDING.read_text(encoding="utf-8"))
    return content


@cache
def severity_of(word: str) -> str | None:
    """The severity an adjective states, None for any other word."""
    for adjectives in wording()["severities"].values():
        for severity, words in adjectives.items():
            if word in words:
                return str(severity)
    return None


def side_of(anatomy: str) -> tuple[str | None, str]:
    """Split a canonical anatomy into its side (None without one) and the rest."""
    side, _, rest = anatomy.partition(" ")
    return (side, rest) if side in ("left", "right") else (None, anatomy)


def laterality(anatomies: Sequence[str]) -> str:
    """none | one | both (the two sides of one place) | several."""
    split = [side_of(anatomy) for anatomy in anatomies]
    if len(split) == 1:
        return "none" if split[0][0] is None else "one"
    same_place = len({place for _, place in split}) == 1
    return "both" if same_place and {side for side, _ in split} == {"left", "right"} else "several"


def state(subject: Subject, existence: str) -> tuple[TrueTriplet, ...]:
    """One triplet per anatomy of the subject."""
    pathology = wording()["findings"].get(subject.name, {}).get("as", subject.name)
    return tuple(TrueTriplet(pathology, place, existence, subject.severity) for place in subject.anatomies)


class Speaker:
    """Says things at random, repeatably from the generator it is given."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.wording = wording()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self.rng.integers(len(items)))]

    def fill(self, frame: str, slots: Mapping[str, str] | None = None) -> str:
        """A frame with its slots and random words filled in, first letter upper case."""
        text = frame.format_map(_Slots(self, slots or {})).strip()
        return text[:1].upper() + text[1:]

    def noun(self, subject: Subject, *, placed: bool = True) -> Noun:
        """A noun phrase; the returned subject holds the anatomies and the severity that were really said."""
        entry = self.wording["findings"][subject.name]
        name, plural, countable, sided = self._name(entry, subject)
        if not sided and placed and subject.anatomies != (entry["default"],):
            before, after = self._place(subject)
        else:
            before, after = "", ""
        head, _, rest = name.partition(" ")
        if rest and head in before.split():  # a lung mass in the right lower lung is no "right lower lung lung mass"
            name = rest
        said = bool(sided or before or after)
        adjective = self._adjective(entry, subject)
        look = self.pick(entry["looks"]) if entry.get("looks") and self.chance(0.2) else ""
        text = " ".join(part for part in (adjective, look, before, name, after) if part)
        spoken = replace(subject, severity=subject.severity if adjective else None)
        return Noun(text, plural, countable, spoken if said else replace(spoken, anatomies=(entry["default"],)))

    def _name(self, entry: Mapping[str, Any], subject: Subject) -> tuple[str, bool, bool, bool]:
        sides = laterality(subject.anatomies)
        sided = entry.get({"one": "side_mass", "both": "pair_mass"}.get(sides, ""))
        if sided:
            return self.pick(sided).format(side=side_of(subject.anatomies[0])[0]), False, False, True
        kinds = [(name, kind) for kind in ("names", "mass", "plurals") for name in entry.get(kind, [])]
        name, kind = self.pick(kinds)
        name = name.format(side=subject.side, **subject.details)
        many = kind == "plurals" or (kind == "names" and len(subject.anatomies) > 1)
        return (_plural(name) if many and kind == "names" else name), many, kind == "names", False

    def _adjective(self, entry: Mapping[str, Any], subject: Subject) -> str:
        adjectives = self.wording["severities"][entry["severity"]]
        return self.pick(adjectives[subject.severity]) if subject.severity in adjectives else ""

    def _place(self, subject: Subject) -> tuple[str, str]:
        sides = laterality(subject.anatomies)
        if sides == "several":
            return "", " and ".join(self._where(anatomy, "after") for anatomy in subject.anatomies)
        if sides == "both":
            words = self.wording["places"][side_of(subject.anatomies[0])[1]]["both"]
            options: list[tuple[str, str]] = [(word, "") for word in words["before"]] + [
                ("", word) for word in words["after"]
            ]
            return self.pick(options)
        if self.chance(0.5) and (before := self._where(subject.anatomies[0], "before")):
            return before, ""
        after = self._where(subject.anatomies[0], "after")
        return ("", after) if after else (self._where(subject.anatomies[0], "before"), "")

    def _where(self, anatomy: str, position: str) -> str:
        side, place = side_of(anatomy)
        words = self.wording["places"][place]["one" if side else "none"][position]
        return self.pick(words).format(side=side, initial=(side or "x")[0].upper()) if words else ""

    def tell(self, frames: Sequence[str], subject: Subject, existence: str) -> Sentence:
        """One finding in one frame."""
        noun = self.noun(subject)
        return Sentence(self._compose(frames, noun), state(noun.subject, existence))

    def tell_at(self, frames: Sequence[str], subject: Subject, anatomy: str) -> Sentence:
        """A device whose frames name where it lies."""
        noun = self.noun(subject, placed=False)
        return Sentence(self._compose(frames, noun), state(replace(noun.subject, anatomies=(anatomy,)), "present"))

    def tell_two(self, frames: Sequence[str], first: Subject, second: Subject, existence: str) -> Sentence:
        """Two findings in one frame, each with its own place."""
        x, y = self.noun(first), self.noun(second)
        return Sentence(self._compose(frames, x, y), state(x.subject, existence) + state(y.subject, existence))

    def explain(self, frames: Sequence[str], sign: Subject, meaning: Subject, existences: tuple[str, str]) -> Sentence:
        """A sign with its place, and what it stands for, which is meant to lie in the same place."""
        x, y = self.noun(sign), self.noun(meaning, placed=False)
        named = x.subject.anatomies != (self.wording["findings"][sign.name]["default"],)
        meant = replace(y.subject, anatomies=x.subject.anatomies) if named else y.subject
        return Sentence(self._compose(frames, x, y), state(x.subject, existences[0]) + state(meant, existences[1]))

    def claim(self, clauses: Sequence[str], subject: Subject, existence: str, *, sided: bool) -> Sentence:
        """A whole clause of the finding's own; it names no place unless sided."""
        still = existence == "present" and subject.course == "stable"
        frame = self.pick(clauses) + (self.pick(self.wording["tails"]) if still else "")
        verbs = self.pick([{"is": "is", "are": "are"}, {"is": "remains", "are": "remain"}][: 1 + still])
        degree = subject.severity if "{ly}" in frame else None
        adverb = f"{self.pick(self.wording['adverbs'][degree])} " if degree else ""
        default = (self.wording["findings"][subject.name]["default"],)
        said = replace(subject, severity=degree, anatomies=subject.anatomies if sided else default)
        side = side_of(subject.anatomies[0])[0] or ""
        return Sentence(self.fill(frame, {"ly": adverb, "side": side, **verbs}), state(said, existence))

    def deny(self, frames: Sequence[str], phrases: Sequence[tuple[str, Subject]]) -> Sentence:
        """A list of findings that share one negation."""
        words = [phrase for phrase, _ in phrases]
        comma = ", " if len(words) > 2 and self.chance(0.5) else " "
        listed = ", ".join(words[:-1]) + f"{comma}or {words[-1]}" if len(words) > 1 else words[0]
        frame = self.pick([frame for frame in frames if "{neither}" not in frame or len(words) == 2])
        slots = {
            "list": listed,
            "neither": " nor ".join(words),
            "there_is": f"There {_verbs(_is_plural(words[0]))['is']}",
        }
        text = self.fill(frame, slots | _verbs(_is_plural(words[-1])))
        return Sentence(text, tuple(triplet for _, subject in phrases for triplet in state(subject, "absent")))

    def _compose(self, frames: Sequence[str], x: Noun, y: Noun | None = None) -> str:
        slots = x.slots("x") | _verbs(x.plural) | dict(x.subject.details) | (y.slots("y") if y else {})
        return self.fill(self.pick(frames), slots)


class _Slots(dict[str, str]):
    """Slots by name; a name that is none of the given slots is a list of words to pick from."""

    def __init__(self, speaker: Speaker, slots: Mapping[str, str]) -> None:
        super().__init__(slots)
        self._speaker = speaker

    def __missing__(self, name: str) -> str:
        words: Sequence[str] = self._speaker.wording["words"][name]
        return self._speaker.pick(words)


def _article(phrase: str) -> str:
    first = phrase.split()[0]
    if first.isupper() and first.isalpha():
        return "an" if first[0] in _SPELLED_WITH_VOWEL else "a"
    return "an" if first[0].lower() in "aeiou" else "a"


def _verbs(plural: bool) -> dict[str, str]:
    return {one: many if plural else one for one, many in _AGREEMENT.items()}


def _is_plural(phrase: str) -> bool:
    return phrase.endswith("s") and not phrase.endswith(("ss", "is"))


def _plural(noun: str) -> str:
    for ending, many in (("thorax", "thoraces"), ("bulla", "bullae"), ("ass", "asses"), ("ity", "ities")):
        if noun.endswith(ending):
            return noun[: -len(ending)] + many
    return f"{noun}s"
