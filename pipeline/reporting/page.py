"""Writes the report: one self-contained HTML page, the same in Markdown, and the figures as files.

The page fetches nothing: its style and figures are inside it, and it runs no script.
"""

from base64 import b64encode
from importlib.resources import files
from pathlib import Path

from jinja2 import BaseLoader, Environment, StrictUndefined

from pipeline.reporting.compare import figure
from pipeline.reporting.drawing import Image
from pipeline.reporting.results import ReportInputs, load_outcome
from pipeline.reporting.story import Story, tell
from pipeline.reporting.tables import column_title

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}


def write_report(inputs: ReportInputs, out: Path) -> list[Path]:
    """Write index.html, report.md and figures/ into a folder; the same inputs give the same bytes.

    X-rays of patients are inside index.html alone, which git ignores.

    Returns:
        The files: the page, the Markdown, then the figures.

    Raises:
        TableError: an input is not what its stage writes.
    """
    story = tell(inputs, load_outcome(inputs.reports, inputs.params))
    figure_folder = out / "figures"
    figure_folder.mkdir(parents=True, exist_ok=True)
    for old in figure_folder.iterdir():
        old.unlink()
    pages = {out / "index.html": html(story), out / "report.md": markdown(story, films=inputs.phantoms)}
    for path, text in pages.items():
        path.write_text(text)
    pictures = [picture for section in story.sections for picture in section.pictures]
    drawn = {figure_folder / one.file: one.image for one in pictures if inputs.phantoms or not one.film}
    for path, image in drawn.items():
        path.write_bytes(image.content)
    return [*pages, *drawn]


def html(story: Story) -> str:
    """The page."""
    return _render("page.html.jinja", story, escape=True)


def markdown(story: Story, films: bool) -> str:
    """The report in Markdown, with figures from figures/ beside it, and X-rays among them or not."""
    return _render("page.md.jinja", story, escape=False, films=films)


def _render(template: str, story: Story, escape: bool, films: bool = True) -> str:
    environment = Environment(
        loader=BaseLoader(), autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "style": _resource("page.css"),
        "data_uri": _data_uri,
        "figure": figure,
        "column_title": column_title,
    }
    return environment.from_string(_resource(template)).render(story=story, films=films)


def _resource(name: str) -> str:
    return (files("pipeline.reporting") / name).read_text()


def _data_uri(image: Image) -> str:
    return f"data:{MEDIA[image.kind]};base64,{b64encode(image.content).decode()}"
