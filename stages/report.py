"""Tables, figures, the Markdown report and one HTML page; the papers' rows and every result in MLflow."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.kept_scores import keep_scores
from pipeline.naming import flat
from pipeline.params import Params, compose
from pipeline.reporting.page import write_report
from pipeline.reporting.plots import write_plots
from pipeline.reporting.published import published_rows
from pipeline.reporting.results import ReportInputs, load_outcome
from pipeline.tracking import Training, log_artifacts, log_evaluation, log_published
from stages.common import run, stage_params
from stages.trained import PRETRAINED, model_hash, stored_training

REPORTS = Path("reports")
CONTACT_SHEET = Path("data/phantom/contact_sheet.png")


def main() -> None:
    params = stage_params(
        "method", "scale", "data", "corpus", "benchmarks", "corpus_benchmarks", "grounding", "finding_maps", "unseen",
        "retrieval", "evaluation", "finetune",
    )  # fmt: skip
    described = params.model_dump(mode="json")
    sheet = CONTACT_SHEET if CONTACT_SHEET.is_file() else None
    inputs = ReportInputs(REPORTS, sheet, described)
    page, *files = write_report(inputs, REPORTS)
    if inputs.phantoms:
        files.append(page)  # elsewhere it shows films of patients, and MLflow's store may be on another machine
    outcome = load_outcome(REPORTS, described)
    write_plots(REPORTS, {task: [*results] for task, results in outcome.tasks.items()}, outcome.curves)
    training, weights = evaluated(params, stored_training(), model_hash())
    for task, benchmarks in outcome.tasks.items():  # here, as an evaluation restored from DVC's cache does not run
        for name, results in benchmarks.items():
            path = REPORTS / task / f"{name}.json"
            keep_scores(weights, task, path)
            log_evaluation(weights, training, task, name, results, [path])
    log_artifacts(weights, training, [PRETRAINED / "README.md", *files], "report")
    log_published(published_rows())


def evaluated(params: Params, training: Training, weights: str) -> tuple[Training, str]:
    """The run that the results belong to, and what it is found by: the model's own, or one of another evaluation."""
    chosen = _evaluation(params.model_dump(mode="json"))
    defaults = _evaluation(compose(Path("conf"), [f"method={params.method}", f"scale={params.scale}"])[1])
    if flat(chosen) == flat(defaults):
        return training, weights
    suffix = "-" + sha256(json.dumps(flat(chosen), sort_keys=True).encode()).hexdigest()[:8]
    other = replace(
        training,
        key=training.key + suffix,
        params={**training.params, **chosen},
        defaults={**training.defaults, **defaults},
    )
    return other, weights + suffix


def _evaluation(params: Mapping[str, Any]) -> dict[str, Any]:
    """How models are evaluated, but for which benchmarks they are evaluated on."""
    finetune = {name: value for name, value in params["finetune"].items() if name not in ("benchmarks", "segmentation")}
    return {"evaluation": dict(params["evaluation"]), "finetune": finetune}


if __name__ == "__main__":
    run(main)
