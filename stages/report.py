"""Tables, figures, the Markdown report and one HTML page; the papers' rows and every result in MLflow."""

from pathlib import Path

from pipeline.kept_scores import keep_scores
from pipeline.reporting.page import write_report
from pipeline.reporting.plots import write_plots
from pipeline.reporting.published import published_rows
from pipeline.reporting.results import ReportInputs, load_outcome
from pipeline.tracking import log_artifacts, log_evaluation, log_published
from stages.common import run, stage_params
from stages.trained import PRETRAINED, model_hash, stored_training

REPORTS = Path("reports")
CONTACT_SHEET = Path("data/phantom/contact_sheet.png")


def main() -> None:
    params = stage_params(
        "method", "scale", "data", "corpus", "benchmarks", "corpus_benchmarks", "grounding", "finding_maps", "unseen",
        "retrieval", "finetune",
    )  # fmt: skip
    described = params.model_dump(mode="json")
    sheet = CONTACT_SHEET if CONTACT_SHEET.is_file() else None
    files = write_report(ReportInputs(REPORTS, sheet, described), REPORTS)
    outcome = load_outcome(REPORTS, described)
    write_plots(REPORTS, {task: [*results] for task, results in outcome.tasks.items()}, outcome.curves)
    training, weights = stored_training(), model_hash()
    for task, benchmarks in outcome.tasks.items():  # here, as an evaluation restored from DVC's cache does not run
        for name, results in benchmarks.items():
            path = REPORTS / task / f"{name}.json"
            keep_scores(weights, task, path)
            log_evaluation(weights, training, task, name, results, [path])
    log_artifacts(weights, training, [PRETRAINED / "README.md", *files], "report")
    log_published(published_rows())


if __name__ == "__main__":
    run(main)
