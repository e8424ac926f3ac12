"""The findings and places of a sentence with the sides and severities that are said of each.

A side or severity waits for the finding or place that it describes ("small left effusion"), goes back to the one
before when a sign, verb or preposition comes first ("effusion, small on the left"), or holds for all that follow ("on
the left, there is ..."). Which place belongs to which finding is the matter of `attachment`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.triplets.vocabulary import Cue, Meaning, Mention

_FRONT = 2  # at most so many words stand before a side that opens a statement: "on the right"

_AND, _OR, _COMMA, _VERB, _BREAK = map(int, (Cue.AND, Cue.OR, Cue.COMMA, Cue.VERB, Cue.BREAK))
_PREPOSITION, _AFFIRMING = int(Cue.PREPOSITION), int(Cue.AFFIRMING)
_LISTS = _AND | _OR | _COMMA
_PASSED_OVER = int(Cue.OPENING | Cue.AFFIRMING | Cue.NEUTRAL)
_BARRIERS = _LISTS | int(
    Cue.VERB | Cue.NEGATION | Cue.UNCERTAINTY | Cue.RELATIVE | Cue.PREPOSITION | Cue.BREAK | Cue.WITH
    | Cue.REPRESENTING | Cue.ALTERNATIVE | Cue.DISTANCE
)  # fmt: skip


class Sided(NamedTuple):
    """One side of a finding, and the severity there."""

    side: str
    severity: str | None


@dataclass(slots=True, eq=False)
class Node:
    """A finding or a place, with the cues that stand between it and the node before."""

    mention: int
    start: int
    end: int
    meaning: Meaning
    is_place: bool
    between: int = 0  # all cues since the node before
    last: int = 0  # the last of these that is more than a description
    side: str | None = None
    severity: str | None = None
    graded: tuple[Sided, ...] = ()  # "moderate left" in "moderate left and small right effusions"
    owner: "Node | None" = None  # of a place: its finding
    loose: bool = False  # of a place: tied by a statement, so it must fit the finding
    owned: list["Node"] = field(default_factory=list)
    finding: str | None = None
    anatomies: tuple[str, ...] = ()


def read_nodes(mentions: Sequence[Mention]) -> list[Node]:
    """A sentence's findings and places in the order of mention; they know their sides and severities."""
    reader = _Reader()
    for index, mention in enumerate(mentions):
        meaning = mention.meaning
        if meaning.finding or meaning.places or (meaning.described and _is_described(meaning, mentions)):
            reader.node(index, mention)
        else:
            reader.word(mention)
    reader.close()
    return reader.nodes


def _is_described(meaning: Meaning, mentions: Iterable[Mention]) -> bool:
    """Whether the sentence names a place of which the word means a finding."""
    return any(place in meaning.described for mention in mentions for place in mention.meaning.places)


class _Reader:
    """Collects nodes from left to right while sides and severities wait for the node they belong to."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._between = self._last = 0
        self._side: str | None = None  # waits for the next node
        self._first_side: Sided | None = None  # "large right and ..." waits for the other side
        self._fronted: str | None = None  # "on the right, there is ..." holds for all nodes that follow
        self._side_may_return = False
        self._side_may_front = False
        self._severity: str | None = None
        self._severity_is_said = False  # "the effusion is small"
        self._severity_end = 0
        self._severity_before: str | None = None  # "small on the ..." waits for the side
        self._clause = 0  # where the last sign or "and" ended

    def node(self, index: int, mention: Mention) -> None:
        if self._side is None and self._first_side is not None:
            self._return_side(self._first_side.side, None)
        node = Node(
            index, mention.start, mention.end, mention.meaning, bool(mention.meaning.places), self._between, self._last
        )
        node.side = self._side or self._fronted
        if not node.is_place:
            node.severity, self._severity = self._severity, None
            if self._first_side is not None and self._side == "both":
                node.graded = (self._first_side,)
        self.nodes.append(node)
        self._side = self._first_side = self._severity_before = None
        self._between = self._last = 0

    def word(self, mention: Mention) -> None:
        meaning = mention.meaning
        if meaning.side:
            self._wait(meaning.side, mention)
        elif meaning.severity:
            self._severity, self._severity_is_said = meaning.severity, bool(self._last & (_VERB | _COMMA))
            self._severity_end = mention.end
        if meaning.cue:
            if meaning.cue & _BARRIERS:
                self._pass_barrier(meaning.cue)
                self._clause = mention.end if meaning.cue & (_LISTS | _BREAK) else self._clause
            elif meaning.cue & _AFFIRMING and mention.start == self._severity_end:
                self._severity_is_said = False  # "the effusion is slightly improved"
            self._between |= meaning.cue
            self._last = meaning.cue if meaning.cue & ~_PASSED_OVER else self._last

    def close(self) -> None:
        self._pass_barrier(_BREAK)
        if self._first_side is not None:
            self._return_side(self._first_side.side, None)

    def _wait(self, side: str, mention: Mention) -> None:
        other = self._first_side is not None and self._first_side.side != side
        self._side = "both" if other else side
        before = self.nodes[-1] if self.nodes else None
        adjacent = before is not None and (mention.start - before.end <= 1 or bool(before.graded))
        self._side_may_return = adjacent or self._side == "both" or bool(self._last & (_PREPOSITION | _VERB))
        self._side_may_front = mention.start - self._clause <= _FRONT

    def _pass_barrier(self, cue: int) -> None:
        if self._side is not None:
            self._leave_side(self._side, self._severity or self._severity_before, cue)
        self._side = None
        self._fronted = None if cue & _BREAK else self._fronted
        self._severity_before = self._severity if cue & _PREPOSITION else None
        if self._severity_is_said and self._severity is not None:
            said_of = next((node for node in reversed(self.nodes) if not node.is_place), None)
            if said_of is not None and said_of.severity is None:
                said_of.severity = self._severity
            self._severity = None
        elif cue & ~_LISTS:
            self._severity = None

    def _leave_side(self, side: str, severity: str | None, cue: int) -> None:
        """Settle a side that no node followed up to a barrier."""
        graded = self._side_may_return and severity is not None and bool(self.nodes)
        if not graded and (cue & (_AND | _OR) or (cue & _COMMA and not self._side_may_return)):
            self._first_side = Sided(side, self._severity)
            return
        self._first_side = None
        if not self._return_side(side, severity) and self._side_may_front and cue & (_COMMA | _VERB):
            self._fronted = side

    def _return_side(self, side: str, severity: str | None) -> bool:
        """Give a side to the node before, if it takes it: "a nodule on the left", "effusions, small on the left"."""
        if not (self._side_may_return and self.nodes) or self._between & _BREAK:
            return False
        node = self.nodes[-1]
        if severity is not None and not node.is_place and side != "both":
            if node.side == "both" and node.severity == severity:
                node.severity = None  # it was said of this side alone: "bilateral effusions, large on the right"
            node.graded = (*node.graded, Sided(side, severity))
            node.side = side if node.side in (None, side) else "both"
        elif node.side is None:
            node.side = side
        else:
            return False
        return True
