"""The tables of a report: a small one per task, so that each is whole on a telephone."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.reporting.compare import Comparison, figure
from pipeline.reporting.downstream import DIRECTIONS, INITS, RANKS
from pipeline.reporting.drawing import Interval
from pipeline.reporting.pictures import full_name
from pipeline.reporting.results import Outcome, Results


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first cell of a row names it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def result_tables(outcome: Outcome) -> Iterator[Table]:
    """The headline figures of every task that was evaluated."""
    zero_shot = ("benchmark", "AUROC", "F1", "accuracy", "F1 oracle", "accuracy oracle", "images")
    grounding = ("benchmark", "pointing game", "IoU", "Dice", "images")
    retrieval = ("direction", *(f"P@{rank}" for rank in RANKS), "P@10 by chance", "best possible P@10", "hits@10")
    tables = (
        Table("Zero-shot classification", zero_shot, tuple(_zero_shot(outcome))),
        Table("Zero-shot grounding", grounding, tuple(_grounding(outcome))),
        _learned(outcome, "finetune", "auroc", "Fine-tuned classification, AUROC"),
        _learned(outcome, "segmentation", "dice_positive", "Fine-tuned segmentation, Dice, positive images"),
        _learned(outcome, "segmentation", "dice", "Fine-tuned segmentation, Dice, all images"),
        Table("Retrieval", retrieval, tuple(_retrieval(outcome))),
    )
    return (table for table in tables if table.rows)


def with_interval(results: Results, metric: str) -> str:
    """A figure of an evaluation and its interval, as in `0.845 (0.827–0.863)`."""
    return estimate(results[metric], results["intervals"][metric])


def estimate(value: float, interval: Interval) -> str:
    """A figure and its interval, where there is one."""
    return f"{figure(value)} ({figure(interval[0])}–{figure(interval[1])})" if interval else figure(value)


def by_task(compared: Comparison) -> Iterator[Comparison]:
    """The columns of each task by themselves, with the rows that have any of them."""
    for task in dict.fromkeys(column.partition(".")[0] for column in compared.columns):
        columns = tuple(column for column in compared.columns if column.startswith(f"{task}."))
        rows = tuple(row for row in compared.rows if not row.metrics.keys().isdisjoint(columns))
        yield Comparison(columns, rows)


def _zero_shot(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for benchmark, results in outcome.zero_shot.items():
        scores = [figure(results[name]) for name in ("f1", "accuracy", "f1_oracle", "accuracy_oracle")]
        yield full_name(benchmark), with_interval(results, "auroc"), *scores, f"{results['counts']['images']:,}"


def _grounding(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for benchmark, results in outcome.grounding.items():
        shares = [with_interval(results, name) for name in ("pointing_game", "iou", "dice")]
        yield full_name(benchmark), *shares, f"{results['counts']['images']:,}"


def _learned(outcome: Outcome, task: str, metric: str, title: str) -> Table:
    """A row per benchmark and initialisation, a column per share of the training images."""
    found = outcome.tasks[task]
    percents = sorted({percent for results in found.values() for percent in results["runs"]["pretrained"]}, key=float)
    rows = [
        (
            f"{full_name(benchmark)}, {INITS.get(init, init)}",
            *(estimate(run[percent][metric], run[percent][f"{metric}_interval"]) for percent in percents),
        )
        for benchmark, results in found.items()
        for init, run in results["runs"].items()
    ]
    return Table(title, ("training images", *(f"{percent} %" for percent in percents)), tuple(rows))


def _retrieval(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for results in outcome.tasks["retrieval"].values():
        for key, words in DIRECTIONS.items():
            found = results[key]
            names = (*(f"p_at_{rank}" for rank in RANKS), "chance_p_at_10", "best_p_at_10", "hits_at_10")
            yield words, *(figure(found[name]) for name in names)
