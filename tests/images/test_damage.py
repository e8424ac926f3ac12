"""Damaged files of every kind end in pixels or in an error by name.

DAMAGED_FILES=20000 pytest tests/images/test_damage.py -s tries more of them than the suite does.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from damage import SIZE, Work, end_process, hang, outcomes
from image_files import every_kind

from pipeline.images.decode import decode

FILES = int(os.environ.get("DAMAGED_FILES", "500"))


def test_damage_is_decoded_or_refused_by_name(tmp_path: Path) -> None:
    found: list[tuple[int, str]] = []
    while len(found) < FILES:
        found += outcomes(tmp_path / "x", range(len(found), FILES))
    kinds = list(every_kind())
    wrong = [(kinds[n % len(kinds)], n, outcome) for n, outcome in found if outcome not in ("decoded", "refused")]
    print(Counter(outcome for _, outcome in found))
    assert wrong == []
    assert [number for number, _ in found] == list(range(FILES))


def test_what_is_not_damaged_is_decoded(tmp_path: Path) -> None:
    for content in every_kind().values():
        (tmp_path / "x").write_bytes(content)
        assert decode(tmp_path / "x", SIZE).pixels.any()


@pytest.mark.parametrize(("work", "outcome"), [(end_process, "ends the process with 3"), (hang, "hangs")])
def test_ends_and_hangs_would_be_seen(tmp_path: Path, work: Work, outcome: str) -> None:
    seconds = 60 if work is end_process else 5
    assert list(outcomes(tmp_path / "x", range(7, 9), work, seconds)) == [(7, outcome)]
