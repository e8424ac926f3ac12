from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import TableError
from pipeline.semantics.labels import ExistenceMatrix

SHAPE = (3, 4)  # anatomies, pathologies
STUDIES = ["s1", "s2", "s3", "other split"]


def write(folder: Path, entries: dict[tuple[str, int, int], int]) -> tuple[Path, Path]:
    existence, query_sets = folder / "existence.parquet", folder / "query_sets.parquet"
    schema = {"study_id": pl.String, "anatomy": pl.Int16, "pathology": pl.Int16, "value": pl.Int8}
    pl.DataFrame([(*pair, value) for pair, value in entries.items()], schema=schema, orient="row").write_parquet(
        existence
    )
    pl.DataFrame({"kind": ["anatomy"] * SHAPE[0] + ["pathology"] * SHAPE[1]}).write_parquet(query_sets)
    return existence, query_sets


entries = st.dictionaries(
    st.tuples(st.sampled_from(STUDIES), st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1)),
    st.sampled_from([0, 1, 2]),
)


@settings(max_examples=60)
@given(entries, st.lists(st.sampled_from([*STUDIES[:3], "silent"]), min_size=1), st.data())
def test_gather_fills_what_a_loop_would_fill(
    entries: dict[tuple[str, int, int], int], samples: list[str], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(samples) - 1)))
    with TemporaryDirectory() as folder:
        labels = ExistenceMatrix.load(*write(Path(folder), entries), samples)
    expected = np.full((len(rows), *SHAPE), -1)
    for position, row in enumerate(rows):
        for (study, anatomy, pathology), value in entries.items():
            if study == samples[row]:
                expected[position, anatomy, pathology] = value
    gathered = labels.gather(np.array(rows, dtype=np.int64))
    assert gathered.dtype.is_signed
    assert gathered.element_size() == 1
    np.testing.assert_array_equal(gathered.numpy(), expected)
    assert len(labels) == len(samples)
    assert labels.stated.tolist() == [any(study == sample for study, *_ in entries) for sample in samples]


def test_indices_outside_the_query_sets_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="outside the query sets"):
        ExistenceMatrix.load(*write(tmp_path, {("s1", 0, SHAPE[1]): 1}), ["s1"])


def test_a_missing_or_wrong_file_is_named(tmp_path: Path) -> None:
    existence, query_sets = write(tmp_path, {})
    with pytest.raises(TableError, match=r"gone\.parquet is missing"):
        ExistenceMatrix.load(tmp_path / "gone.parquet", query_sets, ["s1"])
    with pytest.raises(TableError, match=r"query_sets\.parquet lacks the columns study_id"):
        ExistenceMatrix.load(query_sets, query_sets, ["s1"])
    existence.write_bytes(b"no parquet")
    with pytest.raises(TableError, match=r"existence\.parquet"):
        ExistenceMatrix.load(existence, query_sets, ["s1"])
