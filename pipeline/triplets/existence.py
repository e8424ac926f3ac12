"""Whether each finding of a sentence is present, absent or uncertain, or not said of this image at all.

One pass from left to right keeps the scope that is open (a denial, a doubt, a history ...); words that come after their
findings ("is not seen") then look back. Which place a finding has is the matter of `attachment`.
"""

from collections.abc import Sequence

from pipeline.schemas import ABSENT, PRESENT, UNCERTAIN
from pipeline.triplets.vocabulary import Cue, Mention

_DIFFERENTIAL = "differential"  # uncertain, to the end of the sentence
_CLAUSE, _SENTENCE = "clause", "sentence"  # nothing is said of this image, up to the next comma or to the end

_STATUS = {scope: scope for scope in (PRESENT, ABSENT, UNCERTAIN)} | {_DIFFERENTIAL: UNCERTAIN}

_NEGATION, _UNCERTAINTY, _INDICATION = int(Cue.NEGATION), int(Cue.UNCERTAINTY), int(Cue.INDICATION)
_BREAK, _AND, _OR, _COMMA, _WITH, _VERB = map(int, (Cue.BREAK, Cue.AND, Cue.OR, Cue.COMMA, Cue.WITH, Cue.VERB))
_DIFFERENTIAL_CUE, _HYPOTHETICAL = int(Cue.DIFFERENTIAL), int(Cue.HYPOTHETICAL)
_OPENING, _AFFIRMING = int(Cue.OPENING), int(Cue.AFFIRMING)
_NEGATION_AFTER, _RESOLVED, _ALTERNATIVE = int(Cue.NEGATION_AFTER), int(Cue.RESOLVED), int(Cue.ALTERNATIVE)
_SCOPES = int(Cue.NEGATION | Cue.UNCERTAINTY | Cue.DIFFERENTIAL | Cue.HYPOTHETICAL | Cue.HISTORY | Cue.COMPARISON)
_UNCERTAINTY_AFTER, _REPRESENTING, _PART = map(int, (Cue.UNCERTAINTY_AFTER, Cue.REPRESENTING, Cue.PART))
_LOOK_BACK = int(Cue.NEGATION_AFTER | Cue.UNCERTAINTY_AFTER | Cue.RESOLVED | Cue.ALTERNATIVE)
_SEPARATORS = _COMMA | _AND | _WITH
_LISTS = _COMMA | _AND | _OR
_STARTS = _SCOPES | _UNCERTAINTY_AFTER | _OPENING | _VERB  # after a comma or "and" these begin a new statement


def existences(mentions: Sequence[Mention]) -> list[str | None]:
    """What a sentence says of each mention: present, absent, uncertain, or None for nothing about this image."""
    return _Scopes(mentions).read()


class _Scopes:
    def __init__(self, mentions: Sequence[Mention]) -> None:
        self._meanings = [mention.meaning for mention in mentions]
        self._cues = [meaning.cue for meaning in self._meanings]
        self._status: list[str | None] = []
        self._scope = PRESENT
        self._opened = -1  # the cue that opened the scope

    def read(self) -> list[str | None]:
        for index, cue in enumerate(self._cues):
            self._status.append(_STATUS.get(self._scope))
            if cue & _INDICATION:
                return [None] * len(self._cues)
            if cue:
                self._follow(index, cue)
        return self._status

    def _follow(self, index: int, cue: int) -> None:
        if cue & _SCOPES:
            self._open(index, cue)
        elif self._scope != PRESENT and self._closes(index, cue):
            self._scope = PRESENT
        if cue & _LOOK_BACK:
            self._look_back(index, cue)

    def _open(self, index: int, cue: int) -> None:
        if self._scope == _SENTENCE:
            return
        if cue & _NEGATION:
            twice = self._scope == ABSENT and not any(map(self._stands_between, range(self._opened + 1, index)))
            self._scope, self._opened = PRESENT if twice else ABSENT, index
        elif cue & _UNCERTAINTY:
            if self._scope not in (ABSENT, _DIFFERENTIAL):  # "no opacity to suggest pneumonia"
                self._scope = UNCERTAIN
        elif cue & _DIFFERENTIAL_CUE:
            self._scope = _DIFFERENTIAL
        else:
            self._scope = _SENTENCE if cue & _HYPOTHETICAL else _CLAUSE

    def _stands_between(self, index: int) -> bool:
        return self._is_finding(index) or bool(self._cues[index] & _LISTS)

    def _closes(self, index: int, cue: int) -> bool:
        if cue & _BREAK or (self._scope == _CLAUSE and cue & _OPENING and cue & _VERB):
            return True
        return bool(cue & _SEPARATORS) and self._ends(index, cue)

    def _ends(self, index: int, cue: int) -> bool:
        """Whether a comma, "and" or "with" ends the open scope: it does not inside a list."""
        if self._scope in (_SENTENCE, _DIFFERENTIAL) or index + 1 == len(self._cues):
            return False
        if self._scope == _CLAUSE:
            return not cue & _AND
        if self._cues[index + 1] & (_STARTS | _WITH) or self._is_statement(index + 1):
            return True
        if not cue & _WITH and self._list_goes_on(index + 1):
            return False
        return (self._scope == UNCERTAIN and not cue & _AND) or self._affirms(index + 1)

    def _is_statement(self, start: int) -> bool:
        """Whether what follows, to the next comma, calls something normal or has a place for its subject."""
        place = False
        for meaning, cue in zip(self._meanings[start:], self._cues[start:], strict=True):
            if cue & (_LISTS | _BREAK):
                return False
            if meaning.finding == "normal" or (place and cue & _VERB):
                return True
            place = bool(meaning.places) or (place and meaning.finding is None)
        return False

    def _list_goes_on(self, start: int) -> bool:
        for cue in self._cues[start:]:
            if cue & _OR:
                return True
            if cue & (_BREAK | _NEGATION | _UNCERTAINTY):
                return False
        return False

    def _affirms(self, index: int) -> bool:
        meaning = self._meanings[index]
        return bool(meaning.cue & _AFFIRMING or meaning.severity or meaning.side)

    def _is_finding(self, index: int) -> bool:
        meaning = self._meanings[index]
        return meaning.finding is not None or bool(meaning.described)

    def _look_back_once(self, index: int) -> None:
        """Findings said in place of each other ("atelectasis versus pneumonia") are both uncertain."""
        self._mark_before(index, UNCERTAIN, only_one=True)
        if self._scope == PRESENT:
            self._scope = UNCERTAIN

    def _look_back(self, index: int, cue: int) -> None:
        if cue & _ALTERNATIVE:
            self._look_back_once(index)
        elif cue & _UNCERTAINTY_AFTER and (self._finding_after(index) or not self._finding_before(index)):
            self._open(index, _UNCERTAINTY)  # "the opacity is likely atelectasis"
        elif cue & _RESOLVED and not self._finding_before(index):
            self._open(index, _NEGATION)
        elif not cue & _UNCERTAINTY_AFTER and (self._scope == _SENTENCE or self._is_of_part(index)):
            return  # "the tube should be removed", "the tip of the tube is not seen"
        else:
            self._mark_before(index, ABSENT if cue & (_NEGATION_AFTER | _RESOLVED) else UNCERTAIN)

    def _is_predicate(self, index: int) -> bool:
        """Whether a finding is said of a subject, as "enlarged" in "the heart is enlarged"."""
        return index > 0 and bool(self._cues[index - 1] & _VERB)

    def _finding_after(self, index: int) -> bool:
        for after in range(index + 1, len(self._cues)):
            if self._is_finding(after):
                return True
            if self._cues[after] & ~(_AFFIRMING | _REPRESENTING):
                return False
        return False

    def _finding_before(self, index: int) -> bool:
        for before in range(index - 1, -1, -1):
            if self._is_finding(before):
                return True
            if self._cues[before] & (_LISTS | _BREAK):
                return False
        return False

    def _is_of_part(self, index: int) -> bool:
        """Whether a word is said of a part of a device, after which no other statement began."""
        found = False
        for before in range(index - 1, -1, -1):
            cue = self._cues[before]
            if cue & _PART:
                return True
            if found and cue & (_LISTS | _WITH | _BREAK):
                return False
            found = found or self._is_finding(before)
        return False

    def _mark_before(self, index: int, value: str, only_one: bool = False) -> None:
        """Mark the findings that a word closes: the last one and those listed with it."""
        found = listed = False
        for before in range(index - 1, -1, -1):
            cue = self._cues[before]
            if found and only_one:
                return
            if self._is_finding(before):
                if self._status[before] in (None, ABSENT) or (found and self._is_predicate(before)):
                    return
                self._status[before], found = value, True
            elif cue & (_BREAK | _NEGATION) or (found and (cue & _VERB or (cue & _COMMA and not listed))):
                return
            listed = listed or bool(cue & (_AND | _OR))
