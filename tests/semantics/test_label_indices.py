import numpy as np
import polars as pl
import pytest

from pipeline.errors import TableError
from pipeline.schemas import FINDINGS, STUDY_LABELS, write_table
from pipeline.semantics.label_indices import LabelIndices

LABELS = [("a", 5, "present"), ("a", 3, "present"), ("a", 4, "uncertain"), ("b", 3, "present")]
SAID = [("a", 1, "present"), ("a", 2, "absent"), ("a", 0, "absent"), ("b", 1, "uncertain")]


@pytest.fixture
def folder(tmp_path):
    for name, rows, column, schema in (
        ("labels", LABELS, "label", STUDY_LABELS),
        ("findings", SAID, "category", FINDINGS),
    ):
        table = pl.DataFrame(rows, schema={"study_id": pl.String, column: pl.Int32, "state": pl.String}, orient="row")
        write_table(table, tmp_path / f"{name}.parquet", schema)
    return tmp_path


def test_each_samples_labels_padded_in_rising_order(folder):
    found = LabelIndices.load(folder, ["b", "a", "unknown", "a"], labels=6)
    nothing = [-1, -1]
    a = [[3, 5], [4, -1], [1, -1], nothing, [0, 2]]
    b = [[3, -1], nothing, nothing, [1, -1], nothing]
    assert found.gather(np.arange(4)).tolist() == [b, a, [nothing] * 5, a]
    assert found.gather(np.array([3, 0])).tolist() == [a, b]
    assert len(found) == 4
    assert found.stated.tolist() == [True, True, False, True]


def test_labels_without_a_text_are_named(folder):
    with pytest.raises(TableError, match=r"names labels that its texts\.parquet lacks: run `dvc repro labels`"):
        LabelIndices.load(folder, ["a"], labels=5)
