"""The figures of a report with their titles and the sentence that says what to see in each.

Chooses what to draw from the results; `figures` draws it and `story` puts it in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.reporting import figures
from pipeline.reporting.compare import figure
from pipeline.reporting.figures import Image
from pipeline.reporting.results import HeatMaps, Outcome, ReportInputs, Results

Severities = dict[str, tuple[float, Sequence[float] | None]]  # severity -> macro AUROC and its interval

BENCHMARKS = {
    "cxr14": "NIH ChestX-ray14",
    "rsna": "RSNA Pneumonia",
    "siim": "SIIM-ACR Pneumothorax",
    "covidx": "COVIDx CXR-4",
    "covid_chestxray": "covid-chestxray-dataset",
    "vinbigdata": "VinBigData",
    "rahman": "COVID-19 Radiography",
}


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name without suffix, its title, the sentence below it, and what stands for it unseen."""

    name: str
    title: str
    see: str
    image: Image
    wide: bool = False

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
            image = figures.auroc_bars(results["per_class"], title)
            yield Picture(f"auroc_{benchmark}", title, _best_and_worst(results), image)
        if benchmark in outcome.scores:
            yield from _curves(benchmark, outcome)
    severities = {name: rows for name, results in outcome.zero_shot.items() if (rows := _severities(results))}
    if severities:
        see = f"{_subtle(severities)} Points below the dotted line are worse than chance."
        yield Picture("severity", "AUROC by severity", see, figures.severity_points(severities))
    if outcome.zero_shot:
        yield _reliability(outcome)


def _reliability(outcome: Outcome) -> Picture:
    calibrations = {name: results["calibration"] for name, results in outcome.zero_shot.items()}
    errors = ", ".join(f"{name} {figure(calibration['ece'])}" for name, calibration in calibrations.items())
    see = f"Points on the diagonal are honest probabilities; expected calibration error: {errors}."
    bins = {name: calibration["reliability"] for name, calibration in calibrations.items()}
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
    unsure = sum(row["auroc_interval"][0] <= 0.5 for _, row in ranked)
    ends = f"Best is {best} ({figure(high['auroc'])}), worst {worst} ({figure(low['auroc'])})"
    return f"{ends}; {unsure or 'none'} of the {len(ranked)} intervals reach chance (dashed line)."


def _severities(results: Results) -> Severities:
    counts = results.get("severity_counts", {})
    return {
        severity: (row["macro"], counts[severity]["macro_interval"])
        for severity, row in results.get("by_severity", {}).items()
        if row["macro"] is not None
    }


def _subtle(severities: Mapping[str, Severities]) -> str:
    both = [rows for rows in severities.values() if {"subtle", "severe"} <= rows.keys()]
    harder = sum(rows["subtle"][0] < rows["severe"][0] for rows in both)
    return f"Subtle findings score lower than severe ones in {harder} of the {len(both)} benchmarks that have both."


def grounding_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Per benchmark with boxes its scores beside chance, and examples."""
    for benchmark, results in outcome.grounding.items():
        title = f"Grounding, {full_name(benchmark)}"
        ratio = results["pointing_game"] / max(results["chance"]["pointing_game"], 1e-9)
        see = f"The pointing game succeeds {ratio:.1f} times as often as chance."
        yield Picture(f"grounding_{benchmark}", title, see, figures.grounding_bars(results, title))
    for benchmark, maps in outcome.heat_maps.items():
        yield from _heat_maps(benchmark, maps)


def _heat_maps(benchmark: str, maps: HeatMaps) -> Iterator[Picture]:
    for place, caption in enumerate(maps.captions):
        boxes = maps.boxes[maps.boxes[:, 0] == place, 1:]
        image = figures.heat_map(maps.images[place], maps.maps[place], boxes)
        found = figures.peaks_inside(maps.maps[place], boxes, maps.images.shape[-1])
        see = f"The attention (right) peaks {'inside' if found else 'outside'} the box."
        yield Picture(f"heat_map_{benchmark}_{place}", f"{full_name(benchmark)}: {caption}", see, image)


def training_pictures(outcome: Outcome) -> Iterator[Picture]:
    """Curves by epoch, and the map of the two streams."""
    curves = outcome.curves
    if curves is not None:
        best = outcome.training["best_epoch"] if outcome.training else "?"
        see = f"Both lines should fall together; where validation turns up, the model overfits. Best epoch: {best}."
        yield Picture("loss", "Loss by epoch", see, figures.loss_curves(curves))
        see = "How well each stream's own queries are answered on validation images, by epoch."
        yield Picture("validation_auroc", "Validation AUROC by epoch", see, figures.auroc_curves(curves))
    if outcome.streams is not None:
        score = f"; their silhouette score is {figure(outcome.silhouette)}" if outcome.silhouette is not None else ""
        see = f"Two separate clouds mean that pathology and anatomy are disentangled{score} (1 apart, 0 mixed)."
        yield Picture("streams", "t-SNE of the two streams", see, figures.streams(outcome.streams))


def source_pictures(inputs: ReportInputs, outcome: Outcome) -> Iterator[Picture]:
    """How good the triplets are, and what the phantoms look like."""
    scored = extraction_scores(outcome)
    if scored:
        f1, without = figure(scored["triplets"]["f1"]), figure(scored["without place"]["f1"])
        see = f"F1 of (pathology, anatomy, existence) is {f1}; ignoring the place it is {without}."
        yield Picture("extraction", "Extraction quality", see, figures.extraction_bars(scored))
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
