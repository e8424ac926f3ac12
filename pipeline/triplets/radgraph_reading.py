"""RadGraph's entities and relations to triplets: the rules over the graph of one page.

The graph says which words are observations and anatomies, what modifies what, what lies where, and what is present; the
lexicon says what the words are called, and `attachment` settles places as it does for the `spacy` source.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from pipeline.triplets.annotations import LOCATED_AT, MODIFY, Label
from pipeline.triplets.attachment import NORMAL, Attachment
from pipeline.triplets.lexicon import UNSPECIFIED
from pipeline.triplets.nodes import Node, Sided
from pipeline.triplets.radgraph_page import Page, Phrase
from pipeline.triplets.triplet import Triplet
from pipeline.triplets.vocabulary import Meaning

COUNTS = (
    "entities",
    "entities_outside",
    "observations",
    "observations_unknown",
    "observations_unplaced",
    "anatomies_unknown",
)


class Placed(NamedTuple):
    """An entity on a page: its characters [start, end), and its relations to others by their number."""

    label: Label
    start: int
    end: int
    relations: tuple[tuple[str, int], ...]


class _Finding(NamedTuple):
    """The observations that one phrase names, in order, and what they amount to."""

    ids: tuple[int, ...]
    node: Node  # its start and end are words of the page


class Reading:
    """The rules at work on a page: its entities by their number, and their words on it.

    Attributes:
        counts: of the entities that have words on the page, by the names in `COUNTS`.
    """

    def __init__(
        self, page: Page, entities: Sequence[Placed], attachment: Attachment, lookup: Callable[[str], Meaning | None]
    ) -> None:
        self._page, self._attachment, self._lookup = page, attachment, lookup
        words = {name: page.words(entity.start, entity.end) for name, entity in enumerate(entities)}
        named = sorted((name for name in words if words[name]), key=lambda name: words[name].start)
        self.counts = dict.fromkeys(COUNTS, 0) | {"entities_outside": len(entities) - len(named)}
        self._words = words
        self._entities = {name: entities[name] for name in named}
        self._modified: dict[int, list[int]] = {}  # id -> ids that it modifies, and so on
        self._modifiers: dict[int, list[int]] = {}
        self._places: dict[int, list[int]] = {}
        self._suggesting: dict[int, list[int]] = {}
        self._whole: dict[int, list[int]] = {}  # id -> it with all its modifiers
        self._naming = {name: self._naming_phrase(name) for name in self._observations()}
        for name, entity in self._entities.items():
            for relation, target in entity.relations:
                if target in self._entities and target != name:
                    self._relate(name, relation, target)

    def _relate(self, name: int, relation: str, target: int) -> None:
        if relation == MODIFY:
            self._modified.setdefault(name, []).append(target)
            self._modifiers.setdefault(target, []).append(name)
        elif relation == LOCATED_AT:
            self._places.setdefault(name, []).append(target)
        else:
            self._suggesting.setdefault(target, []).append(name)

    def triplets(self) -> list[Triplet]:
        """Everything the report says of a finding at a place, in the order of mention."""
        named: dict[int, list[int]] = {}  # phrases that may name a finding, with the observations they belong to
        for name, number in self._naming.items():
            if number is not None:
                named.setdefault(number, []).append(name)
        candidates = [self._finding(tuple(ids), self._page.phrases[number]) for number, ids in named.items()]
        unnamed = (name for name, number in self._naming.items() if number is None)
        candidates += [found for name in unnamed if (found := self._composed(name)) is not None]
        findings = sorted((c for c in candidates if c.node.finding is not None), key=lambda c: c.node.start)
        self._count({name for finding in findings for name in finding.ids})
        self._share(findings)
        return [triplet for finding in findings for triplet in self._triplets(finding)]

    def _observations(self) -> list[int]:
        return [n for n, e in self._entities.items() if e.label.observation and not e.label.measurement]

    def _naming_phrase(self, name: int) -> int | None:
        """The phrase that may name an entity's finding: the last, as the head of an English phrase is."""
        for number in reversed(self._page.numbers(self._words[name])):
            meaning = self._page.phrases[number].meaning
            if meaning.finding or meaning.described:
                return number
        return None

    def _count(self, known: Container[int]) -> None:
        self.counts["observations"] += len(self._naming)
        self.counts["observations_unknown"] += sum(
            name not in known and name not in self._modified for name in self._naming
        )

    def _composed(self, name: int) -> _Finding | None:
        """A finding whose words stand apart: "the lung volumes are quite low"."""
        words = self._words[name]
        own = self._page.text(words)
        apart = [f"{own} {self._text(self._with_modifiers(place))}" for place in self._located((name,))]
        apart += [f"{self._text((modifier,))} {own}" for modifier in self._modifiers.get(name, ())]
        for meaning in map(self._lookup, apart):
            if meaning is not None and meaning.finding:
                return self._finding((name,), Phrase(meaning, words.start, words.stop))
        return None

    def _finding(self, ids: tuple[int, ...], phrase: Phrase) -> _Finding:
        """What the observations of a phrase amount to; without a name in the end, it is no finding."""
        node = Node(phrase.start, phrase.start, phrase.end, phrase.meaning, is_place=False)
        own = self._with_modifiers(ids[0])
        if len(ids) > 1:
            own = list(dict.fromkeys(part for name in ids for part in self._with_modifiers(name)))
        beside = self._beside(node, own)
        self._place(node, beside)
        located = self._located(ids)
        for place in located:
            known = self._place(node, self._beside(node, self._with_modifiers(place)))
            self.counts["anatomies_unknown"] += not known
        if not located:
            for place in self._located([giver for giver in self._givers(ids) if self._naming.get(giver) is None]):
                self._place(node, self._beside(node, self._with_modifiers(place)), loose=True)
        self._grade(node, beside, located)
        self._attachment.resolve(node)
        return _Finding(ids, node)

    def _with_modifiers(self, name: int) -> list[int]:
        """An entity and all that modifies it, and that modifies these, in the order of mention."""
        if name not in self._modifiers:
            return [name]
        if name not in self._whole:
            found = [name]
            for part in found:
                found += [modifier for modifier in self._modifiers.get(part, ()) if modifier not in found]
            self._whole[name] = sorted(found, key=lambda part: self._words[part].start)
        return self._whole[name]

    def _located(self, ids: Sequence[int]) -> list[int]:
        """Where observations are: what they are located at, and the anatomies that they modify."""
        places = [place for name in ids for place in self._places.get(name, ())]
        places += [other for name in ids for other in self._modified.get(name, ()) if not self._is_observation(other)]
        return [place for place in dict.fromkeys(places) if place not in ids] if places else places

    def _givers(self, ids: Sequence[int]) -> list[int]:
        """Whose places observations share: of what suggests them, and of what they modify."""
        givers = [giver for name in ids for giver in self._suggesting.get(name, ())]
        givers += [other for name in ids for other in self._modified.get(name, ()) if self._is_observation(other)]
        return [giver for giver in dict.fromkeys(givers) if giver not in ids] if givers else givers

    def _is_observation(self, name: int) -> bool:
        return self._entities[name].label.observation

    def _beside(self, node: Node, parts: Iterable[int]) -> list[int]:
        """The words of some entities that are not those that name the finding, in order."""
        words = [word for part in parts for word in self._words[part] if not node.start <= word < node.end]
        return sorted(set(words)) if len(words) > 1 else words

    def _place(self, node: Node, words: Sequence[int], loose: bool = False) -> bool:
        """Give a finding the places and the side that some words name; whether they do, or there are none."""
        if not words:
            return True
        owned: list[Node] = []
        side: str | None = None
        for phrase in self._page.phrases_of(words):
            side = _joint(side, phrase.meaning.side)
            if phrase.meaning.places:
                owned.append(Node(phrase.start, phrase.start, phrase.end, phrase.meaning, True, side=side, loose=loose))
                side = None
        meaning = None if owned else self._lookup(self._page.unnamed(words))  # of "lower left lobe"
        if meaning is not None and meaning.places:
            owned.append(Node(words[0], words[0], words[-1] + 1, meaning, True, side=side, loose=loose))
            side = None
        if owned:
            owned[-1].side = owned[-1].side or side
        else:
            node.side = _joint(node.side, side)
        node.owned += owned
        return bool(owned or side)

    def _grade(self, node: Node, words: Sequence[int], located: Iterable[int]) -> None:
        """Say how severe a finding is, by the last word for it; "moderate left and small right" grades each side."""
        graded = [phrase for phrase in self._page.phrases_of(words) if phrase.meaning.severity]
        if not graded:
            return
        node.severity = graded[-1].meaning.severity
        if len(graded) > 1:
            places = self._beside(node, [part for place in located for part in self._with_modifiers(place)])
            for phrase in self._page.phrases_of(sorted({*words, *places})):
                if phrase.meaning.side and graded[0].start < phrase.start < graded[-1].start:
                    node.graded = (Sided(phrase.meaning.side, graded[0].meaning.severity),)
                    return

    def _share(self, findings: Sequence[_Finding]) -> None:
        """Give findings without a place that of what suggests them, or of what they modify."""
        by_id = {name: finding for finding in findings for name in finding.ids}
        for finding in findings:
            for giver in () if _is_placed(finding.node) else self._givers(finding.ids):
                if _is_placed(finding.node):
                    break
                if giver in by_id and by_id[giver].node.finding != NORMAL:
                    self._attachment.inherit(finding.node, by_id[giver].node)

    def _triplets(self, finding: _Finding) -> list[Triplet]:
        node, page = finding.node, self._page
        existence = self._entities[self._head(finding.ids)].label.existence
        places = self._attachment.places(node)
        if not places and self._stands_alone(finding.ids):
            places = ((UNSPECIFIED, node.severity),)
        self.counts["observations_unplaced"] += not places
        sentence, start, end = page.sentence_of[node.start], page.starts[node.start], page.ends[node.end - 1]
        return [
            Triplet(sentence, str(node.finding), anatomy, existence, severity, start, end)
            for anatomy, severity in places
        ]

    def _head(self, ids: Sequence[int]) -> int:
        """The last of some observations, if possible one that modifies none of the others."""
        heads = ids if len(ids) == 1 else [name for name in ids if not {*self._modified.get(name, ())} & {*ids}]
        return (heads or ids)[-1]

    def _stands_alone(self, ids: Iterable[int]) -> bool:
        """Whether observations are about nothing that is named: "Normal.", but not "intact" of some wires."""
        return not any(name in self._places or name in self._modified for name in ids)

    def _text(self, names: Iterable[int]) -> str:
        return " ".join(self._page.text(self._words[name]) for name in names)


def _is_placed(node: Node) -> bool:
    """Whether a finding needs no other's place: it has a place or side of its own, or is a "normal"."""
    return bool(node.anatomies or node.side or node.finding == NORMAL)


def _joint(first: str | None, second: str | None) -> str | None:
    """One side, or "both" for two that differ."""
    return first or second if first is None or second is None or first == second else "both"
