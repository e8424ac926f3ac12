"""The answer that a report opens with: what was trained on what, how good it is, and against what."""

from collections.abc import Iterator

from pipeline.reporting.compare import figure
from pipeline.reporting.downstream import DIRECTIONS, INITS, advantage
from pipeline.reporting.pictures import full_name
from pipeline.reporting.published import own_figures, papers
from pipeline.reporting.results import Outcome, ReportInputs, Results
from pipeline.reporting.tables import with_interval

METHODS = {"medslip": "MeDSLIP", "medfilip": "MedFILIP"}
BRACKETS = "(95 % intervals in brackets)"


def answer(inputs: ReportInputs, outcome: Outcome) -> str:
    """What was trained on what, and how it was asked."""
    method = METHODS[inputs.params["method"]]
    asked = "then asked for findings by text prompts alone, without any labelled image (zero-shot)."
    if outcome.imported:
        return f"{method} was not trained here but imported ({outcome.imported}), {asked} On test images {BRACKETS}:"
    images = f"{outcome.training['train_images']:,} " if outcome.training else ""
    source = (
        "phantoms, chest X-rays and reports that this project draws itself"
        if inputs.phantoms
        else f"the corpus {inputs.params['corpus']['name']}"
    )
    return f"{method} was pre-trained on {images}images of {source}, {asked} On images it had not seen {BRACKETS}:"


def findings(inputs: ReportInputs, outcome: Outcome) -> Iterator[str]:
    """How good it was, and against what: one sentence per evaluation."""
    for benchmark, results in outcome.zero_shot.items():
        count = len(results["per_class"])
        over = f"macro AUROC over {count} findings" if count > 1 else f"AUROC of {next(iter(results['per_class']))}"
        images = f"{results['counts']['images']:,} images"
        yield (
            f"{full_name(benchmark)}: {over} {with_interval(results, 'auroc')} on {images}"
            f"{_theirs(inputs, f'zero_shot.{benchmark}.auroc', '') or _oracle_f1(inputs, outcome, benchmark)}."
        )
    for benchmark, results in outcome.grounding.items():
        yield (
            f"{full_name(benchmark)}, grounding: a share of {with_interval(results, 'pointing_game')} of the heat maps "
            f"peaks in a box; chance gives {figure(results['chance']['pointing_game'])}"
            f"{_theirs(inputs, f'grounding.{benchmark}.pointing_game', '')}."
        )
    for benchmark, results in outcome.tasks["finetune"].items():
        yield _tuned(inputs, benchmark, results)
    for benchmark, results in outcome.tasks["segmentation"].items():
        yield _outlined(inputs, benchmark, results)
    for name, results in outcome.tasks["retrieval"].items():
        shares = [_retrieved(results[key], words) for key, words in DIRECTIONS.items()]
        yield f"Retrieval in {full_name(name)}: of the first ten answers are right {' and '.join(shares)}."
    for benchmark, results in outcome.tasks["unseen"].items():
        yield _unseen(benchmark, results)


def _retrieved(found: Results, direction: str) -> str:
    """Precision between chance and what is possible, as few candidates may be right, and how often any is right."""
    return (
        f"{figure(found['p_at_10'])} from {direction} (chance {figure(found['chance_p_at_10'])}, best possible "
        f"{figure(found['best_p_at_10'])}; at least one in {found['hits_at_10']:.0%})"
    )


def _unseen(benchmark: str, results: Results) -> str:
    """The four ways to ask for a disease, and whether explaining it beats naming it or a known one."""
    others = {"its name": results["against"]["name"], "the known disease's name": results}
    verdicts = " ".join(_verdict(other, test) for other, test in others.items())
    return (
        f"{full_name(benchmark)}, a disease never seen in training: AUROC {figure(results['explanation'])} asked by "
        f"its explanation, {figure(results['name'])} by its name, {figure(results['category'])} by a known disease's "
        f"name (“{results['texts']['category']}”) and {figure(results['known_explanation'])} by that one's "
        f"explanation. {verdicts}"
    )


def _verdict(other: str, test: Results) -> str:
    """Whether the explanation is above another naming, said plainly."""
    low, high = test["interval"]
    place = "above" if low > 0 else "below" if high < 0 else "neither above nor below"
    return (
        f"Its explanation is {place} {other} beyond chance ({test['difference']:+.3f}, 95 % interval "
        f"{low:+.3f} to {high:+.3f})."
    )


def _tuned(inputs: ReportInputs, benchmark: str, results: Results) -> str:
    shares, told = _by_share(results, "auroc")
    theirs = _theirs(inputs, f"finetune.{benchmark}.auroc_1", "for 1 % ")
    return f"{full_name(benchmark)}, fine-tuned on {shares} % of the training images: AUROC {told}{theirs}."


def _outlined(inputs: ReportInputs, benchmark: str, results: Results) -> str:
    """Positive images first: over all images, who outlines nothing is right on every negative one."""
    shares, told = _by_share(results, "dice_positive")
    gained = advantage(results["runs"], results["differences_positive"], "dice_positive")
    over_all = _by_share(results, "dice")[1]
    theirs = _theirs(inputs, f"segmentation.{benchmark}.dice_1", "for 1 % ")
    return (
        f"{full_name(benchmark)}, segmented with a decoder trained on {shares} % of the training images: Dice on "
        f"positive images {told}{f'; {gained} at 1 %' if gained else ''}; on all images {over_all}{theirs}, where no "
        f"mask at all gives {figure(results['dice_without_any_mask'])}."
    )


def _by_share(results: Results, metric: str) -> tuple[str, str]:
    """Shares of the training images in percent, and the figures at them, those of each initialisation."""
    percents = sorted(results["runs"]["pretrained"], key=float)
    told = [
        f"{' / '.join(figure(rows[percent][metric]) for percent in percents)} from {INITS.get(init, init)}"
        for init, rows in results["runs"].items()
    ]
    return " / ".join(percents), ", ".join(told)


def _oracle_f1(inputs: ReportInputs, outcome: Outcome, benchmark: str) -> str:
    """F1 beside that of a paper which prints no AUROC: over all findings or, as there, the most common."""
    own, start = outcome.metrics(), f"zero_shot.{benchmark}."
    for metric in own.keys() & own_figures(inputs.params["method"]).keys():
        part, _, name = metric.removeprefix(start).rpartition(".")
        if metric.startswith(start) and name == "f1_oracle":
            over = f" over the {part.removeprefix('common')} most common" if part else ""
            return f"; F1 oracle{over} {figure(own[metric])}{_theirs(inputs, metric, '')}"
    return ""


def _theirs(inputs: ReportInputs, metric: str, what: str) -> str:
    """The figure of the method's authors, said to be theirs and measured on other data."""
    printed = own_figures(inputs.params["method"])
    if metric not in printed:
        return ""
    paper = papers()[inputs.params["method"]].name
    return f" (the {paper} prints {what}{figure(printed[metric])}, on its own data)"
