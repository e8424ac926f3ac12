"""Decode a few hundred images into one Arrow file; the work of one process of `build_shards`.

It imports no torch, so that starting a process is cheap. The file appears under its name only when it is complete.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import ImageError
from pipeline.images.decode import VERSION, decode


@dataclass(frozen=True)
class Batch:
    """The images of one shard.

    Attributes:
        image_ids: in the shard's order.
        paths: relative to root.
        bytes: file sizes; a changed file makes another key.
        root: the dataset's folder.
        size: S, pixels.
    """

    image_ids: Sequence[str]
    paths: Sequence[str]
    bytes: Sequence[int]
    root: Path
    size: int

    def key(self) -> str:
        """What determines the shard's content, as a name for its file."""
        files = [list(self.image_ids), list(self.paths), list(self.bytes)]
        return sha256(json.dumps([VERSION, self.size, *files]).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Written:
    """What became of a batch.

    Attributes:
        stored: image_id, width, height of every row of the shard.
        broken: image_id, path, reason of what could not be decoded.
    """

    stored: Sequence[tuple[str, int, int]]
    broken: Sequence[tuple[str, str, str]]


def shard_schema(size: int) -> pa.Schema:
    """image_id; width and height as stored; pixels: S * S bytes, row by row."""
    return pa.schema([
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("pixels", pa.binary(size * size), nullable=False),
    ])  # fmt: skip


def write_shard(batch: Batch, path: Path) -> Written:
    """Decode the images of a batch and write those that can be decoded.

    Args:
        batch: at least one image.
        path: of the Arrow IPC file.
    """
    pixels = np.empty((len(batch.image_ids), batch.size, batch.size), np.uint8)
    stored: list[tuple[str, int, int]] = []
    broken: list[tuple[str, str, str]] = []
    for image_id, relative in zip(batch.image_ids, batch.paths, strict=True):
        try:
            decoded = decode(batch.root / relative, batch.size)
        except ImageError as error:
            broken.append((image_id, relative, str(error)))
        else:
            pixels[len(stored)] = decoded.pixels
            stored.append((image_id, decoded.width, decoded.height))
    _write(stored, pixels[: len(stored)], path)
    return Written(stored, broken)


def _write(stored: Sequence[tuple[str, int, int]], pixels: np.ndarray, path: Path) -> None:
    schema = shard_schema(pixels.shape[1])
    ids, widths, heights = zip(*stored, strict=True) if stored else ((), (), ())
    rows = pa.Array.from_buffers(schema.field("pixels").type, len(stored), [None, pa.py_buffer(pixels)])
    arrays = [pa.array(ids, pa.string()), pa.array(widths, pa.int32()), pa.array(heights, pa.int32()), rows]
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    unfinished.replace(path)
