"""Extract triplets from the reports; score them where the truth is known."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.params import Extraction
from pipeline.schemas import STUDIES, TRIPLETS, read_table, write_table
from pipeline.triplets import extract, score, score_severity
from pipeline.triplets.llm_server import LlmConfig
from pipeline.triplets.radgraph_archive import RadGraphConfig
from pipeline.triplets.sections import Selection, count_sections
from stages.common import content_hash, run, stage_params, workers, write_metrics

NO_RADGRAPH = "pipeline/triplets/no_radgraph.json"  # stands for a folder of weights: DVC's dependencies must exist

_PRICES = {"price_per_million_input", "price_per_million_output"}


def main() -> None:
    params = stage_params("data", "extraction")
    studies = read_table(Path("data/corpus/studies.parquet"), STUDIES)
    counts: Counter[str] = Counter(studies=len(studies))
    triplets = extract(
        studies.select("study_id", text="report"),
        params.extraction.source,
        workers(),
        graphs=Path(params.extraction.graphs),
        radgraph=radgraph(params.extraction),
        llm=LlmConfig(**params.extraction.llm.model_dump(exclude=_PRICES)),
        engine=params.extraction.engine,
        working=working_folder(params.extraction),
        counts=counts,
    )
    write_table(triplets, Path("data/triplets.parquet"), TRIPLETS)
    counts["studies_without_triplets"] = len(studies) - triplets["study_id"].n_unique()
    sections = count_sections(map(Selection, studies["report"], studies["sections"]))
    metrics: dict[str, Any] = {**counts, "extracted": len(triplets), "sections": sections}
    metrics |= cost(params.extraction, counts)
    truth = Path(params.data.root) / "truth" / "triplets.parquet"
    if truth.is_file():
        known = pl.read_parquet(truth).join(studies.select("study_id"), on="study_id", how="semi")
        scored = score(triplets, known)
        metrics |= {**scored, **scored["triplets"]}  # the headline figures at the top level too
        metrics["severity"] = score_severity(triplets, known)
    write_metrics(Path("reports/triplets.json"), metrics)


def radgraph(extraction: Extraction) -> RadGraphConfig:
    """The model of the source radgraph, from the hub where no folder is named."""
    model, folder, batch = extraction.radgraph.model, extraction.radgraph.folder, extraction.radgraph.batch
    return RadGraphConfig(model, "" if folder == NO_RADGRAPH else folder, batch)


def cost(extraction: Extraction, counts: Counter[str]) -> dict[str, float]:
    """What all answers of the source llm cost, those of earlier runs too, where the prices are known."""
    prices = extraction.llm.price_per_million_input, extraction.llm.price_per_million_output
    if extraction.source != "llm" or None in prices:
        return {}
    tokens = counts["prompt_tokens"], counts["completion_tokens"]
    return {"cost": sum(price * count / 1e6 for price, count in zip(prices, tokens, strict=True) if price)}


def working_folder(extraction: Extraction) -> Path:
    """Where finished shards wait, by what determines them; what a source reads is in the shards' names."""
    settings = extraction.model_dump(exclude={"graphs": True, "radgraph": {"batch"}, "llm": True, "engine": True})
    weights = [Path(extraction.radgraph.folder, extraction.radgraph.model)] if extraction.source == "radgraph" else []
    key = json.dumps([settings, content_hash([Path("pipeline/triplets"), *weights])], sort_keys=True)
    return Path(".checkpoints/triplets") / sha256(key.encode()).hexdigest()[:24]


if __name__ == "__main__":
    run(main)
