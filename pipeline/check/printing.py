"""Shows what was seen of the datasets: a table on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.table import Table

from pipeline.check.datasets import Inspected
from pipeline.check.experiment import Examined

STYLES = {"found": "green", "odd": "yellow", "missing": "dim"}


def print_examined(examined: Examined, console: Console) -> None:
    """Print every dataset, then whether the experiment can run."""
    what = ": phantoms that the pipeline drew itself, whose counts are their own" if examined.phantoms else ""
    console.print(f"data.root is {examined.root}{what}.", highlight=False, soft_wrap=True)
    if console.is_terminal:
        console.print(_table(examined))
    else:
        for seen in examined.datasets:
            _print_plain(seen, console)
    for problem in examined.problems:
        console.print(f"cannot run: {problem}", style="red", highlight=False, markup=False, soft_wrap=True)
    if not examined.problems:
        console.print("The datasets of the experiment can be read.", highlight=False)


def _table(examined: Examined) -> Table:
    table = Table("dataset", "state", "what is there", show_lines=True)
    for seen in examined.datasets:
        style = STYLES[seen.state]
        name = f"[bold]{seen.key}[/]\n{_role(seen)}"
        table.add_row(name, f"[{style}]{seen.state}[/]", "\n".join(_lines(seen)).replace("[", r"\["))
    return table


def _print_plain(seen: Inspected, console: Console) -> None:
    console.print(f"\n{seen.key} ({_role(seen)}): {seen.state}", highlight=False, markup=False)
    for line in _lines(seen):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _role(seen: Inspected) -> str:
    return seen.task if seen.configured else f"{seen.task}, not in this experiment"


def _lines(seen: Inspected) -> list[str]:
    if not seen.there:
        return [f"{seen.folder} does not exist; {seen.source.name}, {seen.source.licence}: {seen.source.access}"]
    odd = [f"odd: {oddity}" for oddity in seen.oddities] + [f"wrong: {problem}" for problem in seen.problems]
    place = f"{seen.source.name} in {seen.folder}; licence: {seen.source.licence}; access: {seen.source.access}"
    return [place, *([", ".join(seen.counts)] if seen.counts else []), *seen.facts, *odd]
