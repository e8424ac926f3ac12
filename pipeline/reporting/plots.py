"""Tables that DVC draws (`dvc plots show`, `dvc plots diff`), from the JSON files of the evaluations and the curves.

DVC wants the columns of a plot by name, and methods differ in theirs: what only some have is a folder of tables.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl


def write_plots(reports: Path, evaluated: Mapping[str, Sequence[str]], curves: pl.DataFrame | None) -> None:
    """Write reports/plots anew: per_finding.csv, data_efficiency.csv, loss_terms/*.csv and validation_auroc/*.csv.

    Args:
        reports: the folder of the evaluations' JSON files.
        evaluated: benchmarks by task; of `zero_shot` the AUROC of each finding is written, of `finetune` the mean
            AUROC over its benchmarks, by percent of the training images and one column per kind of initial weights.
        curves: a row per epoch, with the columns of reports/pretrain/curves.csv; None of an imported model.
    """
    found = {
        task: {name: json.loads((reports / task / f"{name}.json").read_text()) for name in evaluated.get(task, ())}
        for task in ("zero_shot", "finetune")
    }
    findings = [
        {"finding": f"{benchmark} {finding}", "auroc": row["auroc"]}
        for benchmark, results in found["zero_shot"].items()
        for finding, row in results["per_class"].items()
    ]
    tuned = [
        {"percent": int(percent), "init": init, "auroc": row["auroc"]}
        for results in found["finetune"].values()
        for init, runs in results["runs"].items()
        for percent, row in runs.items()
    ]
    per_finding = pl.DataFrame(findings, schema={"finding": pl.String, "auroc": pl.Float64})
    means = pl.DataFrame(tuned, schema={"percent": pl.Int64, "init": pl.String, "auroc": pl.Float64}).pivot(
        "init", index="percent", values="auroc", aggregate_function="mean"
    )
    folder = reports / "plots"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("loss_terms", "validation_auroc"):
        (folder / name).mkdir(parents=True)
    per_finding.write_csv(folder / "per_finding.csv", float_precision=6)
    means.sort("percent").write_csv(folder / "data_efficiency.csv", float_precision=6)
    if curves is not None:
        _write_curves(curves, folder)


def _write_curves(curves: pl.DataFrame, folder: Path) -> None:
    """A table per term of the loss, and one per kind of query."""
    for name in curves.columns:
        kind = name.removeprefix("validation_auroc_")
        if kind != name:
            shown = curves.select("epoch", auroc=name)
            shown.write_csv(folder / f"validation_auroc/{kind}.csv", float_precision=6)
        elif name != "loss" and f"validation_{name}" in curves.columns:
            shown = curves.select("epoch", training=name, validation=f"validation_{name}")
            shown.write_csv(folder / f"loss_terms/{name}.csv", float_precision=6)
