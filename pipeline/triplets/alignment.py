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

_ATOM = re.compile(r"\w+|[^\w\s]")

Span = tuple[int, int]


@dataclass(slots=True)
class _Block:
    """`size` atoms from `source` on in the tokens that equal those from `target` on in the report."""

    source: int
    target: int
    size: int


def align(tokens: Sequence[str], report: str) -> list[Span | None]:
    """The characters [start, end) of each token in a report, None for a token that is not there as a whole.

    The longest common subsequence of words and signs decides; of equally long ones, that in fewer pieces.
    """
    pieces = list(map(_atoms, tokens))
    places = [match.span() for match in _ATOM.finditer(report)]
    words = list(map(str.casefold, _ATOM.findall(report)))
    atoms = list(chain.from_iterable(pieces))
    found = [None if at is None else places[at] for at in _counterparts(atoms, words)]
    ends = accumulate(map(len, pieces))
    return [
        found[end - 1] if len(piece) == 1 else _whole(found[end - len(piece) : end])
        for piece, end in zip(pieces, ends, strict=True)
    ]


def _whole(parts: list[Span | None]) -> Span | None:
    """From the first part to the last, where none is missing."""
    known = [part for part in parts if part is not None]
    return (known[0][0], known[-1][1]) if known and len(known) == len(parts) else None


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
