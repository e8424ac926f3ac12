"""The `ray` engine on this machine's cores: the same bytes as the local one, and a name for what stops it."""

import sys
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import ExtractionError
from pipeline.schemas import TRIPLETS, write_table
from pipeline.triplets import extract, shards

_REPORTS = pl.DataFrame({
    "study_id": [str(number) for number in range(25)],
    "text": [f"Left effusion {number}. No edema." for number in range(24)] + [""],
})  # fmt: skip


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtractionError, match=r"pip install 'cxr-pipeline\[ray\]'"):
        extract(_REPORTS, engine="ray")


def test_both_engines_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(shards, "SHARD", 10)
    for engine in ("local", "ray"):
        write_table(extract(_REPORTS, engine=engine), tmp_path / engine, TRIPLETS)
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "local").read_bytes()
