"""The model card of a pre-trained model, in Markdown: what it is, what it learned from, how good it is, and its limits.

Says nothing about the machine it was trained on and quotes no report.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

INTENDED_USE = (
    "Research on vision-language pre-training for frontal chest X-rays: zero-shot classification and grounding of "
    "findings named by a text prompt, and as a starting point for fine-tuning.",
    "Comparing design choices of the method on the same data.",
)
LIMITS = (
    "Not a medical device: do not use it for diagnosis, triage or treatment of anybody.",
    "Labels come from reports, by rules or models, and carry their errors; what a report does not mention is taken as "
    "the parameter `labels.unmentioned` says.",
    "Scores are not calibrated probabilities, and a threshold chosen on one dataset need not suit another.",
    "It has seen one corpus only: expect lower figures on other scanners, patients, views and languages.",
    "Its maps show where the model attended, which need not be where the disease is.",
)
PHANTOM_LIMIT = (
    "It was trained on phantoms, synthetic images drawn by the pipeline: it has never seen a patient and knows nothing "
    "about any."
)


@dataclass(frozen=True)
class CardInputs:
    """What a card states.

    Attributes:
        method: `MeDSLIP` or `MedFILIP`.
        imported: where an imported model comes from; None of one that was trained here.
        phantoms: whether the images of the corpus were drawn by this project.
        model_hash: content hash of the weights.
        params: nested as in params.yaml, those that determine the training.
        counts: of the training data, as in `train_images`; empty for an imported model.
        metrics: by name, as in `validation_auroc_pathology`; None where it is not defined.
        queries: the pathologies and the anatomies that it was trained to find.
    """

    method: str
    imported: str | None
    phantoms: bool
    model_hash: str
    params: Mapping[str, Any]
    counts: Mapping[str, int]
    metrics: Mapping[str, float | None]
    queries: Mapping[str, Sequence[str]]


def model_card(inputs: CardInputs) -> str:
    """The card; the same inputs give the same text."""
    return "\n".join(_lines(inputs))


def _lines(inputs: CardInputs) -> Iterator[str]:
    source = "phantoms drawn by this project" if inputs.phantoms else str(inputs.params["corpus"])
    origin = f"imported from {inputs.imported}" if inputs.imported else f"pre-trained on {source}"
    yield from (f"# {inputs.method} {origin}", "", f"Weights: `{inputs.model_hash}`", "")
    yield from _list("Intended use", INTENDED_USE)
    yield from _list("Limits", (PHANTOM_LIMIT, *LIMITS) if inputs.phantoms and not inputs.imported else LIMITS)
    if inputs.imported:
        yield from _table(f"Metrics on validation images: {source}", "value", _numbers(inputs.metrics))
    else:
        yield from _table("Training data", "count", {name: f"{value:,}" for name, value in inputs.counts.items()})
        yield from _table("Metrics of the best epoch, on validation images", "value", _numbers(inputs.metrics))
    yield from ("## What it can be asked without a new prompt", "")
    for kind, names in inputs.queries.items():
        yield from (f"{len(names)} {kind}: {', '.join(names)}.", "")
    yield from (
        "## Parameters",
        "",
        "```yaml",
        yaml.safe_dump(dict(inputs.params), sort_keys=False).rstrip(),
        "```",
        "",
    )


def _numbers(metrics: Mapping[str, float | None]) -> dict[str, str]:
    return {name: "not defined" if value is None else f"{value:.4g}" for name, value in metrics.items()}


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    yield from (f"## {title}", "", *(f"* {sentence}" for sentence in sentences), "")


def _table(title: str, head: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from (f"## {title}", "", f"| | {head} |", "| --- | ---: |")
    yield from (f"| {name.replace('_', ' ')} | {value} |" for name, value in rows.items())
    yield ""
