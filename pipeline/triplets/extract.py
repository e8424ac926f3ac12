"""Reports to triplets, by the source that `extraction.source` names.

The rules of each source are in its own module; this one only runs them over a table of reports, on one core or several,
with the same rows in the same order.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from multiprocessing import get_context
from typing import TYPE_CHECKING

import polars as pl

from pipeline.errors import ParamsError, TableError
from pipeline.triplets.lexicon import load_lexicon

if TYPE_CHECKING:
    from pipeline.triplets.spacy_rules import SpacyRules

SOURCES = ("spacy",)
COLUMNS: dict[str, type[pl.DataType]] = {
    "study_id": pl.String,
    "sentence": pl.Int32,
    "pathology": pl.String,
    "anatomy": pl.String,
    "existence": pl.String,
    "severity": pl.String,
    "start": pl.Int32,
    "end": pl.Int32,
}
_CHUNK = 2000  # reports a worker reads at a time

Report = tuple[str, str]  # study_id, text
Row = tuple[str, int, str, str, str, str | None, int, int]


def extract(reports: pl.DataFrame, source: str = "spacy", workers: int = 1) -> pl.DataFrame:
    """The triplets of a table of reports, in the order of the reports and of mention.

    Args:
        reports: columns study_id and text (no nulls); other columns are ignored.
        source: which extractor reads them, one of `SOURCES`.
        workers: processes to use, at least 1; the result does not depend on it.

    Returns:
        One row per triplet with the columns of `schemas.TRIPLETS`; start and end are characters of the text.

    Raises:
        ParamsError: the source is unknown, or workers is less than 1.
        TableError: a column is missing or holds nulls.
    """
    if workers < 1:
        raise ParamsError(f"extraction.workers is {workers}: give at least 1.")
    pairs = _pairs(reports)
    match source:
        case "spacy":
            rows = _spacy_rows(pairs, workers)
        case _:
            raise ParamsError(f"extraction.source is {source!r}: use one of {', '.join(SOURCES)}.")
    return pl.DataFrame(list(rows), schema=COLUMNS, orient="row")


def _pairs(reports: pl.DataFrame) -> list[Report]:
    for column in ("study_id", "text"):
        if column not in reports.columns:
            raise TableError(f"The table of reports lacks the column {column}: give study_id and text.")
        if nulls := reports[column].null_count():
            raise TableError(f"The table of reports has {nulls} nulls in {column}: fill or drop them.")
    return reports.select(pl.col("study_id").cast(pl.String), pl.col("text").cast(pl.String)).rows()


def _spacy_rows(pairs: list[Report], workers: int) -> Iterable[Row]:
    chunks = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    if workers == 1 or len(chunks) < 2:
        return chain.from_iterable(map(_read_chunk, chunks))
    return _in_processes(chunks, min(workers, len(chunks)))


def _in_processes(chunks: list[list[Report]], workers: int) -> Iterator[Row]:
    with get_context("spawn").Pool(workers) as pool:
        yield from chain.from_iterable(pool.imap(_read_chunk, chunks))


def _read_chunk(chunk: list[Report]) -> list[Row]:
    rules = _rules()
    return [(study, *triplet) for study, text in chunk for triplet in rules.read(text)]


@cache
def _rules() -> "SpacyRules":
    from pipeline.triplets.spacy_rules import SpacyRules  # spaCy takes seconds to import; most stages do without

    return SpacyRules(load_lexicon())
