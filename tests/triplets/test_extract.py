"""The table of triplets: schema, order, workers, bad input and hostile text, from both sources."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl
import pytest

from pipeline.errors import ParamsError, TableError
from pipeline.schemas import TRIPLETS, read_table, write_table
from pipeline.triplets import extract, shards

_REPORTS = pl.DataFrame({
    "study_id": ["b", "a", "c"],
    "text": ["Large left effusion. No edema.", "Normal heart.", ""],
    "other": [1, 2, 3],
})  # fmt: skip


def test_rows_follow_the_reports():
    assert extract(_REPORTS).rows() == [
        ("b", 0, "pleural effusion", "left pleura", "present", "severe", 11, 19),
        ("b", 1, "edema", "lung", "absent", None, 24, 29),
        ("a", 0, "normal", "heart", "present", None, 0, 6),
    ]


def test_it_is_written_under_its_schema(tmp_path):
    write_table(extract(_REPORTS), tmp_path / "triplets.parquet", TRIPLETS)
    assert read_table(tmp_path / "triplets.parquet", TRIPLETS).equals(extract(_REPORTS))


def test_no_reports_give_an_empty_table(tmp_path):
    empty = extract(_REPORTS.clear())
    assert empty.is_empty()
    write_table(empty, tmp_path / "triplets.parquet", TRIPLETS)


def test_workers_change_nothing(monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 2)
    assert extract(_REPORTS, workers=2).equals(extract(_REPORTS))


def test_the_working_folder_is_removed_at_the_end(tmp_path):
    extract(_REPORTS, working=tmp_path / "working")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [{"source": "regex"}, {"source": ""}, {"workers": 0}, {"engine": "spark"}])
def test_bad_arguments(arguments):
    with pytest.raises(ParamsError, match="extraction"):
        extract(_REPORTS, **arguments)


def test_bad_tables():
    with pytest.raises(TableError, match="column text"):
        extract(_REPORTS.drop("text"))
    with pytest.raises(TableError, match="1 nulls in text"):
        extract(_REPORTS.with_columns(text=pl.Series(["a", None, "b"])))
    with pytest.raises(TableError, match="lists study b twice"):
        extract(pl.concat([_REPORTS, _REPORTS[:1]]))


_HOSTILE = {
    "empty": "",
    "spaces": " \n\t ",
    "control characters": "\x00Left\x07 effusion\x1f.\x0c No\ufeff edema.",
    "masked": "___ effusion in the XXXX base.",
    "other languages": "Kein Pleuraerguss. \N{CYRILLIC SMALL LETTER EN}\N{CYRILLIC SMALL LETTER IE}. "
    "\N{CJK UNIFIED IDEOGRAPH-80BA}\N{CJK UNIFIED IDEOGRAPH-708E}\N{IDEOGRAPHIC FULL STOP} \N{ARABIC LETTER ALEF}",
    "pictures": "\N{LUNGS}" * 100,
    "one word": "x" * 50_000,
    "one sentence": "left effusion and " * 2_800,
    "many sentences": "No pleural effusion. " * 2_400,
    "brackets": "(" * 50_000,
}


def _annotation(text: str) -> dict[str, Any]:
    """Every "effusion" an observation."""
    tokens = text.split()
    found = [index for index, token in enumerate(tokens) if token.strip(".") == "effusion"]
    entities = {str(index): {"label": "OBS-DP", "start_ix": index, "end_ix": index, "relations": []} for index in found}
    return {"text": " ".join(tokens), "entities": entities}


def _extracted(source: str, reports: dict[str, str], folder: Path) -> pl.DataFrame:
    table = pl.DataFrame({"study_id": list(reports), "text": list(reports.values())})
    path = folder / "graphs.json"
    path.write_text(json.dumps({study: _annotation(text) for study, text in reports.items()}))
    return extract(table, source, graphs=path)


@pytest.mark.parametrize("source", ["spacy", "graphs"])
def test_hostile_text_neither_stops_extraction_nor_loses_its_neighbours_rows(tmp_path: Path, source: str):
    plain = {f"plain {number}": f"Left effusion number {number}." for number in range(len(_HOSTILE))}
    mixed = dict(pair for pairs in zip(plain.items(), _HOSTILE.items(), strict=True) for pair in pairs)
    triplets = _extracted(source, mixed, tmp_path)
    assert triplets.filter(pl.col("study_id").is_in(list(plain))).equals(_extracted(source, plain, tmp_path))
    found = {study: rows["pathology"].to_list() for (study,), rows in triplets.group_by("study_id")}
    assert len(found["many sentences"]) == 2_400
    assert set(found["masked"]) == {"pleural effusion"}
    assert "pleural effusion" in found["control characters"]
    for study, start, end in triplets.select("study_id", "start", "end").rows():
        assert mixed[study][start:end].strip()


def _lines_run(function: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable | None:
        nonlocal count
        count += event == "line"
        return trace if f"{os.sep}pipeline{os.sep}" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("source", ["spacy", "graphs"])
@pytest.mark.parametrize("unit", ["No pleural effusion. ", "effusion and ", "the left base "])
def test_work_is_linear_in_the_length(tmp_path: Path, source: str, unit: str):
    def lines(characters: int) -> int:
        """How many lines of this project's code run for 50,000 characters in reports of so many."""
        reports = {str(number): unit * (characters // len(unit)) for number in range(50_000 // characters)}
        _extracted(source, reports, tmp_path)  # what is computed once is out of the way
        return _lines_run(lambda: _extracted(source, reports, tmp_path))

    assert lines(50_000) < 1.5 * lines(5_000)
