"""Tables of runs over their seeds, tested against one of them, in the terminal.

Apart from `terminal`, as the tests import what takes seconds.
"""

from dataclasses import replace

from pipeline.ablation import Ablation
from pipeline.reporting.compare import Row
from pipeline.reporting.published import published_rows
from pipeline.reporting.terminal import NOTE, Shown, evaluated_runs
from pipeline.reporting.trials import HOW_TO_READ, Trials, compare_trials, configurations, rows_of_ablation


def print_trials(sort: str | None, reference: str, shown: Shown) -> None:
    """Print all configurations with intervals over their seeds, tested against one of them.

    Raises:
        ParamsError: no configuration is called so, or no run has the metric to sort by.
        PipelineError: MLflow's store does not answer, or no run has results.
    """
    found, notes = configurations(evaluated_runs())
    _show_trials(compare_trials(found, reference, sort, notes), f"Runs compared with {reference}", shown)


def print_ablation(sort: str | None, ablation: Ablation, shown: Shown) -> None:
    """Print an ablation's rows with intervals over their seeds, tested against its full model, and the paper's rows.

    Raises:
        ParamsError: no run has the metric to sort by.
        PipelineError: MLflow's store does not answer, or no run has results.
    """
    found, notes = rows_of_ablation(ablation, evaluated_runs())
    trials = compare_trials(found, ablation.reference, sort, notes)
    rows = [row for row in published_rows() if row.key.startswith(f"{ablation.method}/") and " ablation, " in row.key]
    printed = [Row(row.name, row.switches, True, row.metrics) for row in rows if {*row.metrics} & {*trials.columns}]
    _show_trials(replace(trials, published=tuple(printed)), f"Ablation of {ablation.method}", shown)


def _show_trials(trials: Trials, title: str, shown: Shown) -> None:
    shown.show(title, trials.sheets(), [*HOW_TO_READ, *([NOTE] if trials.published else []), *trials.notes])
