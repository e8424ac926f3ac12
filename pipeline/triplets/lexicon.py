"""The lexicon: names of findings and places, the words reports use for them, and the label sets made of them.

All words live in `lexicon.yaml`, which a radiologist can read and extend; this module loads and checks it. It does not
match text (see `spacy_rules`) and holds no words of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ParamsError

UNSPECIFIED = "unspecified"
SIDES = ("left", "right")
_SECTIONS = (
    "pathologies",
    "anatomies",
    "groups",
    "coordinated",
    "severities",
    "sides",
    "lookalikes",
    "plurals",
    "label_sets",
)
_LEXICON_FILE = Path(__file__).with_name("lexicon.yaml")


@dataclass(frozen=True)
class Pathology:
    """A finding: its words, its broader finding, and where it is when a report does not say.

    `described` maps an anatomy to the words that, said of it, mean this finding ("enlarged" of the heart).
    """

    name: str
    synonyms: tuple[str, ...]
    parent: str | None
    default_anatomy: str
    described: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Anatomy:
    """A place: its words and the place that holds it.

    A sided place has `sides` (left and right -> the names of its halves) and words for `both`; a half has `side`.
    """

    name: str
    synonyms: tuple[str, ...]
    parent: str | None
    side: str | None = None
    sides: Mapping[str, str] | None = None
    both: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSet:
    """A dataset's findings, each with the pathologies that make it; see `findings.findings` for the arithmetic."""

    findings: Mapping[str, tuple[str, ...]]
    no_finding: str | None
    harmless: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """Everything `lexicon.yaml` says, checked: names map to entries in the file's order."""

    pathologies: Mapping[str, Pathology]
    anatomies: Mapping[str, Anatomy]
    groups: Mapping[str, tuple[str, ...]]  # a phrase for several places -> their names
    coordinated: tuple[tuple[str, ...], ...]  # phrases that share their last words
    severities: Mapping[str, tuple[str, ...]]
    sides: Mapping[str, tuple[str, ...]]  # left | right | both -> words
    lookalikes: tuple[str, ...]
    plurals: Mapping[str, str]
    label_sets: Mapping[str, LabelSet]

    def plural(self, phrase: str) -> str:
        """The plural of a phrase: its last word's, irregular ones from the file ("lung base" -> "lung bases")."""
        head, _, last = phrase.rpartition(" ")
        return f"{head} {_plural(last, self.plurals)}".strip()

    def within(self, anatomy: str) -> tuple[str, ...]:
        """An anatomy and all that hold it, from the inside out ("left lung base", "left lung", "lung")."""
        chain: list[str] = []
        place: str | None = anatomy
        while place is not None:
            chain.append(place)
            place = self.anatomies[place].parent
        return tuple(chain)

    def sided(self, anatomy: str, side: str | None) -> tuple[str, ...]:
        """The places meant by an anatomy and a side: one half, both halves for "both", or the anatomy itself."""
        halves = self.anatomies[anatomy].sides
        if halves is None or side is None:
            return (anatomy,)
        return tuple(halves.values()) if side == "both" else (halves[side],)


@cache
def load_lexicon(path: Path = _LEXICON_FILE) -> Lexicon:
    """Read and check a lexicon file.

    Raises:
        ParamsError: the file is missing or no YAML, names what it does not define, or gives one phrase two meanings.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise ParamsError(f"The lexicon {path.name} cannot be read ({error}): mend the file.") from error
    _check_sections(raw, path.name)
    sided = {name for name, entry in raw["anatomies"].items() if entry.get("sides")}
    lexicon = Lexicon(
        pathologies={name: _pathology(name, entry or {}) for name, entry in raw["pathologies"].items()},
        anatomies={
            place.name: place for name, entry in raw["anatomies"].items() for place in _places(name, entry, sided)
        },
        groups={phrase: tuple(group["anatomies"]) for group in raw["groups"].values() for phrase in group["synonyms"]},
        coordinated=tuple(tuple(family) for family in raw["coordinated"]),
        severities=_phrases(raw["severities"]),
        sides=_phrases(raw["sides"]),
        lookalikes=tuple(raw["lookalikes"]),
        plurals=raw["plurals"],
        label_sets={name: _label_set(entry) for name, entry in raw["label_sets"].items()},
    )
    _check(lexicon, path.name)
    return lexicon


def _check_sections(raw: object, file: str) -> None:
    for section in _SECTIONS:
        if not isinstance(raw, dict) or not isinstance(raw.get(section), dict | list):
            raise ParamsError(f"{file} lacks the section {section}: restore it from the repository's version.")


def _plural(word: str, irregular: Mapping[str, str]) -> str:
    if word in irregular:
        return irregular[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def _phrases(entries: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(words) for name, words in entries.items()}


def _pathology(name: str, entry: Mapping[str, Any]) -> Pathology:
    return Pathology(
        name=name,
        synonyms=_with_name(name, entry),
        parent=entry.get("parent"),
        default_anatomy=entry.get("anatomy", UNSPECIFIED),
        described=_phrases(entry.get("described", {})),
    )


def _places(name: str, entry: Mapping[str, Any], sided: set[str]) -> list[Anatomy]:
    """An anatomy and, if it has sides, its halves: the left lung base lies in the left lung, that in the lung."""
    parent = entry.get("parent")
    if name not in sided:
        return [Anatomy(name, _with_name(name, entry), parent)]
    halves = {side: f"{side} {name}" for side in SIDES}
    whole = Anatomy(name, _with_name(name, entry), parent, None, halves, tuple(entry.get("both", ())))
    above = {side: f"{side} {parent}" if parent in sided else name for side in SIDES}
    return [whole, *(Anatomy(half, tuple(entry.get(side, ())), above[side], side) for side, half in halves.items())]


def _with_name(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([name, *entry.get("synonyms", ())]))


def _label_set(entry: Mapping[str, Any]) -> LabelSet:
    return LabelSet(_phrases(entry["findings"]), entry.get("no_finding"), tuple(entry.get("harmless", ())))


def _check(lexicon: Lexicon, file: str) -> None:
    places = {entry.parent for entry in lexicon.anatomies.values()} - {None}
    places |= {entry.default_anatomy for entry in lexicon.pathologies.values()}
    places |= {place for entry in lexicon.pathologies.values() for place in entry.described}
    places |= {place for group in lexicon.groups.values() for place in group}
    findings = {entry.parent for entry in lexicon.pathologies.values()} - {None}
    findings |= {name for labels in lexicon.label_sets.values() for names in labels.findings.values() for name in names}
    _reject(file, "anatomy", places - lexicon.anatomies.keys())
    _reject(file, "pathology", findings - lexicon.pathologies.keys())
    _check_meanings(lexicon.pathologies, file)
    _check_meanings(lexicon.anatomies, file)


def _reject(file: str, kind: str, unknown: Iterable[str | None]) -> None:
    if names := sorted(map(str, unknown)):
        raise ParamsError(
            f"{file} refers to the {kind} {names[0]!r}, which it does not define: add it or correct the name."
        )


def _check_meanings(entries: Mapping[str, Pathology] | Mapping[str, Anatomy], file: str) -> None:
    meanings: dict[str, str] = {}
    for name, entry in entries.items():
        for phrase in entry.synonyms:
            if meanings.setdefault(phrase, name) != name:
                raise ParamsError(
                    f"{file} gives {phrase!r} to both {meanings[phrase]!r} and {name!r}: keep it in one of them."
                )
