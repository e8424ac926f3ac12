"""Where the tokens of an annotation stand in the report it was made from, letter case and spaces aside.

An annotation may cover more than the report that is read (headings, the indication) or less; what has no counterpart
is left without a position, never guessed. Nothing here knows what the tokens mean.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain

from rapidfuzz.distance import LCSseq

_ATOM = re.compile(r"(\w+|[^\w\s])")

Span = tuple[int, int]


@dataclass(slots=True)
class _Block:
    """`size` atoms from `source` on in the tokens that equal those from `target` on in the report."""

    source: int
    target: int
    size: int


class Alignment:
    """The longest common subsequence of words and signs; of equally long ones, that in fewer pieces."""

    def __init__(self, tokens: Sequence[str], report: str) -> None:
        self._tokens = list(map(_atoms, tokens))
        self._ends = list(accumulate(map(len, self._tokens)))  # of each token, the atoms up to its last
        parts = _ATOM.split(report)  # spaces and an atom in turn
        ends = list(accumulate(map(len, parts)))
        self._starts, self._stops = ends[::2], ends[1::2]
        source = list(chain.from_iterable(self._tokens))
        self._counterparts = _counterparts(source, list(map(str.casefold, parts[1::2])))

    def span(self, first: int, last: int) -> Span | None:
        """The characters [start, end) of some tokens, `last` included; None where one is not there as a whole."""
        if not all(self._tokens[first : last + 1]):
            return None
        found = self._counterparts[self._ends[first] - len(self._tokens[first]) : self._ends[last]]
        start, stop = found[0], found[-1]
        if start is None or stop is None or None in found:
            return None
        return self._starts[start], self._stops[stop]


@lru_cache(1 << 16)
def _atoms(token: str) -> tuple[str, ...]:
    """The words and signs of a token, in one letter case."""
    return tuple([atom.casefold() for atom in _ATOM.findall(token)])


def _counterparts(source: list[str], target: list[str]) -> list[int | None]:
    """The index in the target of each atom of the source."""
    if source == target:
        return list(range(len(source)))
    counterparts: list[int | None] = [None] * len(source)
    for block in _blocks(source, target):
        counterparts[block.source : block.source + block.size] = range(block.target, block.target + block.size)
    return counterparts


def _blocks(source: list[str], target: list[str]) -> list[_Block]:
    """The common runs; a piece torn from its neighbour in the report is put back where the source allows it."""
    blocks: list[_Block] = []
    for code in LCSseq.opcodes(source, target):
        if code.tag != "equal":
            continue
        block = _Block(code.src_start, code.dest_start, code.src_end - code.src_start)
        if not blocks or blocks[-1].target + blocks[-1].size != block.target or not _join(blocks[-1], block, source):
            blocks.append(block)
    return blocks


def _join(before: _Block, block: _Block, source: list[str]) -> bool:
    """Move the shorter of two blocks beside the longer, else the longer beside the shorter; merge them in `before`."""
    end = before.source + before.size
    forward = source[block.source - before.size : block.source] == source[before.source : end]
    backward = source[end : end + block.size] == source[block.source : block.source + block.size]
    if not forward and not backward:
        return False
    if forward and (before.size < block.size or not backward):
        before.source = block.source - before.size
    before.size += block.size
    return True
