"""Tables that DVC draws (`dvc plots show`, `dvc plots diff`), from the JSON files of the evaluations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl


def write_plots(reports: Path, evaluated: Mapping[str, Sequence[str]]) -> None:
    """Write reports/plots/per_finding.csv and data_efficiency.csv.

    Args:
        reports: the folder of the evaluations' JSON files.
        evaluated: benchmarks by task; of `zero_shot` the AUROC of each finding is written, of `finetune` the mean
            AUROC over its benchmarks, by percent of the training images and one column per kind of initial weights.
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
    folder.mkdir(parents=True, exist_ok=True)
    per_finding.write_csv(folder / "per_finding.csv", float_precision=6)
    means.sort("percent").write_csv(folder / "data_efficiency.csv", float_precision=6)
