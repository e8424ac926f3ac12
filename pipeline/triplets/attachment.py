"""Where each finding of a sentence is, and how severe: ties sides, places and severities to findings.

Places are tied by what stands between: "left basilar opacity" and "tortuous aorta" by adjacency, "opacity in the left
base" by a preposition, "the left base shows an opacity" by a verb; lists share. A finding without a named place takes
the lexicon's default, with the side that is named.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from pipeline.triplets.lexicon import UNSPECIFIED, Lexicon
from pipeline.triplets.nodes import Node, read_nodes
from pipeline.triplets.vocabulary import Cue, Mention

NORMAL = "normal"
_DEVICES = ("device", "central venous catheter", "pacemaker", "hardware")
_NEAR = 4  # at most so many words without a cue stand between neighbours

_AND, _OR, _COMMA, _VERB, _BREAK = map(int, (Cue.AND, Cue.OR, Cue.COMMA, Cue.VERB, Cue.BREAK))
_PREPOSITION, _DISTANCE, _AFFIRMING = int(Cue.PREPOSITION), int(Cue.DISTANCE), int(Cue.AFFIRMING)
_OPENING, _NEGATION = int(Cue.OPENING), int(Cue.NEGATION)
_EXPLAINING = int(Cue.REPRESENTING | Cue.UNCERTAINTY | Cue.UNCERTAINTY_AFTER)
_STATING = int(Cue.VERB | Cue.NEGATION | Cue.UNCERTAINTY | Cue.RELATIVE)
_LISTS = _AND | _OR | _COMMA
_ENUMERATING = _AND | _OR | int(Cue.ALTERNATIVE)
_CHAINS = _LISTS | _PREPOSITION | _AFFIRMING | _OPENING


class Attached(NamedTuple):
    """A finding with its places and its severity at each; `mention` is its index among the sentence's mentions."""

    mention: int
    finding: str
    places: tuple[tuple[str, str | None], ...]


class Attachment:
    """Reads the places and severities of a sentence's findings by a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._within = {name: lexicon.within(name) for name in lexicon.anatomies}

    def attach(self, mentions: Sequence[Mention]) -> list[Attached]:
        """Every finding of a sentence in the order of mention; a "normal" said of no place has no anatomies."""
        nodes = read_nodes(mentions)
        _tie(nodes)
        for node in nodes:
            if not node.is_place:
                self.resolve(node)
        self._share(nodes)
        subject = len(nodes) > 1 or any(node.between & _VERB for node in nodes)
        alone = () if subject else (UNSPECIFIED,)  # "Normal.", but not the "intact" of "the wires are intact"
        return [
            Attached(node.mention, str(node.finding), self.places(node) or self._graded(node, alone))
            for node in nodes
            if node.finding is not None
        ]

    def places(self, node: Node) -> tuple[tuple[str, str | None], ...]:
        """The anatomies of a resolved finding, each with its severity there; a "normal" may have none."""
        return self._graded(node, self._anatomies(node))

    def _graded(self, node: Node, anatomies: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
        if not node.graded:
            return tuple([(anatomy, node.severity) for anatomy in anatomies])
        graded: dict[str | None, str | None] = dict(node.graded)
        sides = {anatomy: self._lexicon.anatomies[anatomy].side for anatomy in anatomies}
        return tuple([(anatomy, graded.get(side, node.severity)) for anatomy, side in sides.items()])

    def resolve(self, node: Node) -> None:
        """Settle what a finding is called and which of its own places it has; without a name it is no finding."""
        for place in node.owned if node.meaning.described else ():
            for name in place.meaning.places:
                if name in node.meaning.described:
                    node.finding = node.meaning.described[name]
                    node.anatomies = self._lexicon.sided(name, place.side or node.side)
                    return
        node.finding = node.meaning.finding
        if node.finding is not None:
            node.anatomies = self._own(node, node.finding)

    def _own(self, node: Node, finding: str) -> tuple[str, ...]:
        if not node.owned:
            return ()
        names: list[str] = []
        for place in node.owned:
            side = place.side or node.side or self._side_around(place, node.owned)
            for name in place.meaning.places:
                if not place.loose or finding == NORMAL or self._fits(finding, name):
                    names += self._lexicon.sided(name, side)
                else:
                    node.side = node.side or side
        if finding == NORMAL:
            return tuple(dict.fromkeys(names))
        outer = {above for name in names for above in self._within[name][1:]} | {UNSPECIFIED}
        return tuple(dict.fromkeys(name for name in names if name not in outer))

    def _side_around(self, place: Node, others: Iterable[Node]) -> str | None:
        """The side of a place that holds this one: "the apex of the left lung"."""
        holders = self._within[place.meaning.places[0]]
        return next((other.side for other in others if other.side and other.meaning.places[0] in holders), None)

    def _fits(self, finding: str, anatomy: str) -> bool:
        default = self._lexicon.pathologies[finding].default_anatomy
        return default == UNSPECIFIED or default in self._within[anatomy] or anatomy in self._within[default]

    def _share(self, nodes: Sequence[Node]) -> None:
        """Give findings without a place that of a finding they are listed with, or that they explain."""
        findings = [node for node in nodes if node.finding is not None and node.finding != NORMAL]
        if all(node.anatomies or node.side for node in findings):
            return
        links = _links(nodes, findings)
        for index, link in enumerate(links):
            giver, taker = findings[index], findings[index + 1]
            if taker.anatomies or taker.side:
                continue
            explains = link & _EXPLAINING and not link & (_AND | _NEGATION | _BREAK)
            if explains or _is_list(links, index):
                self.inherit(taker, giver)
        for index in reversed(range(len(links))):
            giver, taker = findings[index + 1], findings[index]
            follows = any(place.mention > giver.mention and not place.loose for place in giver.owned)
            if follows and not (taker.anatomies or taker.side) and _is_list(links, index):
                self.inherit(taker, giver)

    def inherit(self, taker: Node, giver: Node) -> None:
        """Take the giver's places when both findings live in the same organ, else its side."""
        pathologies = self._lexicon.pathologies
        if pathologies[str(giver.finding)].parent in _DEVICES:
            return
        named = giver.anatomies or (self._anatomies(giver) if giver.side else ())
        home = pathologies[str(taker.finding)].default_anatomy
        if home in (UNSPECIFIED, pathologies[str(giver.finding)].default_anatomy):
            taker.anatomies = tuple(name for name in named if self._fits(str(taker.finding), name))
        described = [taker.meaning.described[name] for name in taker.anatomies if name in taker.meaning.described]
        taker.finding = described[0] if described else taker.finding
        if not taker.anatomies:
            sides = {self._lexicon.anatomies[name].side for name in named} - {None}
            taker.side = "both" if len(sides) == 2 else next(iter(sides), None)

    def _anatomies(self, node: Node) -> tuple[str, ...]:
        if node.anatomies or node.finding == NORMAL:
            return node.anatomies
        return self._lexicon.sided(self._lexicon.pathologies[str(node.finding)].default_anatomy, node.side)


def _tie(nodes: Sequence[Node]) -> None:
    """Find each place's finding, then give it to the places in a chain with it."""
    for index, node in enumerate(nodes):
        if node.is_place:
            node.owner = _neighbour(nodes, index)
    for node, following in reversed(list(pairwise(nodes))):
        if node.is_place and node.owner is None and following.is_place and not following.between & ~_CHAINS:
            node.owner, node.loose = following.owner, following.loose
    for before, node in pairwise(nodes):
        if node.is_place and node.owner is None and before.is_place and not node.between & ~_CHAINS:
            node.owner, node.loose = before.owner, before.loose
    for node in nodes:
        if node.owner is not None:
            node.owner.owned.append(node)
            node.owner = None  # from here on the finding knows its places only: cycles would keep the collector busy


def _neighbour(nodes: Sequence[Node], index: int) -> Node | None:
    """The finding a place is tied to by what stands between them."""
    node = nodes[index]
    before = nodes[index - 1] if index else None
    after = nodes[index + 1] if index + 1 < len(nodes) else None
    if after is not None and not after.is_place and not after.between & ~_AFFIRMING and after.start - node.end <= _NEAR:
        return after
    if node.last & _DISTANCE:
        return None
    if before is not None and not node.between & _BREAK:
        if node.last & _PREPOSITION:
            return before.owner if before.is_place else before
        if not before.is_place and not node.between & ~_AFFIRMING and node.start - before.end <= _NEAR:
            return before
        if not before.is_place and node.between & _VERB and not node.between & ~(_VERB | _OPENING | _AFFIRMING):
            return None  # the object of a verb: "opacity obscures the heart border"
    if after is None or after.is_place or after.between & _BREAK:
        return None
    fronted = before is None and node.between & _PREPOSITION
    listed = after.meaning.finding == NORMAL and not after.between & ~_COMMA
    node.loose = True
    return after if after.between & _STATING or fronted or listed else None


def _links(nodes: Sequence[Node], findings: Sequence[Node]) -> list[int]:
    """All cues between each finding and the next."""
    links = [0] * len(findings)
    following = 0
    for node in nodes:
        links[following] |= node.between
        if node is findings[following]:
            following += 1
            if following == len(findings):
                break
    return links[1:]


def _is_list(links: Sequence[int], index: int) -> bool:
    """Whether the findings on both sides of a link stand in one list: "a, b and c"."""
    if links[index] & ~(_ENUMERATING | _COMMA | _AFFIRMING):
        return False
    return bool(links[index] & _ENUMERATING) or (index + 1 < len(links) and _is_list(links, index + 1))
