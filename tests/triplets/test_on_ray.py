"""The `ray` engine: the same bytes as the local one, on this machine and on a cluster, and a name for what stops it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import tiny_radgraph as tiny
from mortal import MortalReader

from pipeline.errors import ExtractionError
from pipeline.schemas import TRIPLETS, write_table
from pipeline.triplets import extract, shards
from pipeline.triplets.on_ray import read_on_ray
from pipeline.triplets.radgraph_archive import RadGraphConfig
from pipeline.triplets.shards import Item, Source, extract_shards

_REPORTS = pl.DataFrame({
    "study_id": [str(number) for number in range(25)],
    "text": [f"Left effusion {number}. No edema." for number in range(24)] + [""],
})  # fmt: skip
_ITEMS = [Item(str(number), f"text {number}") for number in range(35)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "SHARD", 10)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two cores, whose workers find the modules here."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)]))
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        environment.setenv("RAY_ADDRESS", started.address)
        yield started.address
        started.shutdown()


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtractionError, match=r"pip install 'cxr-pipeline\[ray\]'"):
        extract(_REPORTS, engine="ray")


def test_this_machine_and_a_cluster_give_the_bytes_of_the_local_engine(tmp_path: Path, request: pytest.FixtureRequest):
    for place in ("local", "ray", "cluster"):
        if place == "cluster":
            request.getfixturevalue("cluster")
        write_table(extract(_REPORTS, engine="local" if place == "local" else "ray"), tmp_path / place, TRIPLETS)
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "local").read_bytes()
    assert (tmp_path / "cluster").read_bytes() == (tmp_path / "local").read_bytes()


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_is_replaced(tmp_path: Path):
    table, _ = extract_shards(_ITEMS, Source(MortalReader, (tmp_path, "25", 1)), read_on_ray, 2, tmp_path)
    assert table["study_id"].to_list() == [item.study_id for item in _ITEMS]
    assert (tmp_path / "grave-0").exists()


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_again_and_again_ends_the_run_by_name_and_finished_shards_are_kept(tmp_path: Path):
    with pytest.raises(ExtractionError, match=r"A worker on Ray failed .* finished shards are kept"):
        extract_shards(_ITEMS, Source(MortalReader, (tmp_path, "25", 99)), read_on_ray, 1, tmp_path)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    assert kept
    table, _ = extract_shards(_ITEMS, Source(MortalReader, (tmp_path, "25", 0)), read_on_ray, 2, tmp_path)
    assert table["study_id"].to_list() == [item.study_id for item in _ITEMS]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


@pytest.mark.usefixtures("cluster")
def test_actors_hold_radgraphs_model(tmp_path: Path):
    tiny.write_archive(tmp_path)
    config = RadGraphConfig(folder=str(tmp_path))
    table = pl.DataFrame({"study_id": [str(row) for row in range(12)], "text": tiny.reports(12, seed=8)})
    expected = extract(table, "radgraph", radgraph=config)
    assert expected.height > 0
    assert extract(table, "radgraph", 2, radgraph=config, engine="ray").equals(expected)
