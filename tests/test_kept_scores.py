from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import TableError
from pipeline.evaluation.results import write_results
from pipeline.kept_scores import keep_scores, kept_results, kept_scores
from pipeline.schemas import GROUNDED, write_table

PAIRS = pl.DataFrame({
    "image_id": ["1"], "patient_id": ["1"], "split": ["test"], "finding": ["mass"],
    "severity": pl.Series([None], dtype=pl.String), "pointing_game": [1.0], "iou": [0.5], "dice": [0.6],
})  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / ".dvc/tmp/exps/standalone/tmpab12"
    copy.mkdir(parents=True)
    for folder in (tmp_path, copy):
        (folder / "dvc.yaml").touch()
    monkeypatch.chdir(copy)  # as in `dvc exp run --temp`
    return tmp_path


def test_results_of_an_experiment_of_dvc_are_kept_in_the_project(project: Path, monkeypatch) -> None:
    write_results({"pointing_game": 1.0}, Path("rsna.json"))
    write_table(PAIRS, Path("rsna.parquet"), GROUNDED)
    keep_scores("hash", "grounding", Path("rsna.json"))
    assert sorted(path.name for path in (project / ".scores/hash/grounding").iterdir()) == ["rsna.json", "rsna.parquet"]
    monkeypatch.chdir(project)
    assert kept_scores("hash", "grounding", "rsna").equals(PAIRS)
    assert kept_results("hash", "grounding", "rsna") == {"pointing_game": 1.0}


def test_what_was_not_kept_is_none() -> None:
    write_results({"auroc": 1.0}, Path("cxr14.json"))
    keep_scores("hash", "zero_shot", Path("cxr14.json"))
    assert kept_scores("hash", "zero_shot", "cxr14") is None
    assert kept_results("other", "zero_shot", "cxr14") is None


def test_a_broken_table_is_named(project: Path) -> None:
    folder = project / ".scores/hash/grounding"
    folder.mkdir(parents=True)
    (folder / "rsna.parquet").write_text("no table")
    with pytest.raises(TableError, match=r"\.scores/hash/grounding/rsna\.parquet"):
        kept_scores("hash", "grounding", "rsna")
