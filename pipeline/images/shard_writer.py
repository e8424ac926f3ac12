"""Decode a few hundred images into one Arrow file; the work of one process of `build_shards`.

It imports no torch, so that starting a process is cheap. The file appears under its name only when it is complete.
Beside it lies, while the images are decoded, a note of which one it is: should the process die, or end itself because a
decoder hangs, that names the image. Its memory is limited, so that a decoder which asks for all of it gets an error.
"""

import faulthandler
import json
import os
import resource
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa

from pipeline.errors import ImageError, TableError
from pipeline.images.decode import REMEDY, VERSION, ByteImage, Decoded, decode

NOTE = ".now"  # suffix of the note
MEMORY = 6 << 30  # bytes of addresses of a process, two thirds of them the libraries'
DEADLY = "ends the process that decodes it, in a decoder, for lack of memory or after {} s: {}"
STDERR = 2  # by number: whatever stands for it in Python may be no file


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


def write_shard(batch: Batch, path: Path, *, patience: float, deadly: Collection[str] = ()) -> Written:
    """Decode the images of a batch and write those that can be decoded.

    Rows that an earlier run left at the path are taken from there, and what it could not decode is tried again.

    Args:
        batch: at least one image.
        path: of the Arrow IPC file.
        patience: seconds for one image, after which the process ends itself.
        deadly: files that ended a process before, as the notes name them; they are not tried.

    Raises:
        OSError: the file cannot be written.
    """
    kept = _kept(path)
    stored: list[tuple[str, Decoded]] = []
    broken: list[tuple[str, str, str]] = []
    note = path.with_suffix(NOTE)
    for image_id, relative in zip(batch.image_ids, batch.paths, strict=True):
        image = batch.root / relative
        note.write_text(str(image))
        try:
            if str(image) in deadly:
                raise ImageError(f"{image} {DEADLY.format(patience, REMEDY)}")
            stored.append((image_id, kept.get(image_id) or _decode_in_time(image, batch.size, patience)))
        except ImageError as error:
            broken.append((image_id, relative, str(error)))
    _write(stored, batch.size, path)
    note.unlink()
    return Written([(image_id, image.width, image.height) for image_id, image in stored], broken)


def try_one(image: Path, size: int, patience: float) -> None:
    """Decode an image to see whether the process survives it."""
    with suppress(ImageError):
        _decode_in_time(image, size, patience)


def _decode_in_time(image: Path, size: int, patience: float) -> Decoded:
    """Decode, or end the process when a decoder hangs."""
    faulthandler.dump_traceback_later(patience, exit=True, file=STDERR)  # works from within any decoder
    try:
        return decode(image, size)
    finally:
        faulthandler.cancel_dump_traceback_later()


def prepare_process() -> None:
    """Limit this process's memory, and end it when the one that started it is gone: it would wait for work for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def wait() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def read_shard(path: Path) -> tuple[list[tuple[str, int, int]], ByteImage]:
    """image_id, width, height of every row, and the pixels, uint8 [n, S, S], still on disk.

    Raises:
        TableError: the file is missing or no shard.
    """
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        size = int(batch.schema.field("pixels").type.byte_width ** 0.5)
        if not batch.schema.equals(shard_schema(size)):
            raise KeyError
    except (OSError, pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise TableError(f"{path} is missing or damaged: run `dvc repro`, or `dvc pull` to fetch it.") from error
    names = zip(*(batch.column(name).to_pylist() for name in ("image_id", "width", "height")), strict=True)
    return list(names), np.frombuffer(batch.column("pixels").buffers()[1], np.uint8).reshape(-1, size, size)


def _kept(path: Path) -> dict[str, Decoded]:
    """What an earlier run decoded, by image_id."""
    try:
        names, pixels = read_shard(path)
    except TableError:
        return {}
    return {image_id: Decoded(row, *sides) for (image_id, *sides), row in zip(names, pixels, strict=True)}


def _write(stored: Sequence[tuple[str, Decoded]], size: int, path: Path) -> None:
    schema = shard_schema(size)
    ids, images = [image_id for image_id, _ in stored], [image for _, image in stored]
    pixels = np.stack([image.pixels for image in images]) if images else np.empty((0, size, size), np.uint8)
    sides = [pa.array([getattr(image, side) for image in images], pa.int32()) for side in ("width", "height")]
    rows = pa.Array.from_buffers(schema.field("pixels").type, len(images), [None, pa.py_buffer(pixels)])
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array(ids, pa.string()), *sides, rows], schema=schema))
    unfinished.replace(path)
