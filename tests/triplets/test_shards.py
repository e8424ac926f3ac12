"""Shards: the same result whether interrupted or not, and a name for what stops them."""

from collections.abc import Sequence
from itertools import starmap
from pathlib import Path

import pytest
from mortal import MortalReader

from pipeline.errors import DatasetError, ExtractionError, TableError
from pipeline.triplets import shards
from pipeline.triplets.shards import Item, Source, extract_shards, read_locally
from pipeline.triplets.triplet import Triplet


class Reader:
    """Finds each report's text; stops at one."""

    def __init__(self, stop_at: str = "") -> None:
        self._stop_at = stop_at

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        for item in items:
            if item.study_id == self._stop_at:
                raise DatasetError(f"study {item.study_id} is broken")
        return [(item.study_id, Triplet(0, item.text, "x", "present", None, 0, 1)) for item in items], {
            "read": len(items)
        }


_ITEMS = list(starmap(Item, ((str(number), f"text {number}") for number in range(35))))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "SHARD", 10)


def _extract(folder: Path, source: Source, workers: int = 1):
    return extract_shards(_ITEMS, source, read_locally, workers, folder)


def test_rows_are_in_order_and_counts_are_sums(tmp_path: Path):
    table, counts = _extract(tmp_path, Source(Reader))
    assert table["study_id"].to_list() == [item.study_id for item in _ITEMS]
    assert table["pathology"].to_list() == [item.text for item in _ITEMS]
    assert counts == {"read": 35}
    assert table.n_chunks() == 1


def test_nothing_gives_an_empty_table(tmp_path: Path):
    table, counts = extract_shards([], Source(Reader), read_locally, 1, tmp_path)
    assert (table.height, table.columns, counts) == (0, list(shards._SCHEMA), {})


def test_an_error_keeps_what_is_finished_and_the_next_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(DatasetError, match="study 25 is broken"):
        _extract(tmp_path, Source(Reader, ("25",)))
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    assert len(kept) == 2
    table, counts = _extract(tmp_path, Source(Reader))
    assert (table.height, counts) == (35, {"read": 35})
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert "Resuming with 2 finished shards" in capsys.readouterr().out


def test_a_killed_worker_ends_the_run_by_name_and_what_is_finished_is_kept(tmp_path: Path):
    with pytest.raises(ExtractionError, match="worker process of the extraction died"):
        _extract(tmp_path, Source(MortalReader, (tmp_path, "25", 1)), workers=2)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    assert kept
    table, _ = _extract(tmp_path, Source(MortalReader, (tmp_path, "25", 0)))
    assert table["study_id"].to_list() == [item.study_id for item in _ITEMS]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_changed_reports_are_read_anew(tmp_path: Path):
    _extract(tmp_path, Source(Reader))
    before = set(tmp_path.glob("*.parquet"))
    changed = [*_ITEMS[:12], _ITEMS[12]._replace(text="other"), *_ITEMS[13:]]
    table, _ = extract_shards(changed, Source(Reader), read_locally, 1, tmp_path)
    assert table["pathology"][12] == "other"
    assert len(set(tmp_path.glob("*.parquet")) - before) == 1


def test_a_damaged_shard_is_named(tmp_path: Path):
    _extract(tmp_path, Source(Reader))
    damaged = next(tmp_path.glob("*.parquet"))
    damaged.write_bytes(b"PAR1")
    with pytest.raises(TableError, match=f"{damaged.name} is not readable"):
        _extract(tmp_path, Source(Reader))


def test_a_folder_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExtractionError, match="cannot be used"):
        _extract(tmp_path / "file" / "folder", Source(Reader))


def test_the_bytes_of_a_shard_depend_on_its_items_only():
    assert shards.read_shard(Source(Reader), _ITEMS) == shards.read_shard(Source(Reader, ("none",)), _ITEMS)
