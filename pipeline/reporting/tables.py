"""The tables of a report: a small one per task, so that each is whole on a telephone."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.reporting.compare import Comparison, figure
from pipeline.reporting.downstream import DIRECTIONS, INITS, RANKS
from pipeline.reporting.drawing import Interval
from pipeline.reporting.pictures import full_name
from pipeline.reporting.results import Outcome, Results

TASKS = {
    "zero_shot": "Zero-shot classification",
    "grounding": "Zero-shot grounding",
    "finetune": "Fine-tuned classification",
    "segmentation": "Fine-tuned segmentation",
    "retrieval": "Retrieval",
    "unseen": "A disease never seen in training",
    "finding_maps": "Diseased against healthy images",
}
WORDS = {"auroc": "AUROC", "f1": "F1", "iou": "IoU", "dice": "Dice", "p": "P", "common10": "10 most common findings,"}
ASKED = {
    "explanation": "its explanation",
    "name": "its name",
    "known_explanation": "a known disease's explanation",
    "category": "a known disease's name",
}


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
        Table(TASKS["zero_shot"], zero_shot, tuple(_zero_shot(outcome))),
        Table(TASKS["grounding"], grounding, tuple(_grounding(outcome))),
        _learned(outcome, "finetune", "auroc", f"{TASKS['finetune']}, AUROC"),
        _learned(outcome, "segmentation", "dice_positive", f"{TASKS['segmentation']}, Dice, positive images"),
        _learned(outcome, "segmentation", "dice", f"{TASKS['segmentation']}, Dice, all images"),
        Table(TASKS["retrieval"], retrieval, tuple(_retrieval(outcome))),
        Table(f"{TASKS['unseen']}, AUROC asked by", ("benchmark", *ASKED.values()), tuple(_unseen(outcome))),
    )
    return (table for table in tables if table.rows)


def with_interval(results: Results, metric: str) -> str:
    """A figure of an evaluation and its interval, as in `0.845 (0.827–0.863)`."""
    return estimate(results[metric], results["intervals"][metric])


def estimate(value: float, interval: Interval) -> str:
    """A figure and its interval, where there is one."""
    return f"{figure(value)} ({figure(interval[0])}–{figure(interval[1])})" if interval else figure(value)


def by_evaluation(compared: Comparison) -> Iterator[tuple[str, Comparison]]:
    """The columns of each task and benchmark that papers print, with the rows that have any of them, under a title."""
    for evaluation in dict.fromkeys(tuple(column.split(".")[:2]) for column in compared.columns):
        columns = tuple(column for column in compared.columns if tuple(column.split(".")[:2]) == evaluation)
        rows = tuple(row for row in compared.rows if not row.metrics.keys().isdisjoint(columns))
        task, benchmark = evaluation
        if any(row.published for row in rows):
            yield f"{TASKS[task]}, {full_name(benchmark)}", Comparison(columns, rows)


def column_title(metric: str) -> str:
    """What a metric of one evaluation is called, as in `F1 oracle` of `zero_shot.rsna.f1_oracle`."""
    words = metric.split(".", 2)[2].replace(".", " ").replace("_", " ").split()
    if words[-1].isdigit() and words[-2] != "at":  # a share of the training images
        words[-1] += " %"
    return " ".join(WORDS.get(word, word) for word in words)


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


def _unseen(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for benchmark, results in outcome.tasks["unseen"].items():
        yield full_name(benchmark), *(figure(results[name]) for name in ASKED)
