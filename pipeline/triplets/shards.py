"""Extraction in shards of reports: each finished one is a file, so that whatever interrupts a run loses little of it.

A file is named by a hash of the reports in it. Extractors are `Reader`s and know nothing of shards; which reports and
which extractor is the matter of `extract`, and work on a cluster that of `on_ray`.
"""

import gc
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ExtractionError, TableError
from pipeline.schemas import TRIPLETS
from pipeline.triplets.triplet import Triplet

SHARD = 2000  # reports
_SCHEMA = pl.DataFrame(TRIPLETS.empty_table()).schema


class Item(NamedTuple):
    """A report to read; a source that reads annotations has one as JSON text, and the key it is published under."""

    study_id: str
    text: str
    key: str = ""
    annotation: str = ""


class Reader(Protocol):
    """An extractor in one worker: made there once, with the model it needs, then handed shard after shard."""

    def read(self, items: Sequence[Item]) -> tuple[Iterable[tuple[str, Triplet]], Mapping[str, int]]:
        """The triplets of some reports with their study_id, in order, and the counts of what was left out."""
        ...


class Source(NamedTuple):
    """How a worker makes its reader: `reader(*arguments)`. GPUs are what one worker takes where a cluster has them."""

    reader: Callable[..., Reader]
    arguments: tuple[Any, ...] = ()
    gpus: float = 0.0


class Shard(NamedTuple):
    """Reports that are read together, and the file that their triplets go to."""

    path: Path
    items: tuple[Item, ...]


class Engine(Protocol):
    """Reads shards and writes their files, in any order."""

    def __call__(self, source: Source, shards: Iterator[Shard], workers: int) -> None:
        """Read all shards, or raise after those that were under way are written."""
        ...


def extract_shards(
    items: Iterable[Item], source: Source, engine: Engine, workers: int, folder: Path
) -> tuple[pl.DataFrame, Counter[str]]:
    """The triplets of all items in their order, and the sums of the readers' counts.

    Args:
        items: read once, as they are needed.
        source: makes the readers.
        engine: `read_locally`, or `on_ray.read_on_ray`.
        workers: processes.
        folder: where finished shards wait until all are; to be named by a hash of the source, its settings and code.
            Files of reports that have not changed are not made again.

    Raises:
        ExtractionError: a worker died, or a file cannot be written; what is finished is kept.
        PipelineError: whatever `items` and the readers raise, likewise.
    """
    paths: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if finished := sum(1 for _ in folder.glob("*.parquet")):
            print(f"Resuming with {finished} finished shards of reports from {folder}.")
        engine(source, _unfinished(items, folder, paths), workers)
    except OSError as error:
        raise ExtractionError(
            f"{error.filename or folder} cannot be used ({error.strerror}): make room or mend its rights; finished "
            "shards are kept."
        ) from error
    tables, counts = [], Counter[str]()
    for path in paths:
        table, counted = _read_file(path)
        tables.append(table)
        counts.update(counted)
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *tables], rechunk=True), counts


def _unfinished(items: Iterable[Item], folder: Path, paths: list[Path]) -> Iterator[Shard]:
    """Cut items into shards; note each one's file, and yield those that have none yet."""
    remaining = iter(items)
    while part := tuple(islice(remaining, SHARD)):
        digest = sha256()
        for item in part:
            for field in map(str.encode, item):
                digest.update(len(field).to_bytes(8))
                digest.update(field)
        paths.append(folder / f"{digest.hexdigest()[:24]}.parquet")
        if not paths[-1].is_file():
            yield Shard(paths[-1], part)


@contextmanager
def collector_paused() -> Iterator[None]:
    """For readers whose objects have no cycles: the collector would walk through all that they remember in vain.

    In a worker, which ends with the extraction, that holds for afterwards, too: what lives then is frozen, out of the
    collector's sight.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if parent_process() is not None:
            gc.freeze()
        if enabled:
            gc.enable()


def read_locally(source: Source, shards: Iterator[Shard], workers: int) -> None:
    """The engine of this machine: one process, or several of their own, which would only share a GPU."""
    if workers == 1 or _on_gpu(source):
        for shard in shards:
            _read_into_file(source, shard)
        return
    pending: deque[Future[None]] = deque()
    try:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for shard in shards:
                pending.append(pool.submit(_read_into_file, source, shard))
                if len(pending) > workers:  # one waits: more would only fill the memory
                    pending.popleft().result()
            for future in pending:
                future.result()
    except BrokenProcessPool as error:
        raise ExtractionError(
            "A worker process of the extraction died, most often for lack of memory: run again, with fewer cores or "
            "more memory; finished shards are kept."
        ) from error


def read_shard(source: Source, items: Sequence[Item]) -> bytes:
    """The triplets of a shard as Parquet (schema TRIPLETS), with the counts among its metadata."""
    triplets, counts = _started(source).read(items)
    rows = [(study_id, *triplet) for study_id, triplet in triplets]
    table = pl.DataFrame(rows, schema=_SCHEMA, orient="row").to_arrow().cast(TRIPLETS)
    buffer = BytesIO()
    pq.write_table(table.replace_schema_metadata({"counts": json.dumps(counts)}), buffer, compression="zstd")
    return buffer.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _on_gpu(source: Source) -> bool:
    if not source.gpus:
        return False
    import torch  # takes seconds

    return torch.cuda.is_available()


@cache
def _started(source: Source) -> Reader:
    return source.reader(*source.arguments)


def _read_into_file(source: Source, shard: Shard) -> None:
    write_whole(shard.path, read_shard(source, shard.items))


def _read_file(path: Path) -> tuple[pl.DataFrame, dict[str, int]]:
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise TableError(f"{path} is not readable ({error}): delete it and run again.") from error
    return pl.DataFrame(table), json.loads(table.schema.metadata[b"counts"])
