"""The table of triplets: schema, order, workers and bad input."""

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
