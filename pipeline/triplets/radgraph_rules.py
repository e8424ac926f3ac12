"""RadGraph's entities and relations to triplets, by rules over the graph: one report's annotation in, its triplets out.

The graph says which words are observations and anatomies, what modifies what, what lies where, and what is present; the
lexicon says what the words are called, and `attachment` settles places as it does for the `spacy` source. Nothing here
runs RadGraph's model or reads its published file.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pipeline.triplets.alignment import Span, align
from pipeline.triplets.annotations import LOCATED_AT, MODIFY, Entity, parse_annotation
from pipeline.triplets.attachment import NORMAL, Attachment, Node, Sided
from pipeline.triplets.lexicon import UNSPECIFIED, Lexicon
from pipeline.triplets.sections import BODY, Section, read_sections
from pipeline.triplets.sentences import Sentence, cut_sentences
from pipeline.triplets.spacy_rules import Triplet
from pipeline.triplets.vocabulary import Meaning, Mention, Vocabulary

COUNTS = (
    "entities",
    "entities_outside",
    "observations",
    "observations_unknown",
    "observations_unplaced",
    "anatomies_unknown",
)
_MEMO = 1 << 16  # reports repeat their sentences


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
        self.vocabulary = Vocabulary(lexicon)
        self.attachment = Attachment(lexicon)
        self.mentions = lru_cache(_MEMO)(self.vocabulary.mentions)
        self.lookup = lru_cache(_MEMO)(self._lookup)

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
        if report is None:
            text, spans, sections = annotation["text"], _own_spans(tokens), [Section(BODY, 0, len(annotation["text"]))]
        else:
            text, spans, sections = report, align(tokens, report), read_sections(report)
        page = _Page(text, cut_sentences(self.vocabulary, text, sections), self.mentions)
        words = {name: page.words(spans[entity.first : entity.last + 1]) for name, entity in entities.items()}
        found = {name: part for name, part in words.items() if part is not None}
        self.counts["entities"] += len(entities)
        self.counts["entities_outside"] += len(entities) - len(found)
        return _Reading(self, page, {name: entities[name] for name in found}, found).triplets()

    def _lookup(self, phrase: str) -> Meaning | None:
        """What some words mean when they stand together."""
        ids = self.vocabulary.words(phrase).ids
        mentions = self.vocabulary.mentions(ids)
        return mentions[0].meaning if len(mentions) == 1 and mentions[0].end - mentions[0].start == len(ids) else None


def _own_spans(tokens: Iterable[str]) -> list[Span | None]:
    """The characters of tokens in the text that joins them by single spaces."""
    spans: list[Span | None] = []
    start = 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + 1
    return spans


class _Phrase(NamedTuple):
    """A phrase of lexicon or cues: its meaning, and its words [start, end) of the page."""

    meaning: Meaning
    start: int
    end: int


class _Page:
    """The words of a text in its sentences and the phrases in them, both numbered through the text."""

    def __init__(
        self, text: str, sentences: Iterable[Sentence], mentions: Callable[[tuple[int, ...]], list[Mention]]
    ) -> None:
        self._text = text
        self.starts: list[int] = []  # characters of the words
        self.ends: list[int] = []
        self.sentence_of: list[int] = []
        self.phrases: list[_Phrase] = []
        self._phrase_of: list[int | None] = []
        for sentence in sentences:
            self._add(sentence, mentions(sentence.ids))

    def _add(self, sentence: Sentence, mentions: Iterable[Mention]) -> None:
        first = len(self.starts)
        self.starts += sentence.starts
        self.ends += sentence.ends
        self.sentence_of += [sentence.number] * len(sentence.ids)
        self._phrase_of += [None] * len(sentence.ids)
        for meaning, start, end in mentions:
            self._phrase_of[first + start : first + end] = [len(self.phrases)] * (end - start)
            self.phrases.append(_Phrase(meaning, first + start, first + end))

    def words(self, spans: Sequence[Span | None]) -> range | None:
        """The words that hold some characters; None when one of the spans is missing or holds no word."""
        if None in spans:
            return None
        start, end = spans[0], spans[-1]
        assert start is not None
        assert end is not None
        words = range(bisect_right(self.ends, start[0]), bisect_left(self.starts, end[1]))
        return words if words else None

    def numbers(self, words: Sequence[int]) -> list[int]:
        """The numbers of the phrases that some words in order belong to."""
        if len(words) == 1:  # most often
            number = self._phrase_of[words[0]]
            return [] if number is None else [number]
        return list(dict.fromkeys(number for word in words if (number := self._phrase_of[word]) is not None))

    def phrases_of(self, words: Sequence[int]) -> list[_Phrase]:
        """The phrases that some words belong to, in order."""
        return [self.phrases[number] for number in self.numbers(words)]

    def unnamed(self, words: Iterable[int]) -> str:
        """Those of some words that belong to no phrase."""
        return self.text(word for word in words if self._phrase_of[word] is None)

    def text(self, words: Iterable[int]) -> str:
        """Some words joined by spaces."""
        return " ".join(self._text[self.starts[word] : self.ends[word]] for word in words)


class _Finding(NamedTuple):
    """The observations that one phrase names, in order, and what they amount to."""

    ids: tuple[str, ...]
    node: Node  # its start and end are words of the page


class _Reading:
    """The rules at work on one report: its entities by id, and their words on the page."""

    def __init__(
        self, rules: GraphRules, page: _Page, entities: Mapping[str, Entity], words: Mapping[str, range]
    ) -> None:
        self._rules, self._page, self._words = rules, page, words
        self._entities = {name: entities[name] for name in sorted(entities, key=lambda name: words[name].start)}
        self._numbers = {name: page.numbers(words[name]) for name in self._entities}
        self._modified: dict[str, list[str]] = {}  # id -> ids that it modifies, and so on
        self._modifiers: dict[str, list[str]] = {}
        self._places: dict[str, list[str]] = {}
        self._suggesting: dict[str, list[str]] = {}
        self._whole: dict[str, list[str]] = {}  # id -> it with all its modifiers
        self._naming = {name: self._naming_phrase(name) for name in self._observations()}
        for name, entity in self._entities.items():
            for relation, target in entity.relations:
                if target in self._entities and target != name:
                    self._relate(name, relation, target)

    def _relate(self, name: str, relation: str, target: str) -> None:
        if relation == MODIFY:
            self._modified.setdefault(name, []).append(target)
            self._modifiers.setdefault(target, []).append(name)
        elif relation == LOCATED_AT:
            self._places.setdefault(name, []).append(target)
        else:
            self._suggesting.setdefault(target, []).append(name)

    def triplets(self) -> list[Triplet]:
        """Everything the report says of a finding at a place, in the order of mention."""
        named: dict[int, list[str]] = {}  # phrases that may name a finding, with the observations they belong to
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

    def _observations(self) -> list[str]:
        return [n for n, e in self._entities.items() if e.label.observation and not e.label.measurement]

    def _naming_phrase(self, name: str) -> int | None:
        """The phrase that may name an entity's finding: the last, as the head of an English phrase is."""
        for number in reversed(self._numbers[name]):
            meaning = self._page.phrases[number].meaning
            if meaning.finding or meaning.described:
                return number
        return None

    def _count(self, known: Container[str]) -> None:
        self._rules.counts["observations"] += len(self._naming)
        self._rules.counts["observations_unknown"] += sum(
            name not in known and name not in self._modified for name in self._naming
        )

    def _composed(self, name: str) -> _Finding | None:
        """A finding whose words stand apart: "the lung volumes are quite low"."""
        words = self._words[name]
        own = self._page.text(words)
        apart = [f"{own} {self._text(self._with_modifiers(place))}" for place in self._located((name,))]
        apart += [f"{self._text((modifier,))} {own}" for modifier in self._modifiers.get(name, ())]
        for meaning in map(self._rules.lookup, apart):
            if meaning is not None and meaning.finding:
                return self._finding((name,), _Phrase(meaning, words.start, words.stop))
        return None

    def _finding(self, ids: tuple[str, ...], phrase: _Phrase) -> _Finding:
        """What the observations of a phrase amount to; without a name in the end, it is no finding."""
        node = Node(phrase.start, phrase.start, phrase.end, phrase.meaning, is_place=False)
        own = list(dict.fromkeys(part for name in ids for part in self._with_modifiers(name)))
        beside = self._beside(node, own)
        self._place(node, beside)
        located = self._located(ids)
        for place in located:
            known = self._place(node, self._beside(node, self._with_modifiers(place)))
            self._rules.counts["anatomies_unknown"] += not known
        if not located:
            for place in self._located([giver for giver in self._givers(ids) if self._naming.get(giver) is None]):
                self._place(node, self._beside(node, self._with_modifiers(place)), loose=True)
        self._grade(node, beside, located)
        self._rules.attachment.resolve(node)
        return _Finding(ids, node)

    def _with_modifiers(self, name: str) -> list[str]:
        """An entity and all that modifies it, and that modifies these, in the order of mention."""
        if name not in self._modifiers:
            return [name]
        if name not in self._whole:
            found = [name]
            for part in found:
                found += [modifier for modifier in self._modifiers.get(part, ()) if modifier not in found]
            self._whole[name] = sorted(found, key=lambda part: self._words[part].start)
        return self._whole[name]

    def _located(self, ids: Sequence[str]) -> list[str]:
        """Where observations are: what they are located at, and the anatomies that they modify."""
        places = [place for name in ids for place in self._places.get(name, ())]
        places += [other for name in ids for other in self._modified.get(name, ()) if not self._is_observation(other)]
        return [place for place in dict.fromkeys(places) if place not in ids] if places else places

    def _givers(self, ids: Sequence[str]) -> list[str]:
        """Whose places observations share: of what suggests them, and of what they modify."""
        givers = [giver for name in ids for giver in self._suggesting.get(name, ())]
        givers += [other for name in ids for other in self._modified.get(name, ()) if self._is_observation(other)]
        return [giver for giver in dict.fromkeys(givers) if giver not in ids] if givers else givers

    def _is_observation(self, name: str) -> bool:
        return self._entities[name].label.observation

    def _beside(self, node: Node, parts: Iterable[str]) -> list[int]:
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
        meaning = None if owned else self._rules.lookup(self._page.unnamed(words))  # of "lower left lobe"
        if meaning is not None and meaning.places:
            owned.append(Node(words[0], words[0], words[-1] + 1, meaning, True, side=side, loose=loose))
            side = None
        if owned:
            owned[-1].side = owned[-1].side or side
        else:
            node.side = _joint(node.side, side)
        node.owned += owned
        return bool(owned or side)

    def _grade(self, node: Node, words: Sequence[int], located: Iterable[str]) -> None:
        """Say how severe a finding is, by the last word for it; "moderate left and small right" grades each side."""
        graded = [phrase for phrase in self._page.phrases_of(words) if phrase.meaning.severity]
        if not graded:
            return
        node.severity = graded[-1].meaning.severity
        if len(graded) > 1:
            places = self._beside(node, [part for place in located for part in self._with_modifiers(place)])
            for phrase in self._page.phrases_of(sorted({*words, *places})):
                if phrase.meaning.side and graded[0].start < phrase.start < graded[-1].start:
                    node.first_side = Sided(phrase.meaning.side, graded[0].meaning.severity)
                    return

    def _share(self, findings: Sequence[_Finding]) -> None:
        """Give findings without a place that of what suggests them, or of what they modify."""
        by_id = {name: finding for finding in findings for name in finding.ids}
        for finding in findings:
            for giver in self._givers(finding.ids):
                if finding.node.anatomies or finding.node.side or finding.node.finding == NORMAL:
                    break
                if giver in by_id and by_id[giver].node.finding != NORMAL:
                    self._rules.attachment.inherit(finding.node, by_id[giver].node)

    def _triplets(self, finding: _Finding) -> list[Triplet]:
        node, page = finding.node, self._page
        heads = [name for name in finding.ids if not {*self._modified.get(name, ())} & {*finding.ids}]
        existence = self._entities[(heads or finding.ids)[-1]].label.existence
        places = self._rules.attachment.places(node)
        if not places and self._stands_alone(finding.ids):
            places = ((UNSPECIFIED, node.severity),)
        self._rules.counts["observations_unplaced"] += not places
        sentence, start, end = page.sentence_of[node.start], page.starts[node.start], page.ends[node.end - 1]
        return [
            Triplet(sentence, str(node.finding), anatomy, existence, severity, start, end)
            for anatomy, severity in places
        ]

    def _stands_alone(self, ids: Iterable[str]) -> bool:
        """Whether observations are about nothing that is named: "Normal.", but not "intact" of some wires."""
        return not any(name in self._places or name in self._modified for name in ids)

    def _text(self, names: Iterable[str]) -> str:
        return " ".join(self._page.text(self._words[name]) for name in names)


def _joint(first: str | None, second: str | None) -> str | None:
    """One side, or "both" for two that differ."""
    return first or second if first is None or second is None or first == second else "both"
