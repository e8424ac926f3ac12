"""Extract triplets from the reports; score them where the truth is known."""

from pathlib import Path
from typing import Any

import polars as pl

from pipeline.schemas import STUDIES, TRIPLETS, read_table, write_table
from pipeline.triplets import extract, score
from stages.common import run, stage_params, workers, write_metrics


def main() -> None:
    params = stage_params("data", "extraction")
    studies = read_table(Path("data/corpus/studies.parquet"), STUDIES)
    reports = studies.select("study_id", text="report")
    triplets = extract(reports, source=params.extraction.source, workers=workers())
    write_table(triplets, Path("data/triplets.parquet"), TRIPLETS)
    metrics: dict[str, Any] = {"studies": len(studies), "extracted": len(triplets)}
    truth = Path(params.data.root) / "truth" / "triplets.parquet"
    if truth.is_file():
        known = pl.read_parquet(truth).join(studies.select("study_id"), on="study_id", how="semi")
        scored = score(triplets, known)
        metrics |= {**scored, **scored["triplets"]}  # the headline figures at the top level too
    write_metrics(Path("reports/triplets.json"), metrics)


if __name__ == "__main__":
    run(main)
