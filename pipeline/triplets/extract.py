"""Reports to triplets, by the source that `extraction.source` names.

The rules of each source are in its own module and the running of them over shards of reports in `shards`; this one only
puts the two together, with the same rows in the same order whatever runs them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import polars as pl

from pipeline.errors import ParamsError, TableError
from pipeline.triplets.llm_server import LlmConfig
from pipeline.triplets.on_ray import read_on_ray
from pipeline.triplets.radgraph_archive import RadGraphConfig, ensure_files
from pipeline.triplets.shards import Engine, Item, Source, extract_shards, read_locally

SOURCES = ("spacy", "graphs", "radgraph", "llm")
ENGINES: dict[str, Engine] = {"local": read_locally, "ray": read_on_ray}


def extract(
    reports: pl.DataFrame,
    source: str = "spacy",
    workers: int = 1,
    *,
    graphs: Path | None = None,
    radgraph: RadGraphConfig = RadGraphConfig(),
    llm: LlmConfig | None = None,
    engine: str = "local",
    working: Path | None = None,
    counts: Counter[str] | None = None,
) -> pl.DataFrame:
    """The triplets of a table of reports, in the order of the reports and of mention.

    Args:
        reports: columns study_id (each once) and text, without nulls; other columns are ignored.
        source: which extractor reads them, one of `SOURCES`.
        workers: processes to use, at least 1; the result does not depend on it.
        graphs: for the source graphs, the published file of annotations.
        radgraph: for the source radgraph, its model.
        llm: for the source llm, its endpoint.
        engine: what runs the workers, one of `ENGINES`; the result does not depend on it.
        working: a folder for finished shards, to be named by a hash of source, settings and code; an interrupted run
            goes on from there, and it is removed at the end. By default nothing is kept.
        counts: gets what the source left out, by name.

    Returns:
        One row per triplet with the columns of `schemas.TRIPLETS`; start and end are characters of the text.

    Raises:
        ParamsError: source or engine is unknown, workers is less than 1, graphs or llm is missing, or the endpoint is
            remote and not allowed.
        TableError: a column is missing, holds nulls, or lists a study twice.
        DatasetError: the annotations are not as published.
        ModelError: a file of RadGraph's model is missing or damaged.
        ExtractionError: a worker died, or the working folder cannot be used, finished shards are kept; or the endpoint
            failed, answers are kept.
    """
    if workers < 1:
        raise ParamsError(f"extraction.workers is {workers}: give at least 1.")
    if engine not in ENGINES:
        raise ParamsError(f"extraction.engine is {engine!r}: use one of {', '.join(ENGINES)}.")
    texts, counts = _texts(reports), Counter() if counts is None else counts
    reader, items = _source(source, texts, graphs, radgraph, llm, engine, counts)
    with TemporaryDirectory() as unkept:
        triplets, left_out = extract_shards(items, reader, ENGINES[engine], workers, working or Path(unkept))
    counts.update(left_out)
    if working:
        rmtree(working)
    return _in_order(triplets, list(texts))


def _source(
    name: str,
    texts: dict[str, str],
    graphs: Path | None,
    radgraph: RadGraphConfig,
    llm: LlmConfig | None,
    engine: str,
    counts: Counter[str],
) -> tuple[Source, Iterator[Item]]:
    """What makes a source's readers, and what they are to read; each brings libraries that take seconds to import."""
    match name:
        case "spacy":
            from pipeline.triplets.spacy_rules import SpacyReader

            return Source(SpacyReader), starmap(Item, texts.items())
        case "graphs":
            if graphs is None:
                raise ParamsError("extraction.graphs is not set: the source graphs reads MIMIC-CXR_graphs.json there.")
            from pipeline.triplets.graphs import GraphsReader, annotated_reports

            return Source(GraphsReader, (graphs,)), annotated_reports(graphs, texts, counts)
        case "radgraph":
            from pipeline.triplets.radgraph_model import RadGraphReader

            if engine == "local":
                ensure_files(radgraph)
            return Source(RadGraphReader, (radgraph,), gpus=1.0), starmap(Item, texts.items())
        case "llm":
            if llm is None:
                raise ParamsError("extraction.llm is not set: the source llm asks the endpoint that it describes.")
            from pipeline.triplets.llm_answers import Answers
            from pipeline.triplets.llm_rules import LlmReader

            return Source(LlmReader), Answers(llm).items(texts, counts)
        case _:
            raise ParamsError(f"extraction.source is {name!r}: use one of {', '.join(SOURCES)}.")


def _texts(reports: pl.DataFrame) -> dict[str, str]:
    """study_id -> text, in the table's order."""
    for column in ("study_id", "text"):
        if column not in reports.columns:
            raise TableError(f"The table of reports lacks the column {column}: give study_id and text.")
        if nulls := reports[column].null_count():
            raise TableError(f"The table of reports has {nulls} nulls in {column}: fill or drop them.")
    rows = reports.select(pl.col("study_id").cast(pl.String), pl.col("text").cast(pl.String)).rows()
    texts = dict(rows)
    if len(texts) < len(rows):
        repeated = next(study for study, count in Counter(study for study, _ in rows).items() if count > 1)
        raise TableError(f"The table of reports lists study {repeated} twice: keep one row of it.")
    return texts


def _in_order(triplets: pl.DataFrame, studies: Sequence[str]) -> pl.DataFrame:
    """Triplets by the order of their studies; those of a study stay as they are."""
    order = pl.DataFrame(
        {"study_id": studies, "order": range(len(studies))}, {"study_id": pl.String, "order": pl.Int64}
    )
    placed = triplets.join(order, on="study_id", how="left", maintain_order="left")
    return placed.sort("order", maintain_order=True).drop("order").rechunk()
