"""The figures of a report with their titles and the sentence that says what to see in each.

Chooses what to draw from the results of zero-shot classification, training and extraction (`downstream` and `spaces`
do for the others); `figures`, `bars` and `maps` draw it and `story` puts it in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from pipeline.evaluation.metrics import ReliabilityBin, calibration_error
from pipeline.reporting import bars, figures
from pipeline.reporting.compare import figure
from pipeline.reporting.drawing import Estimate, Image
from pipeline.reporting.results import Outcome, ReportInputs, Results

Severities = dict[str, Estimate]  # severity -> macro AUROC and its interval

BENCHMARKS = {
    "cxr14": "NIH ChestX-ray14",
    "rsna": "RSNA Pneumonia",
    "siim": "SIIM-ACR Pneumothorax",
    "covidx": "COVIDx CXR-4",
    "covid_chestxray": "covid-chestxray-dataset",
    "vinbigdata": "VinBigData",
    "rahman": "COVID-19 Radiography",
    "mimic16": "MIMIC-16",
    "mimic_multi": "MIMIC-multi",
    "mimic_fg": "MIMIC-FG",
    "corpus": "the corpus' test split",
}


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name without suffix, its title, the sentence below it, and whether it shows an X-ray."""

    name: str
    title: str
    see: str
    image: Image
    wide: bool = False
    film: bool = False

    @property
    def alt(self) -> str:
        """What a reader who does not see the figure needs."""
        return f"{self.title}. {self.see}"

    @property
    def file(self) -> str:
        """The name of the figure's file."""
        return f"{self.name}.{self.image.kind}"


def zero_shot_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark the findings' bars and curves; over all benchmarks severity and reliability."""
    for benchmark, results in outcome.zero_shot.items():
        if len(results["per_class"]) > 1:
            title = f"AUROC per finding, {full_name(benchmark)}"
            image = bars.auroc_bars(results["per_class"], title)
            yield Picture(f"auroc_{benchmark}", title, _best_and_worst(results), image)
        if benchmark in outcome.scores:
            yield from _curves(benchmark, outcome)
    severities = {
        f"{full_name(name)} ({_findings(results['by_severity'])})": rows
        for name, results in outcome.zero_shot.items()
        if (rows := _severities(results))
    }
    if severities:
        see = f"{_subtle(outcome)} Points below the dotted line are worse than chance; findings in brackets."
        yield Picture("severity", "AUROC by severity", see, figures.severity_points(severities))
    if outcome.zero_shot:
        yield _reliability(outcome)


def _reliability(outcome: Outcome) -> Picture:
    calibrations = {name: results["calibration"] for name, results in outcome.zero_shot.items()}
    bins = {full_name(name): calibration["reliability"] for name, calibration in calibrations.items()}
    errors = {name: calibration_error([ReliabilityBin(**row) for row in rows]) for name, rows in bins.items()}
    listed = ", ".join(f"{name} {figure(error)}" for name, error in errors.items())
    see = (
        "Points on the diagonal are honest probabilities; expected calibration error, all findings of a benchmark "
        f"together as in the diagram: {listed}."
    )
    return Picture("reliability", "Reliability of the scores", see, figures.reliability(bins))


def _curves(benchmark: str, outcome: Outcome) -> Iterator[Picture]:
    scores = outcome.scores[benchmark]
    title = f"ROC, {full_name(benchmark)}"
    see = f"To find nine of ten positives, {figures.false_alarms(scores, 0.9):.0%} of the negatives are false alarms."
    yield Picture(f"roc_{benchmark}", title, see, figures.roc(scores, title))
    title = f"Precision and recall, {full_name(benchmark)}"
    see = (
        f"When half of the positives are found, {figures.precision_at(scores, 0.5):.0%} of what is marked is positive."
    )
    yield Picture(f"precision_recall_{benchmark}", title, see, figures.precision_recall(scores, title))


def _best_and_worst(results: Results) -> str:
    ranked = sorted(results["per_class"].items(), key=lambda item: item[1]["auroc"])
    (worst, low), (best, high) = ranked[0], ranked[-1]
    intervals = [row["auroc_interval"] for _, row in ranked]
    above, below = sum(one[0] > 0.5 for one in intervals), sum(one[1] < 0.5 for one in intervals)
    under = f", {below} below" if below else ""
    ends = f"Best is {best} ({figure(high['auroc'])}), worst {worst} ({figure(low['auroc'])})"
    return f"{ends}; {above} of {len(intervals)} intervals lie above chance (dashed line){under}."


def _severities(results: Results) -> Severities:
    counts = results.get("severity_counts", {})
    return {
        severity: (row["macro"], counts[severity]["macro_interval"])
        for severity, row in results.get("by_severity", {}).items()
        if row["macro"] is not None
    }


def _findings(by_severity: Results) -> str:
    """Over how many findings the means are, as in `14` or `9 to 14`: a severity may lack some."""
    counts = {len(row.keys() - {"macro"}) for row in by_severity.values() if row["macro"] is not None}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def _subtle(outcome: Outcome) -> str:
    """Subtle against severe, over the findings that have both."""
    both = [
        rows
        for results in outcome.zero_shot.values()
        if {"subtle", "severe"} <= (rows := results["by_severity"]).keys()
    ]
    shared = [(rows, rows["subtle"].keys() & rows["severe"].keys() - {"macro"}) for rows in both]
    means = [
        [sum(rows[severity][name] for name in names) / len(names) for severity in ("subtle", "severe")]
        for rows, names in shared if names
    ]  # fmt: skip
    harder = sum(subtle < severe for subtle, severe in means)
    return (
        f"Over the findings with both, subtle ones score lower than severe ones in {harder} of {len(means)} benchmarks."
    )


def wording_pictures(outcome: Outcome) -> Iterator[Picture]:
    """What the wording of the prompts changes, over all benchmarks."""
    styled = {name: results["by_prompt_style"] for name, results in outcome.zero_shot.items()}
    if not styled:
        return
    spreads = {name: results["prompt_sensitivity"]["auroc_range"] for name, results in outcome.zero_shot.items()}
    most, least = max(spreads, key=spreads.__getitem__), min(spreads, key=spreads.__getitem__)
    see = f"Between the best and the worst style lie {figure(spreads[most])} of AUROC"
    if len(spreads) > 1:
        see += (
            f" for {full_name(most)}, where the wording matters most, and {figure(spreads[least])} for "
            f"{full_name(least)}, where it matters least"
        )
    groups = {
        full_name(name): {style: (row["auroc"], row["auroc_interval"]) for style, row in rows.items()}
        for name, rows in styled.items()
    }
    image = bars.grouped_bars(groups, "By style of the prompt", "macro AUROC")
    yield Picture("prompt_styles", "AUROC by style of the prompt", f"{see}.", image)


def subgroup_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark that knows them, sex, age group and view."""
    for benchmark, results in outcome.zero_shot.items():
        count = len(results["per_class"])
        groups = {name: row for kind, rows in results["subgroups"].items() for name, row in _groups(kind, rows, count)}
        if groups:
            fewer = f", and findings where not all {count} can be scored" if "findings)" in " ".join(groups) else ""
            low, high = min(groups, key=lambda name: groups[name][0]), max(groups, key=lambda name: groups[name][0])
            see = (
                f"Lowest is {low} with {figure(groups[low][0])}, highest {high} with {figure(groups[high][0])}; images "
                f"in brackets{fewer}."
            )
            title = f"By sex, age and view, {full_name(benchmark)}"
            image = figures.subgroup_points(groups, results["auroc"], title)
            yield Picture(f"subgroups_{benchmark}", title, see, image)


def _groups(kind: str, rows: Results, findings: int) -> Iterator[tuple[str, Estimate]]:
    """The groups of one kind, the youngest first; none where all images are of one group.

    A group whose mean is over fewer findings than the benchmark's says so in its name.
    """
    scored = {name: row for name, row in rows.items() if row["auroc"] is not None}
    if len(scored) > 1:
        for name in sorted(scored, key=lambda name: (not name.startswith("under"), name)):
            row = scored[name]
            fewer = f", {row['findings']} findings" if row["findings"] < findings else ""
            yield f"{kind} {name} ({row['n']:,}{fewer})", (row["auroc"], row["auroc_interval"])


def training_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Curves by epoch."""
    curves, training = outcome.curves, outcome.training
    if curves is not None and training is not None:
        best = training["best_epoch"]
        see = f"Both lines should fall together; where validation turns up, the model overfits. Best epoch: {best}."
        yield Picture("loss", "Loss by epoch", see, figures.loss_curves(curves))
        see = _auroc_rise(curves, best)
        yield Picture("validation_auroc", "Validation AUROC by epoch", see, figures.auroc_curves(curves))


def _auroc_rise(curves: pl.DataFrame, best: int) -> str:
    """How far the validation AUROC came in the epoch whose weights are evaluated, in words."""
    chosen = curves.filter(pl.col("epoch") == best)
    columns = [name for name in curves.columns if name.startswith("validation_auroc")]
    kinds = [name.removeprefix("validation_auroc").strip("_") or "all findings" for name in columns]
    rises = [
        f"{kind} from {figure(curves[name][0])} to {figure(chosen[name][0])}"
        for kind, name in zip(kinds, columns, strict=True)
    ]
    return f"From the first epoch to the best ({best}), AUROC of questions about validation images: {', '.join(rises)}."


def source_pictures(inputs: ReportInputs, outcome: Outcome) -> Iterator[Picture]:
    """How good the triplets are, and what the phantoms look like."""
    scored = extraction_scores(outcome)
    if scored:
        f1, without = figure(scored["triplets"]["f1"]), figure(scored["without place"]["f1"])
        see = f"F1 of (pathology, anatomy, existence) is {f1}; ignoring the place it is {without}."
        yield Picture("extraction", "Extraction quality", see, bars.extraction_bars(scored))
    if inputs.contact_sheet is not None and inputs.contact_sheet.is_file():
        sheet = Image(inputs.contact_sheet.read_bytes(), "png")
        see = "Each finding is outlined in the colour of its caption; some are meant to be hard to see."
        yield Picture("phantoms", "Some of the phantoms", see, sheet, wide=True)


def extraction_scores(outcome: Outcome) -> dict[str, dict[str, float]]:
    """What was compared -> precision, recall and F1 over all triplets; empty where the truth is not known."""
    if outcome.triplets is None or not isinstance(outcome.triplets.get("triplets"), dict):
        return {}
    parts = {"triplets": "triplets", "without place": "pathology_existence"}
    return {
        label: {name: outcome.triplets[part][f"micro_{name}"] for name in ("precision", "recall", "f1")}
        for label, part in parts.items()
    }


def full_name(benchmark: str) -> str:
    """What a benchmark is called in print."""
    return BENCHMARKS.get(benchmark, benchmark)
