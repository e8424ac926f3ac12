"""What a report says: the answer first, then tables and figures, each with one sentence on what to see.

Turns results into text and pictures once, for the HTML page and the Markdown alike. Quotes no report of a patient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.reporting.compare import Comparison, Row, comparison, figure
from pipeline.reporting.downstream import (
    DIRECTIONS,
    INITS,
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
from pipeline.reporting.published import MAIN_MODELS, Paper, papers, published_rows
from pipeline.reporting.results import Outcome, ReportInputs, Results
from pipeline.reporting.spaces import space_pictures

METHODS = {"medslip": "MeDSLIP", "medfilip": "MedFILIP"}
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
    findings: tuple[str, ...]  # one sentence per evaluation
    cautions: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]  # the first row is the head
    comparisons: tuple[Comparison, ...]  # one per task
    papers: tuple[Paper, ...]
    sections: tuple[Section, ...]
    missing: tuple[str, ...]


def tell(inputs: ReportInputs, outcome: Outcome) -> Story:
    """Put the results of a run into words and pictures."""
    method = METHODS[inputs.params["method"]]
    own = Row(f"this run ({method})", "", False, outcome.metrics())
    pages = [section for section in _sections(inputs, outcome) if section.pictures]
    return Story(
        title=f"{method} on {_data(inputs)}",
        answer=_answer(inputs, outcome, method),
        findings=tuple(_findings(inputs, outcome)),
        cautions=tuple(_cautions(inputs, outcome)),
        table=tuple(_table(outcome)),
        comparisons=tuple(_by_task(comparison([own], published_rows()))),
        papers=tuple(papers().values()),
        sections=tuple(pages),
        missing=tuple(_missing(inputs, outcome)),
    )


def _by_task(compared: Comparison) -> Iterator[Comparison]:
    """The columns of each task by themselves, with the rows that have any of them: a telephone is narrow."""
    for task in dict.fromkeys(column.partition(".")[0] for column in compared.columns):
        columns = tuple(column for column in compared.columns if column.startswith(f"{task}."))
        rows = tuple(row for row in compared.rows if not row.metrics.keys().isdisjoint(columns))
        yield Comparison(columns, rows)


def _data(inputs: ReportInputs) -> str:
    return "phantoms" if inputs.phantoms else str(inputs.params["corpus"]["name"]).replace("_", "-")


def _answer(inputs: ReportInputs, outcome: Outcome, method: str) -> str:
    asked = "then asked for findings by text prompts alone, without any labelled image (zero-shot)."
    if outcome.imported:
        return f"{method} was not trained here but imported ({outcome.imported}), {asked} On test images:"
    images = f"{outcome.training['train_images']:,} " if outcome.training else ""
    source = (
        "phantoms, chest X-rays and reports that this project draws itself"
        if inputs.phantoms
        else f"the corpus {inputs.params['corpus']['name']}"
    )
    return f"{method} was pre-trained on {images}images of {source}, {asked} On images that it had not seen:"


def _findings(inputs: ReportInputs, outcome: Outcome) -> Iterator[str]:
    for benchmark, results in outcome.zero_shot.items():
        count = len(results["per_class"])
        over = f"macro AUROC over {count} findings" if count > 1 else f"AUROC of {next(iter(results['per_class']))}"
        images = f"{results['counts']['images']:,} images"
        yield (
            f"{full_name(benchmark)}: {over} {_with_interval(results, 'auroc')} on {images}"
            f"{_theirs(inputs, f'zero_shot.{benchmark}', 'auroc', '')}"
            f"{_theirs(inputs, f'zero_shot.{benchmark}', 'f1_oracle', 'an F1 of ')}."
        )
    for benchmark, results in outcome.grounding.items():
        yield (
            f"{full_name(benchmark)}, grounding: the heat map's maximum lies in a box with a frequency of "
            f"{_with_interval(results, 'pointing_game')}; chance gives {figure(results['chance']['pointing_game'])}"
            f"{_theirs(inputs, f'grounding.{benchmark}', 'pointing_game', '')}."
        )
    for task, metric, word in (("finetune", "auroc", "AUROC"), ("segmentation", "dice", "Dice")):
        for benchmark, results in outcome.tasks[task].items():
            yield _learned(inputs, task, benchmark, metric, word, results)
    for name, results in outcome.tasks["retrieval"].items():
        shares = [
            f"{figure(results[key]['p_at_10'])} from {words} (chance {figure(results[key]['chance_p_at_10'])})"
            for key, words in DIRECTIONS.items()
        ]
        yield f"Retrieval in {full_name(name)}: of the first ten answers are right {' and '.join(shares)}."
    for benchmark, results in outcome.tasks["unseen"].items():
        yield (
            f"{full_name(benchmark)}, a disease never seen in training: AUROC {figure(results['explanation'])} asked "
            f"by its explanation and {figure(results['category'])} by its name."
        )


def _learned(inputs: ReportInputs, task: str, benchmark: str, metric: str, word: str, results: Results) -> str:
    """Figures by share of the training images, beside those of the other initialisations, in one sentence."""
    percents = sorted(results["runs"]["pretrained"], key=float)
    told = [
        f"{' / '.join(figure(rows[percent][metric]) for percent in percents)} {INITS.get(init, init)}"
        for init, rows in results["runs"].items()
    ]
    verb = {"finetune": "fine-tuned", "segmentation": "outlined"}[task]
    shares = " / ".join(percents)
    theirs = _theirs(inputs, f"{task}.{benchmark}", f"{metric}_{percents[0]}", f"for {percents[0]} % ")
    return f"{full_name(benchmark)}, {verb} after {shares} % of the training images: {word} {', '.join(told)}{theirs}."


def _theirs(inputs: ReportInputs, evaluation: str, metric: str, what: str) -> str:
    """The figure of the method's authors, said to be theirs and measured on other data."""
    row = next(row for row in published_rows() if row.key == MAIN_MODELS[inputs.params["method"]])
    name = f"{evaluation}.{metric}"
    if name not in row.metrics or (metric == "f1_oracle" and f"{evaluation}.auroc" in row.metrics):
        return ""
    paper = papers()[inputs.params["method"]].name
    return f" (the {paper} prints {what}{figure(row.metrics[name])}, on its own data)"


def _with_interval(results: Results, metric: str) -> str:
    low, high = results["intervals"][metric]
    return f"{figure(results[metric])} (95 % interval {figure(low)} to {figure(high)})"


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
    for benchmark, results in outcome.zero_shot.items():
        if results["counts"]["images"] < FEW_TEST_IMAGES:
            yield f"{full_name(benchmark)} has {results['counts']['images']} test images only: its figures mean little."
    for task, benchmarks in outcome.tasks.items():
        for benchmark, results in benchmarks.items():
            for note in results.get("notes", []):
                yield f"{full_name(benchmark)}, {task.replace('_', ' ')}: {note}"


def _table(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    yield "evaluation", "headline", "95 % interval", "F1", "accuracy", "F1 oracle", "accuracy oracle", "images"
    for benchmark, results in outcome.zero_shot.items():
        scores = [figure(results[name]) for name in ("f1", "accuracy", "f1_oracle", "accuracy_oracle")]
        images = f"{results['counts']['images']:,}"
        yield (
            f"{full_name(benchmark)}, zero-shot",
            f"AUROC {figure(results['auroc'])}",
            _interval(results, "auroc"),
            *scores,
            images,
        )
    for benchmark, results in outcome.grounding.items():
        images = f"{results['counts']['images']:,}"
        for name, word in (("pointing_game", "pointing game"), ("iou", "IoU"), ("dice", "Dice")):
            row = f"{full_name(benchmark)}, grounding", f"{word} {figure(results[name])}", _interval(results, name)
            yield *row, "", "", "", "", images
    yield from _learned_rows(outcome)


def _learned_rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Fine-tuned evaluations of the pre-trained model, a row per share of the training images."""
    tasks = (("finetune", "auroc", "AUROC", "fine-tuned"), ("segmentation", "dice", "Dice", "outlined"))
    for task, metric, word, verb in tasks:
        for benchmark, results in outcome.tasks[task].items():
            for percent, run in sorted(results["runs"]["pretrained"].items(), key=lambda item: float(item[0])):
                low, high = run[f"{metric}_interval"]
                row = f"{full_name(benchmark)}, {verb}, {percent} %", f"{word} {figure(run[metric])}"
                yield *row, f"{figure(low)}–{figure(high)}", "", "", "", "", ""


def _interval(results: Results, metric: str) -> str:
    low, high = results["intervals"][metric]
    return f"{figure(low)}–{figure(high)}"


def _sections(inputs: ReportInputs, outcome: Outcome) -> Iterator[Section]:
    yield Section(
        "zero-shot",
        "Finding diseases without training on labels",
        "Every finding is asked for by a text prompt. Only test images are shown; intervals resample patients.",
        tuple(zero_shot_pictures(outcome)),
    )
    yield Section(
        "wording",
        "How much the wording matters",
        "The same findings asked for by name, in a short sentence, and by an explanation of what they look like.",
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
    yield Section(
        "finetune",
        "Learning from few labels",
        "A classifier is trained on a part of the labelled training images, starting from different image encoders. "
        "Intervals cover the test patients and the draws of the part.",
        tuple(finetune_pictures(outcome)),
    )
    yield Section(
        "segmentation",
        "Outlining",
        "A decoder is trained on a part of the training masks, on top of different image encoders.",
        tuple(segmentation_pictures(outcome)),
    )
    yield Section(
        "retrieval",
        "Finding the text to an image, and the image to a text",
        "An answer is right when it carries the same label as what was asked.",
        tuple(retrieval_pictures(outcome)),
    )
    yield Section(
        "spaces",
        "What it tells apart",
        "Each point is an image as the model represents it; distances in such maps mean little, so each comes with a "
        "number measured before it was drawn.",
        tuple(space_pictures(outcome)),
    )
    if outcome.imported:
        return
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
