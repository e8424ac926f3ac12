"""The images of a dataset as memory-mapped uint8 tensors: building them once, and reading rows of them.

A folder of shards holds 00000.arrow, 00001.arrow, ... (SHARD_ROWS images each, less the broken ones), index.parquet
(schemas.IMAGE_INDEX) and broken.parquet (schemas.BROKEN_IMAGES). Augmentation and normalisation are the training's.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property, partial
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rich.progress import track

from pipeline.errors import ImageError, TableError
from pipeline.images.shard_writer import (
    NOTE,
    Batch,
    Written,
    prepare_process,
    read_shard,
    try_one,
    write_shard,
)
from pipeline.schemas import BROKEN_IMAGES, IMAGE_INDEX, read_table, write_table

if TYPE_CHECKING:
    import torch  # costs seconds, and building shards does without

SHARD_ROWS = 256  # enough for all cores to share a small dataset, few enough files for a large one
PATIENCE = 600  # seconds for one image
INDEX, BROKEN = "index.parquet", "broken.parquet"

ByteRows = np.ndarray[Any, np.dtype[np.uint8]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]


def build_shards(
    images: pl.DataFrame, root: Path, out: Path, *, size: int, workers: int, max_broken: int, cache: Path
) -> dict[str, int]:
    """Decode every image once into shards; the bytes do not depend on the number of workers.

    Finished shards wait in `cache` under a name that holds what determines them, until all are done and move to `out`;
    an interrupted run goes on from there, and tries again what could not be decoded.

    Args:
        images: schemas.IMAGES.
        root: the folder that its paths are relative to.
        out: the folder to write; replaced as a whole.
        size: S, pixels.
        workers: processes; 1 decodes in this one, which an image may then end.
        max_broken: more images than this that cannot be decoded are an error.
        cache: a folder for this dataset alone, on the same disk as `out`; removed at the end.

    Returns:
        Counts: images, broken, shards.

    Raises:
        ImageError: too many broken images, a process was killed, or the disk is full; `out` is left as it was.
        TableError: an image_id occurs twice, or there are no images.
    """
    _check_images(images)
    batches = [_batch(rows, root, size) for rows in images.iter_slices(SHARD_ROWS)]
    files = [cache / f"{batch.key()}.arrow" for batch in batches]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        written = _write_all(batches, files, workers)
        broken = _broken_table(written)
        _check_broken(broken, images.height, max_broken, cache / BROKEN)
        _publish(files, out, cache, _index_table(written), broken)
    except OSError as error:
        raise ImageError(
            f"{error.filename or cache} cannot be used ({error.strerror or error}): make room or mend its rights; "
            "finished shards are kept."
        ) from error
    return {"images": images.height - broken.height, "broken": broken.height, "shards": len(files)}


class ImageShards:
    """The images of one dataset, memory-mapped; opening reads only the index.

    Attributes:
        index: schemas.IMAGE_INDEX, in row order.
        size: S, pixels.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder written by `build_shards`.

        Raises:
            TableError: the index or a shard is missing or does not fit.
        """
        self.index = read_table(path / INDEX, IMAGE_INDEX)
        self._path = path
        self._shard, self._row = self.index["shard"].to_numpy(), self.index["row"].to_numpy()
        self._pixels = [self._map(number) for number in range(int(self._shard.max()) + 1)]
        self.size: int = self._pixels[0].shape[1]

    def __len__(self) -> int:
        return self.index.height

    @property
    def ids(self) -> pl.Series:
        """image_id of every row."""
        return self.index["image_id"]

    @cached_property
    def _position(self) -> pl.DataFrame:
        return self.index.select("image_id", position=pl.int_range(pl.len(), dtype=pl.Int64))

    def row_of(self, image_ids: Sequence[str] | pl.Series) -> IntArray:
        """Rows of some images, int64 [N].

        Raises:
            TableError: an image is not among the shards.
        """
        wanted = pl.DataFrame({"image_id": image_ids}, schema={"image_id": pl.String})
        found = wanted.join(self._position, on="image_id", how="left", maintain_order="left")
        if found["position"].null_count():
            missing = found.filter(pl.col("position").is_null())["image_id"][0]
            raise TableError(f"{self._path} has no image {missing}: see {BROKEN} there, or run the images stage.")
        return found["position"].to_numpy()

    def gather(self, rows: IntArray) -> "torch.Tensor":
        """Copy some rows: uint8 [B, S, S]."""
        import torch

        batch = np.empty((len(rows), self.size, self.size), np.uint8)
        shards = self._shard[rows]
        for number in np.unique(shards):
            here = shards == number
            batch[here] = self._pixels[number][self._row[rows[here]]]
        return torch.from_numpy(batch)

    def _map(self, number: int) -> ByteRows:
        """The pixels of one shard, [n, S, S], still on disk."""
        return read_shard(self._path / f"{number:05d}.arrow")[1]


def _check_images(images: pl.DataFrame) -> None:
    if images.is_empty():
        raise TableError("There are no images to decode: look at the counts of the stage that listed them.")
    repeated = images["image_id"].is_duplicated()
    if repeated.any():
        raise TableError(f"Image {images.filter(repeated)['image_id'][0]} is listed twice: keep one row of it.")


def _check_broken(broken: pl.DataFrame, images: int, max_broken: int, listed: Path) -> None:
    if broken.height <= max_broken and broken.height < images:
        return
    write_table(broken, listed, BROKEN_IMAGES)
    raise ImageError(
        f"{broken.height} of {images} images cannot be decoded, all or more than images.max_broken={max_broken}; the "
        f"first: {broken['reason'][0]} All are listed in {listed}."
    )


def _batch(rows: pl.DataFrame, root: Path, size: int) -> Batch:
    return Batch(rows["image_id"].to_list(), rows["path"].to_list(), rows["bytes"].to_list(), root, size)


def _write_all(batches: Sequence[Batch], files: Sequence[Path], workers: int) -> list[Written]:
    """Write the shards that the cache does not hold yet, and say what became of every batch."""
    pairs = list(zip(batches, files, strict=True))
    for file in files:
        file.with_suffix(NOTE).unlink(missing_ok=True)  # of a run that died
    kept = {file: written for batch, file in pairs if (written := _kept(batch, file))}
    if kept:
        print(f"Resuming with {len(kept)} of {len(files)} shards of images, finished before.")
    unfinished = [pair for pair in pairs if pair[1] not in kept]
    done = track(_run(unfinished, workers), "Decoding images", total=len(unfinished))
    kept |= zip((file for _, file in unfinished), done, strict=True)
    return [kept[file] for file in files]


def _kept(batch: Batch, file: Path) -> Written | None:
    """What an earlier run stored of a batch, if it stored all of it."""
    try:
        stored, _ = read_shard(file)
    except TableError:
        return None
    return Written(stored, ()) if len(stored) == len(batch.image_ids) else None


def _run(unfinished: Sequence[tuple[Batch, Path]], workers: int) -> Iterator[Written]:
    """What became of each batch, in order; a process that dies over an image costs that image alone."""
    write, deadly = partial(write_shard, patience=PATIENCE), set[str]()
    if workers == 1:
        yield from starmap(write, unfinished)
        return
    done = 0
    while done < len(unfinished):
        left = unfinished[done:]
        try:
            with _pool(min(workers, len(left))) as pool:
                for written in pool.map(partial(write, deadly=deadly), *zip(*left, strict=True)):
                    yield written
                    done += 1
        except BrokenProcessPool as error:
            deadly |= _deadly(left, error)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), prepare_process)


def _deadly(unfinished: Sequence[tuple[Batch, Path]], error: BrokenProcessPool) -> set[str]:
    """Which of the images that were being decoded when a process died ends another one when it is decoded alone."""
    notes = [note for _, file in unfinished if (note := file.with_suffix(NOTE)).exists()]
    images = {note.read_text() for note in notes}
    deadly = {image for image in images if _dies(Path(image), unfinished[0][0].size)}
    for note in notes:
        note.unlink()
    if not deadly:
        raise ImageError(
            f"A decoding process died, for lack of memory, in a decoder or after {PATIENCE} s, over one of: "
            f"{', '.join(sorted(images)) or 'none yet'}. None of them ends a process of its own: make memory and run "
            "again; what is finished is kept."
        ) from error
    return deadly


def _dies(image: Path, size: int) -> bool:
    with _pool(1) as pool:
        try:
            pool.submit(try_one, image, size, PATIENCE).result()
        except BrokenProcessPool:
            return True
    return False


def _index_table(written: Sequence[Written]) -> pl.DataFrame:
    """schemas.IMAGE_INDEX."""
    rows = [
        (image_id, shard, row, width, height)
        for shard, part in enumerate(written)
        for row, (image_id, width, height) in enumerate(part.stored)
    ]
    return pl.DataFrame(rows, schema=IMAGE_INDEX.names, orient="row")


def _broken_table(written: Sequence[Written]) -> pl.DataFrame:
    """schemas.BROKEN_IMAGES."""
    rows = [row for part in written for row in part.broken]
    return pl.DataFrame(rows, schema=dict.fromkeys(BROKEN_IMAGES.names, pl.String), orient="row")


def _publish(files: Sequence[Path], out: Path, cache: Path, index: pl.DataFrame, broken: pl.DataFrame) -> None:
    """Put the finished folder in place of `out` in one move."""
    ready = cache / "ready"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    write_table(index, ready / INDEX, IMAGE_INDEX)
    write_table(broken, ready / BROKEN, BROKEN_IMAGES)
    for number, file in enumerate(files):  # last, lest a full disk above should cost them
        file.replace(ready / f"{number:05d}.arrow")
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(ready, out)
    shutil.rmtree(cache)
