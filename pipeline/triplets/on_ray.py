"""The `ray` engine: shards of reports on a cluster, or on this machine's cores when none is named, by Ray Data.

A cluster is found by the usual RAY_ADDRESS; its nodes need this package and what the source reads with, not this
machine's files. Nothing is sent to Ray's makers, and no dashboard is started. Ray is an optional extra.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline import errors
from pipeline.errors import ExtractionError, PipelineError
from pipeline.triplets.shards import Item, Shard, Source, read_shard, write_whole

_WINDOW = 32  # shards handed over at a time, so that a large corpus need not be in Ray's store as a whole
_RETRIES = 2  # of a shard whose worker died, before the run ends


class _Actor:
    """A reader on some node: a row of a shard's items in, a row of its file's bytes or of what went wrong out."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        items = [Item(*fields) for fields in zip(*(row[name] for name in Item._fields), strict=True)]
        try:
            return {"path": row["path"], "content": read_shard(self._source, items), "error": "", "problem": ""}
        except PipelineError as error:
            return {"path": row["path"], "content": b"", "error": type(error).__name__, "problem": str(error)}


def read_on_ray(source: Source, shards: Iterator[Shard], workers: int) -> None:
    """The engine of a cluster.

    Args:
        source: makes the readers; needs what it names on every node.
        shards: files are written here, by this process.
        workers: actors at most; on this machine also the cores that Ray may use.

    Raises:
        ExtractionError: Ray is not installed, the cluster cannot be reached, or a worker died again and again.
        PipelineError: what a reader raises.
    """
    ray = _connect(workers)
    try:
        while window := list(islice(shards, _WINDOW)):
            _read_window(ray, source, window, workers)
    except ray.exceptions.RayError as error:
        raise ExtractionError(
            f"A worker on Ray failed ({type(error).__name__}), most often for lack of memory: look at the cluster's "
            "logs and run again, with fewer cores or more memory; finished shards are kept."
        ) from error
    finally:
        ray.shutdown()


def _connect(workers: int) -> Any:
    """The module ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ExtractionError(
            "extraction.engine is ray, which is not installed: pip install 'cxr-pipeline[ray]', or set it to local."
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    local = {"address": "local", "num_cpus": workers, "include_dashboard": False}  # not another run's
    own: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else local
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # a bare one when Ray's own processes do not start in time
        address = os.environ.get("RAY_ADDRESS")
        raise ExtractionError(
            f"Ray cannot be reached at RAY_ADDRESS={address} ({type(error).__name__}): start the cluster, or unset "
            "RAY_ADDRESS to use this machine."
            if address
            else f"Ray did not start on this machine ({type(error).__name__}), most often because it is busy: run "
            "again, or set extraction.engine to local; finished shards are kept."
        ) from error
    return ray


def _read_window(ray: Any, source: Source, window: list[Shard], workers: int) -> None:
    """Have some shards read, and write each one's file as it comes."""
    rows = [
        {"path": str(shard.path), **dict(zip(Item._fields, map(list, zip(*shard.items, strict=True)), strict=True))}
        for shard in window
    ]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Actor,
        fn_constructor_args=(source,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_gpus=source.gpus if ray.cluster_resources().get("GPU") else 0,
        max_restarts=_RETRIES,  # Ray's own default goes on for ever
        max_task_retries=_RETRIES,
    )
    for row in dataset.iter_rows():
        if row["error"]:
            raise getattr(errors, row["error"])(row["problem"])
        write_whole(Path(row["path"]), row["content"])
