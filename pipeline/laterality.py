"""Left and right in the names of places."""

import re

_SIDES = {"left": "right", "right": "left"}


def other_side(name: str) -> str:
    """A name with left and right exchanged; the same for names without a side."""
    return re.sub(r"(?<![a-z])(left|right)(?![a-z])", lambda match: _SIDES[match[0]], name)
