"""Tables of text, made once and shown in a terminal, in Markdown or as one self-contained HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from jinja2 import BaseLoader, Environment, StrictUndefined
from rich import box
from rich.markup import escape
from rich.table import Table

NAMES = 24  # columns of a terminal that the names of a table's lines get at least


@dataclass(frozen=True)
class Line:
    """Cells of text; the best figures stand out, and lines that are not this project's own are quiet."""

    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()
    quiet: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table; its first column names the lines."""

    title: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]

    def markdown(self) -> str:
        """The table in Markdown, best figures bold."""
        rows = [self.header, ("---", *["---:"] * (len(self.header) - 1))]
        rows += [
            tuple(f"**{cell}**" if place in line.best else cell for place, cell in enumerate(line.cells))
            for line in self.lines
        ]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def split(self, width: int) -> Iterator["Sheet"]:
        """The table in parts that fit a terminal: its first column in each, beside as many others as there is room."""
        part, room = [0], width - NAMES
        for place in range(1, len(self.header)):
            needed = 2 + self._width(place)
            if needed > room and len(part) > 1:
                yield self._part(part)
                part, room = [0], width - NAMES
            part.append(place)
            room -= needed
        yield self._part(part)

    def _width(self, place: int) -> int:
        """Of the widest line in a column of a terminal, where `terminal_table` breaks its cells."""
        lines = [text for line in self.lines for text in _broken(line.cells[place])]
        return max(map(len, [*lines, *_broken(self.header[place].replace(".", "\n"))]))

    def _part(self, places: Sequence[int]) -> "Sheet":
        lines = [
            Line(
                tuple(line.cells[place] for place in places),
                frozenset(new for new, place in enumerate(places) if place in line.best),
                line.quiet,
            )
            for line in self.lines
        ]
        shown = tuple(line for line in lines if not line.quiet or any(line.cells[1:]))
        return replace(self, header=tuple(self.header[place] for place in places), lines=shown)


def _broken(cell: str) -> list[str]:
    """A cell's lines in a terminal: what stands in brackets goes below."""
    return cell.replace(" (", "\n(").split("\n")


def terminal_table(sheet: Sheet) -> Table:
    """The table for a terminal: names of metrics and intervals break over lines, so that 80 columns hold more."""
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column(escape(sheet.header[0]))
    for name in sheet.header[1:]:
        table.add_column("\n".join(_broken(name.replace(".", "\n"))), justify="right", no_wrap=True)
    for line in sheet.lines:
        cells = [escape("\n".join(_broken(cell)) if place else cell) for place, cell in enumerate(line.cells)]
        shown = [f"[bold]{cell}[/]" if place in line.best else cell for place, cell in enumerate(cells)]
        table.add_row(*shown, style="dim" if line.quiet else None)
    return table


def page(title: str, sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """One self-contained HTML page in the style of the report."""
    environment = Environment(
        loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here = files("pipeline.reporting")
    template = environment.from_string((here / "compare.html.jinja").read_text())
    return template.render(title=title, sheets=sheets, notes=notes, style=(here / "page.css").read_text())
