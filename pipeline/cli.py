"""The `cxr` command: compose parameters, print results, compare runs, bring models in and out.

What DVC runs is in `stages/`; this command holds what a person types beside `dvc`.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import Params, compose, load_params, parse_params

Overrides = Annotated[list[str] | None, typer.Option("--set-param", "-S", help="As for `dvc exp run`")]
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
def check(
    dataset: Annotated[str | None, typer.Argument(help="Look at this dataset alone, such as rsna")] = None,
    override: Overrides = None,
    full: Annotated[bool, typer.Option("--full", help="Decode every image, on all cores")] = False,
) -> None:
    """Look at the datasets below data.root; exit code 0 only if the experiment of params.yaml can run."""
    from rich.console import Console

    from pipeline.check import examine, print_examined

    params = parse_params(compose(Path("conf"), override)[1]) if override else load_params([*Params.model_fields])
    examined = examine(params, dataset, len(os.sched_getaffinity(0)) if full else None)
    print_examined(examined, Console())
    raise typer.Exit(1 if examined.problems else 0)


@app.command()
def results() -> None:
    """Print the result table of the last run, and how to see more."""
    from pipeline.reporting.terminal import print_results

    print_results(Path("reports"), load_params([*Params.model_fields]).model_dump())


@app.command()
def ablate(
    method: Annotated[str, typer.Option(help="Whose ablation: a file of conf/ablation")] = "medslip",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0")] = 3,
    override: Overrides = None,
) -> None:
    """Run the rows of a method's ablation as DVC experiments over several seeds, and print the table.

    What finished is not run again, so the same command goes on after an interruption, or adds seeds.
    """
    from pipeline.ablation import load_ablation, plan, run_all, run_command
    from pipeline.reporting.terminal import Shown
    from pipeline.reporting.tested import print_ablation

    ablation = load_ablation(method, override or [])
    failed = run_all(plan(ablation, seeds), run_command, lambda line: print(line, flush=True))
    print_ablation(None, ablation, Shown())
    if failed:
        listed = "; ".join(f"{one.row}, seed {one.seed}" for one in failed)
        raise PipelineError(f"{len(failed)} experiments failed ({listed}): their own errors are above.")


@app.command()
def compare(
    sort: Annotated[str | None, typer.Option(help="Metric to sort by, such as zero_shot.cxr14.auroc")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Test all against this run, such as 'medslip icl=false'")
    ] = None,
    ablation: Annotated[str | None, typer.Option(help="Show the rows of this method's ablation, tested")] = None,
    override: Overrides = None,
    markdown: Annotated[bool, typer.Option(help="Print Markdown instead of a table")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file too")] = None,
) -> None:
    """Compare this project's runs with each other and with the published rows; -S is as in `cxr ablate`."""
    from pipeline.ablation import load_ablation
    from pipeline.reporting.terminal import Shown, print_comparison

    shown = Shown(markdown, html)
    if html and not html.parent.is_dir():
        raise ParamsError(f"{html.parent} is no folder: make it, or give --html a file in another.")
    if override and not ablation:
        raise ParamsError("-S says which ablation is meant: give --ablation too.")
    if ablation and reference:
        raise ParamsError("Give --ablation or --reference: an ablation is tested against its own full model.")
    if ablation:
        from pipeline.reporting.tested import print_ablation

        print_ablation(sort, load_ablation(ablation, override or []), shown)
    elif reference:
        from pipeline.reporting.tested import print_trials

        print_trials(sort, reference, shown)
    else:
        print_comparison(sort, shown)


@app.command("import-checkpoint")
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' released MeDSLIP checkpoint")],
    explanations: Annotated[Path, typer.Option(help="The authors' JSON of explanations, pathology -> text")],
) -> None:
    """Bring the authors' released model into this project's format, executing nothing in the file."""
    from pipeline.imported import import_released

    folder = import_released(checkpoint, explanations)
    print(f"Imported as {folder}. Evaluate it:\n  dvc exp run -S scale=paper -S model.imported={folder}")


@app.command("export-checkpoint")
def export_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="The file to write")],
    model: Annotated[Path, typer.Option(help="Folder of the model")] = Path("models/pretrained/best"),
) -> None:
    """Write a model as a checkpoint of the authors' model; one that would answer differently there is refused."""
    from pipeline.imported import export_released

    left_out = export_released(model, checkpoint)
    print(f"Wrote {checkpoint}: the state dict, without prompts and text encoder, which are not part of one.")
    if left_out:
        print(f"Left out, as they serve training alone and have no place there: {', '.join(left_out)}.")


def main() -> None:
    """Run the command; an expected error is one sentence and exit code 1."""
    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
