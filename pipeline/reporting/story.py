"""What a report says: the answer first, then tables and figures, each with one sentence on what to see.

Turns results into text and pictures once, for the HTML page and the Markdown alike. Quotes no report of a patient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.reporting.answer import METHODS, Finding, answer, findings
from pipeline.reporting.compare import Comparison, Row, comparison
from pipeline.reporting.downstream import (
    finetune_pictures,
    grounding_pictures,
    retrieval_pictures,
    segmentation_pictures,
)
from pipeline.reporting.pictures import (
    Picture,
    extraction_scores,
    full_name,
    source_pictures,
    subgroup_pictures,
    training_pictures,
    wording_pictures,
    zero_shot_pictures,
)
from pipeline.reporting.published import Paper, papers, published_rows
from pipeline.reporting.results import Outcome, ReportInputs
from pipeline.reporting.spaces import space_pictures
from pipeline.reporting.tables import TASKS, Table, by_evaluation, result_tables

FEW_TRAINING_IMAGES, FEW_TEST_IMAGES = 1000, 100


@dataclass(frozen=True)
class Section:
    """A headed part of the report; `name` is what links in the page lead to."""

    name: str
    title: str
    text: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Story:
    """All that a report says."""

    title: str
    answer: str
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]  # on the run
    notes: tuple[str, ...]  # on single evaluations
    tables: tuple[Table, ...]
    comparisons: tuple[tuple[str, Comparison], ...]  # by what was measured on which benchmark
    papers: tuple[Paper, ...]
    sections: tuple[Section, ...]
    missing: tuple[str, ...]


def tell(inputs: ReportInputs, outcome: Outcome) -> Story:
    """Put the results of a run into words and pictures."""
    method = METHODS[inputs.params["method"]]
    own = Row(f"this run ({method})", "", False, outcome.metrics(), inputs.params["method"])
    pages = [section for section in _sections(inputs, outcome) if section.pictures]
    return Story(
        title=f"{method} on {_data(inputs)}",
        answer=answer(inputs, outcome),
        findings=tuple(findings(inputs, outcome)),
        cautions=tuple(_cautions(inputs, outcome)),
        notes=tuple(_notes(outcome)),
        tables=tuple(result_tables(outcome)),
        comparisons=tuple(by_evaluation(comparison([own], published_rows()))),
        papers=tuple(papers().values()),
        sections=tuple(pages),
        missing=tuple(_missing(inputs, outcome)),
    )


def _data(inputs: ReportInputs) -> str:
    return "phantoms" if inputs.phantoms else str(inputs.params["corpus"]["name"]).replace("_", "-")


def _cautions(inputs: ReportInputs, outcome: Outcome) -> Iterator[str]:
    if inputs.phantoms:
        yield (
            "All images here are phantoms drawn by this project, in the layouts of the named datasets. Their figures "
            "show that the pipeline works, say nothing about patients and cannot be set against the papers' figures."
        )
    if inputs.params["scale"] == "tiny":
        yield "The scale is `tiny`, a smoke test: its figures mean nothing."
    if outcome.imported:
        yield (
            f"The model {outcome.imported} was imported: parameters of training do not apply to it, and whether it saw "
            "any of these images is for those who trained it to say."
        )
    elif outcome.training and outcome.training["train_images"] < FEW_TRAINING_IMAGES:
        yield f"Pre-trained on {outcome.training['train_images']} images only: the figures mean little."
    sizes = {full_name(benchmark): results["counts"]["images"] for benchmark, results in outcome.zero_shot.items()}
    if few := [f"{name} ({size})" for name, size in sizes.items() if size < FEW_TEST_IMAGES]:
        yield f"Fewer than {FEW_TEST_IMAGES} test images, so that the figures mean little: {', '.join(few)}."
    if any(_notes(outcome)):
        yield "Which findings have few images, and what was left out, is told by the notes at the end."


def _notes(outcome: Outcome) -> Iterator[str]:
    for task, benchmarks in outcome.tasks.items():
        for benchmark, results in benchmarks.items():
            broken = results.get("counts", {}).get("images_not_decoded", 0)
            left_out = [f"Left out as they cannot be decoded: {broken}."] if broken else []
            for note in [*left_out, *results.get("notes", [])]:
                yield f"{TASKS[task]}, {full_name(benchmark)}: {note}"


def _sections(inputs: ReportInputs, outcome: Outcome) -> Iterator[Section]:
    yield from _what_it_finds(outcome)
    yield from _what_it_learns(outcome)
    yield from _what_it_tells_apart(outcome)
    if not outcome.imported:
        yield from _how_it_came_about(inputs, outcome)


def _what_it_finds(outcome: Outcome) -> Iterator[Section]:
    """Without a label: the zero-shot evaluations."""
    yield Section(
        "zero-shot",
        "Finding diseases without training on labels",
        "Every finding is asked for by a text prompt. Only test images are shown; intervals resample patients.",
        tuple(zero_shot_pictures(outcome)),
    )
    yield Section(
        "wording",
        "How much the wording matters",
        "The same findings asked for by name, in a short sentence, in the words of a structured label, and by an "
        "explanation of what they look like.",
        tuple(wording_pictures(outcome)),
    )
    yield Section(
        "subgroups",
        "For whom it works",
        "The zero-shot scores within parts of the test images, where the dataset names sex, age or view.",
        tuple(subgroup_pictures(outcome)),
    )
    yield Section(
        "grounding",
        "Pointing at what was found",
        "The heat map shows where the model looks for a finding; bright should lie inside the box. Only images with "
        "boxes are asked.",
        tuple(grounding_pictures(outcome)),
    )


def _what_it_learns(outcome: Outcome) -> Iterator[Section]:
    """From labels and masks: the fine-tuned evaluations."""
    rule = next((results["empty_mask_rule"] for results in outcome.tasks["segmentation"].values()), "")
    yield Section(
        "finetune",
        "Learning from few labels",
        "A classifier is trained on a part of the labelled training images, starting from different image encoders. "
        "Intervals cover the test patients and the draws of the part.",
        tuple(finetune_pictures(outcome)),
    )
    yield Section(
        "segmentation",
        "Outlining a finding",
        f"A decoder is trained on a part of the training masks, on top of different image encoders. Validation "
        f"images choose the threshold, and how small a mask counts as none. {rule}",
        tuple(segmentation_pictures(outcome)),
    )


def _what_it_tells_apart(outcome: Outcome) -> Iterator[Section]:
    """Among texts and images: retrieval, and maps of the embeddings."""
    yield Section(
        "retrieval",
        "Finding the text to an image, and the image to a text",
        "An answer is right when it carries the same label as what was asked.",
        tuple(retrieval_pictures(outcome)),
    )
    yield Section(
        "spaces",
        "What it tells apart",
        "Points are what a model makes of an image; distances in such maps mean little, so each map comes with a "
        "number that was measured before it was drawn.",
        tuple(space_pictures(outcome)),
    )


def _how_it_came_about(inputs: ReportInputs, outcome: Outcome) -> Iterator[Section]:
    """Its training, and the corpus behind it."""
    yield Section(
        "training",
        "How it trained",
        "The weights of the best validation epoch are the ones evaluated.",
        tuple(training_pictures(outcome)),
    )
    yield Section(
        "source",
        "What it learned from",
        "Reports become triplets of pathology, anatomy and existence, and these become labels.",
        tuple(source_pictures(inputs, outcome)),
    )


def _missing(inputs: ReportInputs, outcome: Outcome) -> Iterator[str]:
    parts = {
        "zero-shot classification": outcome.zero_shot,
        "grounding (no benchmark with boxes)": outcome.grounding,
        "training curves": outcome.curves is not None,
        "fine-tuned classification": outcome.tasks["finetune"],
        "fine-tuned segmentation": outcome.tasks["segmentation"],
        "retrieval": outcome.tasks["retrieval"],
        "UMAP of diseased against healthy images": outcome.finding_points,
        "t-SNE of the two streams (of a model that has them)": outcome.streams is not None,
        "extraction quality (the true triplets are known of phantoms only)": extraction_scores(outcome),
        "contact sheet (phantoms only)": inputs.contact_sheet is not None and inputs.contact_sheet.is_file(),
    }
    return (name for name, found in parts.items() if not found)
