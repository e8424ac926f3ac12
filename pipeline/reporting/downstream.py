"""Figures of what a model is used for beyond classifying zero-shot: grounding, fine-tuning, segmentation, retrieval.

Each with its title and the one sentence that says what to see. Drawn by `figures`, `bars` and `maps`.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from pipeline.reporting import bars, figures, maps
from pipeline.reporting.bars import CHANCE
from pipeline.reporting.compare import figure
from pipeline.reporting.drawing import Estimate
from pipeline.reporting.pictures import Picture, full_name
from pipeline.reporting.results import HeatMaps, Masks, Outcome, Results

INITS = {"pretrained": "pre-training", "random": "random weights", "imagenet": "ImageNet weights"}
DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}
RANKS = (1, 3, 10)


def grounding_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark with boxes its scores beside chance, its findings, and examples."""
    for benchmark, results in outcome.grounding.items():
        title = f"Grounding, {full_name(benchmark)}"
        ratio = results["pointing_game"] / max(results["chance"]["pointing_game"], 1e-9)
        see = f"The pointing game succeeds {ratio:.1f} times as often as chance."
        names = {"pointing_game": "pointing game", "iou": "IoU", "dice": "Dice"}
        groups = {word: _beside_chance(results, name) for name, word in names.items()}
        yield Picture(f"grounding_{benchmark}", title, see, bars.grouped_bars(groups, title, "share"))
        if len(results["per_class"]) > 1:
            yield _grounded_findings(benchmark, results["per_class"])
    for benchmark, examples in outcome.heat_maps.items():
        yield from _heat_maps(benchmark, examples)


def _beside_chance(results: Results, name: str) -> dict[str, Estimate]:
    return {"this run": (results[name], results["intervals"][name]), CHANCE: (results["chance"][name], None)}


def _grounded_findings(benchmark: str, per_class: Mapping[str, Any]) -> Picture:
    ranked = sorted(per_class, key=lambda name: (-per_class[name]["pointing_game"], name))
    best, worst = ranked[0], ranked[-1]
    above = sum(row["intervals"]["pointing_game"][0] > row["chance"]["pointing_game"] for row in per_class.values())
    see = (
        f"Best found is {best} ({figure(per_class[best]['pointing_game'])}), worst {worst} "
        f"({figure(per_class[worst]['pointing_game'])}); {above} of {len(ranked)} intervals lie above chance (images "
        "with boxes in brackets)."
    )
    groups = {
        f"{name} ({per_class[name]['pairs']})": _beside_chance(per_class[name], "pointing_game") for name in ranked
    }
    title = f"Pointing game per finding, {full_name(benchmark)}"
    return Picture(f"grounding_findings_{benchmark}", title, see, bars.grouped_bars(groups, title, "pointing game"))


def _heat_maps(benchmark: str, examples: HeatMaps) -> Iterator[Picture]:
    for place, caption in enumerate(examples.captions):
        boxes = examples.boxes[examples.boxes[:, 0] == place, 1:]
        image = maps.heat_map(examples.images[place], examples.maps[place], boxes)
        found = maps.peaks_inside(examples.maps[place], boxes, examples.images.shape[-1])
        see = f"The heat map (right) peaks {'inside' if found else 'outside'} the box."
        yield Picture(f"heat_map_{benchmark}_{place}", f"{full_name(benchmark)}: {caption}", see, image, film=True)


def finetune_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark AUROC by share of the training images, for every initialisation."""
    for benchmark, results in outcome.tasks["finetune"].items():
        title = f"Data efficiency, {full_name(benchmark)}"
        image = figures.efficiency(_by_init(results["runs"], "auroc"), title)
        see = f"{_least(results['runs'], results['differences'], 'auroc', 'AUROC')}."
        yield Picture(f"finetune_{benchmark}", title, see, image)


def segmentation_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark with masks Dice over positive and over all images, and examples."""
    for benchmark, results in outcome.tasks["segmentation"].items():
        runs, nothing = results["runs"], results["dice_without_any_mask"]
        title = f"Dice over positive images, {full_name(benchmark)}"
        see = f"{_least(runs, results['differences_positive'], 'dice_positive', 'Dice')}."
        image = bars.grouped_bars(_by_fraction(_by_init(runs, "dice_positive")), title, "Dice")
        yield Picture(f"dice_positive_{benchmark}", title, see, image)
        title = f"Dice over all images, {full_name(benchmark)}"
        see = (
            f"{_least(runs, results['differences'], 'dice', 'Dice')}; who draws no mask at all scores "
            f"{figure(nothing)} (dashed line)."
        )
        image = bars.grouped_bars(_by_fraction(_by_init(runs, "dice")), title, "Dice", ("no mask at all", nothing))
        yield Picture(f"dice_{benchmark}", title, see, image)
    for benchmark, examples in outcome.masks.items():
        yield from _examples(benchmark, examples)


def _examples(benchmark: str, examples: Masks) -> Iterator[Picture]:
    for place, caption in enumerate(examples.captions):
        truth, predicted = examples.truth[place], examples.predicted[place]
        image = maps.masks(examples.images[place], truth, predicted)
        title = f"{full_name(benchmark)}: {caption}"
        yield Picture(f"mask_{benchmark}_{place}", title, _covered(int(truth.sum()), int((truth & predicted).sum()),
                      int(predicted.sum())), image, film=True)  # fmt: skip


def _covered(truth: int, both: int, predicted: int) -> str:
    """How a predicted region meets the true one, from pixel counts."""
    if not truth:
        return f"Nothing is to be outlined, and {'something' if predicted else 'nothing'} is."
    if not predicted:
        return "The true region (left) is missed: nothing is outlined."
    dice = 2 * both / (truth + predicted)
    return f"The outline on the right covers {both / truth:.0%} of the true region on the left; Dice is {dice:.2f}."


def _by_init(runs: Mapping[str, Any], name: str) -> dict[str, dict[str, Estimate]]:
    """Initialisation -> percent of the training images -> figure and interval."""
    return {
        INITS.get(init, init): {
            percent: (rows[percent][name], rows[percent][f"{name}_interval"]) for percent in sorted(rows, key=float)
        }
        for init, rows in runs.items()
    }


def _by_fraction(inits: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Estimate]]:
    percents = dict.fromkeys(percent for rows in inits.values() for percent in rows)
    return {
        f"{percent} %": {init: rows[percent] for init, rows in inits.items() if percent in rows} for percent in percents
    }


def advantage(runs: Mapping[str, Any], differences: Mapping[str, Any], name: str) -> str:
    """Pre-trained minus the first other initialisation where labels are scarcest, in words; empty without another."""
    if not differences:
        return ""
    init, rows = next(iter(differences.items()))
    least = min(rows, key=float)
    low, high = rows[least]["interval"]
    difference = runs["pretrained"][least][name] - runs[init][least][name]
    return f"a difference of {difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"


def _least(runs: Mapping[str, Any], differences: Mapping[str, Any], name: str, word: str) -> str:
    """What is reached where labels are scarcest, against another initialisation or, without one, all labels."""
    own = runs["pretrained"]
    least, most = min(own, key=float), max(own, key=float)
    start = f"With {least} % of the training images ({own[least]['images']:,}) {word} is {figure(own[least][name])}"
    if not differences:
        return f"{start}, with all of them {figure(own[most][name])}"
    init = next(iter(differences))
    other = f"{figure(runs[init][least][name])} from {INITS.get(init, init)}"
    return f"{start} from pre-training and {other}: {advantage(runs, differences, name)}"


def retrieval_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Precision among the first answers, in both directions, beside chance; few may be right, so the axis is short."""
    for name, results in outcome.tasks["retrieval"].items():
        groups = {
            f"{words}, first {rank}": {
                "this run": (results[key][f"p_at_{rank}"], results[key].get(f"p_at_{rank}_interval")),
                CHANCE: (results[key][f"chance_p_at_{rank}"], None),
            }
            for key, words in DIRECTIONS.items()
            for rank in RANKS
        }
        title = f"Retrieval, {full_name(name)}"
        see = (
            f"Of the first ten answers among {results['pairs']:,} pairs, {_right(results, 'p_at_10')} are right; by "
            f"chance {_right(results, 'chance_p_at_10')}, and at best {_right(results, 'best_p_at_10')}, as few pairs "
            "share a label."
        )
        yield Picture(
            f"retrieval_{name}", title, see, bars.grouped_bars(groups, title, "precision", highest=_end(groups))
        )


def _end(groups: Mapping[str, Mapping[str, Estimate]]) -> float:
    """Where an axis ends that shows all bars and their intervals: a tenth, 2 tenths, ... 1."""
    ends = [max([value, *(interval or ())]) for row in groups.values() for value, interval in row.values()]
    return ceil(10 * max(ends)) / 10 or 0.1


def _right(results: Results, name: str) -> str:
    return " and ".join(f"{results[key][name]:.1%} ({words})" for key, words in DIRECTIONS.items())
