"""Decodes some or all images of a dataset and says how many cannot be, and why the first one cannot."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import polars as pl
from rich.progress import track

from pipeline.errors import ImageError
from pipeline.images.decode import decode
from pipeline.schemas import BROKEN_IMAGES, write_table

SAMPLE = 8  # images of a quick look
CHUNK = 64  # images that a process takes at once


@dataclass(frozen=True)
class Decoding:
    """What became of the images.

    Attributes:
        tried: how many were decoded.
        broken: schemas.BROKEN_IMAGES; a reason does not name the file.
    """

    tried: int
    broken: pl.DataFrame


def decode_images(images: pl.DataFrame, root: Path, size: int, workers: int | None, listing: Path) -> Decoding:
    """Decode images of a dataset.

    Args:
        images: schemas.IMAGES.
        root: the folder that its paths are relative to.
        size: pixels of the square.
        workers: processes to decode all of them in; None decodes SAMPLE, evenly spaced, in this one.
        listing: where to write the broken images, if there are any; the table may name patients.

    Raises:
        ImageError: a process died.
    """
    step = 1 if workers else max(1, images.height // SAMPLE)
    chosen = images.gather_every(step) if workers else images.gather_every(step).head(SAMPLE)
    reasons = _decode_all(chosen["path"].to_list(), root, size, workers or 1)
    broken = chosen.select("image_id", "path").with_columns(reason=pl.Series(reasons, dtype=pl.String))
    broken = broken.filter(pl.col("reason").is_not_null())
    if broken.height:
        write_table(broken, listing, BROKEN_IMAGES)
    return Decoding(chosen.height, broken)


def _decode_all(paths: Sequence[str], root: Path, size: int, workers: int) -> list[str | None]:
    look = partial(_reason, root=root, size=size)
    if workers == 1:
        return [look(path) for path in track(paths, "Decoding images", disable=len(paths) <= SAMPLE)]
    try:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            return list(track(pool.map(look, paths, chunksize=CHUNK), "Decoding images", total=len(paths)))
    except BrokenProcessPool as error:
        raise ImageError(
            f"A process that decoded images of {root} died, for lack of memory or in a decoder: run `dvc repro`, whose "
            f"images stage goes on from where it stops."
        ) from error


def _reason(path: str, root: Path, size: int) -> str | None:
    """Why an image cannot be decoded, without its name; None where it can."""
    try:
        decode(root / path, size)
    except ImageError as error:
        return str(error).removeprefix(str(root / path)).strip()
    return None
