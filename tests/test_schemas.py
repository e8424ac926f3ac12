from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.errors import TableError
from pipeline.schemas import BROKEN_IMAGES, read_table, write_table

ROWS = pl.DataFrame({name: [f"{name} {n}" for n in range(300)] for name in BROKEN_IMAGES.names})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    write_table(ROWS, path, BROKEN_IMAGES)
    return path


def test_what_is_written_is_read(table: Path) -> None:
    assert read_table(table, BROKEN_IMAGES).equals(ROWS)


def test_damage_ends_in_a_named_error_or_in_a_table(table: Path) -> None:
    """Among the damages are those of a page, which is an OSError, and of text, which no longer is UTF-8."""
    content = table.read_bytes()
    for seed in range(400):
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        table.write_bytes(damaged[: rng.integers(len(damaged))] if seed % 5 == 0 else damaged)
        with suppress(TableError):
            assert read_table(table, BROKEN_IMAGES).columns == BROKEN_IMAGES.names


def test_a_cut_file_is_named_with_a_remedy(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-30])
    with pytest.raises(TableError, match=r"table\.parquet is not a readable Parquet file .*: delete it and run `dvc"):
        read_table(table, BROKEN_IMAGES)


def test_a_value_of_another_type_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    rows = ROWS.with_columns(other=pl.lit("Mrs Miller"))
    schema = pa.schema([*BROKEN_IMAGES, pa.field("other", pa.int32())])
    with pytest.raises(TableError, match=r"table\.parquet holds .*string in column other where int32 is") as raised:
        write_table(rows, path, schema)
    assert "Miller" not in str(raised.value)
    assert raised.value.__cause__ is None
    rows.write_parquet(path)
    with pytest.raises(TableError, match="column other where int32"):
        read_table(path, schema)


@pytest.mark.parametrize(
    ("rows", "message"),
    [(ROWS.drop("reason"), "lacks the columns reason"), (ROWS.with_columns(path=None), "300 empty values in column")],
)
def test_what_breaks_the_schema_is_neither_written_nor_read(tmp_path: Path, rows: pl.DataFrame, message: str) -> None:
    path = tmp_path / "table.parquet"
    with pytest.raises(TableError, match=message):
        write_table(rows, path, BROKEN_IMAGES)
    rows.write_parquet(path)
    with pytest.raises(TableError, match=message):
        read_table(path, BROKEN_IMAGES)
