"""The answer that a report opens with: what was trained on what, how good it is, and against what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.reporting.compare import figure
from pipeline.reporting.downstream import DIRECTIONS, INITS, advantage
from pipeline.reporting.pictures import full_name
from pipeline.reporting.published import own_figures, papers
from pipeline.reporting.results import Outcome, ReportInputs, Results
from pipeline.reporting.tables import with_interval

METHODS = {"medslip": "MeDSLIP", "medfilip": "MedFILIP"}
BRACKETS = "(95 % intervals in brackets)"


@dataclass(frozen=True)
class Finding:
    """What was asked of the model, and what came out."""

    task: str
    text: str


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


def findings(inputs: ReportInputs, outcome: Outcome) -> Iterator[Finding]:
    """How good it was, and against what: in short, as the tables have every figure."""
    tasks = outcome.tasks
    if outcome.zero_shot:
        yield Finding("Zero-shot classification", _classified(inputs, outcome))
    if outcome.grounding:
        yield Finding("Grounding", _grounded(inputs, outcome))
    if tasks["finetune"]:
        yield Finding("Fine-tuned classification", _tuned(inputs, tasks["finetune"]))
    for benchmark, results in tasks["segmentation"].items():
        yield Finding("Fine-tuned segmentation", _outlined(inputs, benchmark, results))
    for name, results in tasks["retrieval"].items():
        shares = [_retrieved(results[key], words) for key, words in DIRECTIONS.items()]
        yield Finding("Retrieval", f"in {full_name(name)} of the first ten answers are right {' and '.join(shares)}.")
    for benchmark, results in tasks["unseen"].items():
        yield Finding("A disease never seen in training", _unseen(benchmark, results))


def _classified(inputs: ReportInputs, outcome: Outcome) -> str:
    told = [f"{with_interval(results, 'auroc')} on {full_name(name)}" for name, results in outcome.zero_shot.items()]
    theirs = _theirs(inputs, {f"zero_shot.{name}.auroc": full_name(name) for name in outcome.zero_shot})
    return f"AUROC {_listed(told)}{'' if theirs else _oracle_f1(inputs, outcome)}.{theirs}"


def _grounded(inputs: ReportInputs, outcome: Outcome) -> str:
    told = [
        f"{with_interval(results, 'pointing_game')} on {full_name(name)} (chance "
        f"{figure(results['chance']['pointing_game'])})"
        for name, results in outcome.grounding.items()
    ]
    theirs = _theirs(inputs, {f"grounding.{name}.pointing_game": full_name(name) for name in outcome.grounding})
    return f"the share of heat maps that peak in a box is {_listed(told)}.{theirs}"


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
        f"on {full_name(benchmark)} AUROC {figure(results['explanation'])} asked by its explanation, "
        f"{figure(results['name'])} by its name, {figure(results['category'])} by a known disease's name "
        f"(“{results['texts']['category']}”) and {figure(results['known_explanation'])} by that one's explanation. "
        f"{verdicts}"
    )


def _verdict(other: str, test: Results) -> str:
    """Whether the explanation is above another naming, said plainly."""
    low, high = test["interval"]
    place = "above" if low > 0 else "below" if high < 0 else "neither above nor below"
    return (
        f"Its explanation is {place} {other} beyond chance ({test['difference']:+.3f}, 95 % interval "
        f"{low:+.3f} to {high:+.3f})."
    )


def _tuned(inputs: ReportInputs, tuned: Mapping[str, Results]) -> str:
    """Every benchmark's figures, and where the pre-trained encoder is above the others beyond chance."""
    shares = _by_share(next(iter(tuned.values())), "auroc")[0]
    told = [f"{full_name(name)} {_by_share(results, 'auroc')[1]}" for name, results in tuned.items()]
    theirs = _theirs(inputs, {f"finetune.{name}.auroc_1": f"1 % of {full_name(name)}" for name in tuned})
    return f"AUROC with {shares} % of the training images: {'; '.join(told)}.{_gains(tuned)}{theirs}"


def _gains(tuned: Mapping[str, Results]) -> str:
    lows = [
        row["interval"][0] for results in tuned.values() for rows in results["differences"].values()
        for row in rows.values()
    ]  # fmt: skip
    won = sum(low > 0 for low in lows)
    return f" Pre-training is better beyond chance in {won} of {len(lows)} comparisons." if lows else ""


def _outlined(inputs: ReportInputs, benchmark: str, results: Results) -> str:
    """Positive images first: over all images, who outlines nothing is right on every negative one."""
    shares, told = _by_share(results, "dice_positive")
    gained = advantage(results["runs"], results["differences_positive"], "dice_positive")
    over_all = _by_share(results, "dice")[1]
    theirs = _theirs(inputs, {f"segmentation.{benchmark}.dice_1": f"1 % of {full_name(benchmark)}"})
    return (
        f"Dice with {shares} % of {full_name(benchmark)}'s training images on positive images {told}"
        f"{f'; {gained} at 1 %' if gained else ''}; on all images {over_all}, where no mask at all gives "
        f"{figure(results['dice_without_any_mask'])}.{theirs}"
    )


def _by_share(results: Results, metric: str) -> tuple[str, str]:
    """Shares of the training images in percent, and the figures at them, beside those of other initialisations."""
    percents = sorted(results["runs"]["pretrained"], key=float)
    told = {
        init: " / ".join(figure(rows[percent][metric]) for percent in percents)
        for init, rows in results["runs"].items()
    }
    own = told.pop("pretrained")
    others = ", ".join(f"{INITS.get(init, init)} {figures}" for init, figures in told.items())
    return " / ".join(percents), f"{own} ({others})" if others else own


def _oracle_f1(inputs: ReportInputs, outcome: Outcome) -> str:
    """F1 beside that of a paper which prints no AUROC: over all findings or, as there, the most common."""
    own, printed = outcome.metrics(), own_figures(inputs.params["method"])
    told = []
    for benchmark in outcome.zero_shot:
        start = f"zero_shot.{benchmark}."
        for metric in sorted(name for name in own.keys() & printed.keys() if name.startswith(start)):
            part, _, name = metric.removeprefix(start).rpartition(".")
            if name == "f1_oracle":
                over = f" over the {part.removeprefix('common')} most common findings" if part else ""
                told.append(f"{figure(own[metric])}{over} on {full_name(benchmark)} (there {figure(printed[metric])})")
    paper = papers()[inputs.params["method"]].name
    return f"; F1 oracle, which the {paper} prints of its own data, {_listed(told)}" if told else ""


def _theirs(inputs: ReportInputs, places: Mapping[str, str]) -> str:
    """The figures of the method's authors, said to be theirs and measured on other data.

    Args:
        inputs: for the method.
        places: metric -> where it was measured, in words.
    """
    printed = own_figures(inputs.params["method"])
    told = [f"{figure(printed[metric])} on {where}" for metric, where in places.items() if metric in printed]
    return f" The {papers()[inputs.params['method']].name} prints {_listed(told)}, of its own data." if told else ""


def _listed(parts: Sequence[str]) -> str:
    """Parts as a sentence lists them."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
