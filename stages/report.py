"""Tables, figures, the Markdown report and one HTML page; the papers' rows and every result in MLflow."""

import json
from pathlib import Path

from pipeline.reporting.page import write_report
from pipeline.reporting.published import published_rows
from pipeline.reporting.results import ReportInputs
from pipeline.tracking import log_artifacts, log_evaluation, log_published
from stages.common import run, stage_params
from stages.trained import PRETRAINED, model_hash, stored_training

REPORTS = Path("reports")
CONTACT_SHEET = Path("data/phantom/contact_sheet.png")


def main() -> None:
    params = stage_params("method", "scale", "data", "corpus", "benchmarks", "grounding", "finetune")
    described = params.model_dump(mode="json")
    evaluated = {"zero_shot": [*params.benchmarks], "grounding": [*params.grounding]}
    evaluated |= {"finetune": [*params.finetune.benchmarks], "segmentation": [*params.finetune.segmentation]}
    sheet = CONTACT_SHEET if CONTACT_SHEET.is_file() else None
    files = write_report(ReportInputs(REPORTS, sheet, described), REPORTS)
    training, weights = stored_training(), model_hash()
    for task, benchmarks in evaluated.items():  # here, because an evaluation restored from DVC's cache does not run
        for name in benchmarks:
            path = REPORTS / task / f"{name}.json"
            log_evaluation(weights, training, task, name, json.loads(path.read_text()), [path])
    log_artifacts(weights, training, [PRETRAINED / "README.md", *files], "report")
    log_published(published_rows())


if __name__ == "__main__":
    run(main)
