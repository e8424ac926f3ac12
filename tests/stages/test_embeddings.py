"""A model that does not tell pathology from anatomy has no streams to map, and the stage's results say so."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.schemas import POINTS, read_table
from stages import embeddings


def test_a_model_without_streams_is_said_to_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embeddings, "fix_torch", lambda params: None)
    monkeypatch.setattr(embeddings, "load_scorer", object)
    embeddings.main()
    assert read_table(tmp_path / embeddings.OUT, POINTS).is_empty()
    results = json.loads((tmp_path / embeddings.OUT.with_suffix(".json")).read_text())
    assert results["silhouette"] is None
    assert "no two streams" in results["notes"][0]
