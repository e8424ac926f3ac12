"""The `cxr` command: compose parameters, print results, compare runs.

What DVC runs is in `stages/`; this command holds what a person types beside `dvc`.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import PipelineError
from pipeline.params import compose, load_params, parse_params

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command("compose")
def compose_params(
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, such as scale=paper")] = None,
) -> None:
    """Compose conf/ and write params.yaml, which `dvc repro` reads."""
    text, values = compose(Path("conf"), overrides or [])
    parse_params(values)
    Path("params.yaml").write_text(text)


@app.command()
def results() -> None:
    """Print the result table of the last run, and how to see more."""
    from pipeline.reporting.terminal import print_results

    print_results(Path("reports"), load_params(["benchmarks", "grounding"]).model_dump())


@app.command()
def compare(
    sort: Annotated[str | None, typer.Option(help="Metric to sort by, such as zero_shot.cxr14.auroc")] = None,
    markdown: Annotated[bool, typer.Option(help="Print Markdown instead of a table")] = False,
) -> None:
    """Compare this project's runs with each other and with the published rows."""
    from pipeline.reporting.terminal import print_comparison

    print_comparison(sort, markdown)


def main() -> None:
    """Run the command; an expected error is one sentence and exit code 1."""
    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
