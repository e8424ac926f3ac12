"""Tables of text, made once and shown in a terminal, in Markdown or as one self-contained HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from jinja2 import BaseLoader, Environment, StrictUndefined
from rich import box
from rich.table import Table


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

    def narrow(self, columns: int) -> Iterator["Sheet"]:
        """The table in parts of at most so many columns beside the first."""
        for start in range(1, len(self.header), columns):
            places = [0, *range(start, min(start + columns, len(self.header)))]
            yield replace(
                self,
                header=tuple(self.header[place] for place in places),
                lines=tuple(
                    Line(
                        tuple(line.cells[place] for place in places),
                        frozenset(new for new, place in enumerate(places) if place in line.best),
                        line.quiet,
                    )
                    for line in self.lines
                ),
            )


def terminal_table(sheet: Sheet) -> Table:
    """The table for a terminal: names of metrics and intervals break over lines, so that 80 columns hold more."""
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column(sheet.header[0], overflow="fold")
    for name in sheet.header[1:]:
        table.add_column(name.replace(".", "\n"), justify="right", no_wrap=True)
    for line in sheet.lines:
        cells = [
            f"[bold]{cell}[/]" if place in line.best else cell.replace("[", r"\[")
            for place, cell in enumerate(line.cells)
        ]
        table.add_row(cells[0], *(cell.replace(" (", "\n(") for cell in cells[1:]), style="dim" if line.quiet else None)
    return table


def page(title: str, sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """One self-contained HTML page in the style of the report."""
    environment = Environment(
        loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here = files("pipeline.reporting")
    template = environment.from_string((here / "compare.html.jinja").read_text())
    return template.render(title=title, sheets=sheets, notes=notes, style=(here / "page.css").read_text())
