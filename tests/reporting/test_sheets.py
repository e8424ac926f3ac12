import io
import re

import pytest
from rich.console import Console

from pipeline.reporting.sheets import Line, Sheet, page, terminal_table

SHEET = Sheet(
    "zero-shot <of> runs",
    ("run", "cxr14.auroc", "rsna.auroc", "siim.auroc"),
    (
        Line(("medslip [x]", "0.800 (0.700 to 0.900)", "0.8 (0.7 to 0.9)", "0.7"), frozenset({1})),
        Line(("medslip icl=false", "", "", "0.6")),
        Line(("published: A", "0.75", "", ""), quiet=True),
    ),
)


def printed(sheet: Sheet, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(terminal_table(sheet))
    return console.export_text()


def test_markdown_marks_the_best() -> None:
    assert SHEET.markdown().splitlines()[2] == "| medslip [x] | **0.800 (0.700 to 0.900)** | 0.8 (0.7 to 0.9) | 0.7 |"
    assert SHEET.markdown().splitlines()[1] == "| --- | ---: | ---: | ---: |"


def test_a_terminal_shows_every_cell_as_it_is() -> None:
    text = printed(SHEET)
    for cell in ("medslip [x]", "(0.700 to 0.900)", "icl=false", "published: A"):
        assert cell in text


@pytest.mark.parametrize("width", [30, 45, 60, 200])
def test_the_parts_hold_all_cells_once_beside_the_names(width: int) -> None:
    parts = [*SHEET.split(width)]
    assert tuple(name for part in parts for name in part.header[1:]) == SHEET.header[1:]
    for number, line in enumerate(SHEET.lines[:2]):
        assert tuple(cell for part in parts for cell in part.lines[number].cells[1:]) == line.cells[1:]
    if width >= 45:
        assert all("…" not in printed(part, width) for part in parts)
    assert len(parts) == {30: 3, 45: 2, 60: 2, 200: 1}[width]


def test_quiet_lines_without_a_figure_are_left_out_of_a_part() -> None:
    first, second = ([line.cells[0] for line in part.lines] for part in SHEET.split(45))
    assert first == ["medslip [x]", "medslip icl=false", "published: A"]
    assert second == ["medslip [x]", "medslip icl=false"]


def test_the_page_fetches_nothing_and_escapes_names() -> None:
    text = page("A & B", [SHEET], ["<b>note"])
    assert "A &amp; B" in text
    assert "&lt;b&gt;note" in text
    assert "zero-shot &lt;of&gt; runs" in text
    assert "<strong>0.800 (0.700 to 0.900)</strong>" in text
    assert not re.search(r"(src|href)=|https?:|<script", text)
