"""Draws the images of all layouts, in as many processes as wanted, and writes them as JPEG, PNG or DICOM.

Each image depends on its case alone, so any number of workers writes the same bytes. Which images there
are, and the label files beside them, belong to the layouts.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from pipeline.phantom.layouts.lateral import draw_lateral
from pipeline.phantom.render import render
from pipeline.phantom.scene import Case

_CHUNK = 8
_IMPLEMENTATION = UID("1.2.276.0.7230010.3.0.3.6.0")

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Save = Callable[[Path, Pixels], None]


@dataclass(frozen=True)
class Film:
    """One image to draw.

    Attributes:
        path: where to write it; its folder is made.
        case: what it shows.
        size: pixels of the drawn square.
        save: writes grey pixels [height, width]; picklable.
        measured: findings whose masks are wanted back.
        crop: pixels cut off (left, top, right, bottom).
        lateral: a side view, without masks.
    """

    path: Path
    case: Case
    size: int
    save: Save
    measured: frozenset[str] = field(default_factory=frozenset)
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    lateral: bool = False


class Darkroom:
    """Develops films in `workers` processes; use it in a `with` statement."""

    def __init__(self, workers: int) -> None:
        self._pool = _pool(workers) if workers > 1 else None

    def __enter__(self) -> "Darkroom":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def develop(self, films: Iterable[Film]) -> list[dict[str, Mask]]:
        """Draw and write films as they come; per film the masks [S, S] of its measured findings, by name."""
        results: Iterable[dict[str, Mask]] = map(_develop, films)
        if self._pool:
            results = self._pool.map(_develop, films, chunksize=_CHUNK)
        return list(results)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_keep_memory)


def _keep_memory() -> None:
    """Free a large block once: glibc then keeps smaller ones for reuse, where it had returned each to the kernel."""
    bytes(31 << 20)  # its largest threshold is 32 MiB


def _develop(film: Film) -> dict[str, Mask]:
    film.path.parent.mkdir(parents=True, exist_ok=True)
    if film.lateral:
        film.save(film.path, draw_lateral(film.case, film.size))
        return {}
    rendering = render(film.case, film.size)
    left, top, right, bottom = film.crop
    film.save(film.path, rendering.image[top : film.size - bottom, left : film.size - right])
    named = zip(film.case.findings, rendering.masks, strict=True)
    return {finding.name: mask for finding, mask in named if finding.name in film.measured}


def as_jpeg(quality: int = 95, mode: str = "L") -> Save:
    """Save as baseline JPEG of the given Pillow mode."""
    return partial(_save_jpeg, quality, mode)


def as_png(mode: str = "L") -> Save:
    """Save as PNG of the given Pillow mode."""
    return partial(_save_png, mode)


def as_dicom(uid: str, tags: Mapping[str, Any]) -> Save:
    """Save as 8 bit MONOCHROME2 DICOM, JPEG-compressed; tags are header fields by keyword."""
    return partial(_save_dicom, uid, dict(tags))


@dataclass(frozen=True)
class Depth:
    """How a detector stores what it saw.

    Attributes:
        bits: stored per pixel, 10 to 16.
        inverted: MONOCHROME1, where the highest value is black.
        windowed: the header gives the window to view it in.
        compressed: JPEG 2000 without loss, else raw.
    """

    bits: int
    inverted: bool
    windowed: bool
    compressed: bool


def as_deep_dicom(uid: str, tags: Mapping[str, Any], depth: Depth) -> Save:
    """Save as DICOM of 10 to 16 bits; tags are header fields by keyword."""
    return partial(_save_deep_dicom, uid, dict(tags), depth)


def _save_jpeg(quality: int, mode: str, path: Path, pixels: Pixels) -> None:
    path.write_bytes(_encode_jpeg(pixels, quality, mode))


def _save_png(mode: str, path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).convert(mode).save(path, format="PNG", compress_level=3)


def _save_dicom(uid: str, tags: Mapping[str, Any], path: Path, pixels: Pixels) -> None:
    header = _header(uid, tags, pixels.shape, 8, JPEGBaseline8Bit)
    header.PhotometricInterpretation = "MONOCHROME2"
    header.LossyImageCompression = "01"
    header.PixelData = encapsulate([_encode_jpeg(pixels, 92, "L")])
    header["PixelData"].is_undefined_length = True
    header.save_as(path, enforce_file_format=True)


def _save_deep_dicom(uid: str, tags: Mapping[str, Any], depth: Depth, path: Path, pixels: Pixels) -> None:
    """The grey levels fill the middle half of the detector's range, which is what the window shows."""
    top = 2**depth.bits - 1
    stored = np.round(top / 4 + pixels * (top / 2 / 255)).astype(np.uint16)
    header = _header(uid, tags, pixels.shape, depth.bits, ExplicitVRLittleEndian)
    header.PhotometricInterpretation = "MONOCHROME1" if depth.inverted else "MONOCHROME2"
    if depth.windowed:
        header.WindowCenter, header.WindowWidth = round(top / 2), round(top / 2)
    header.PixelData = (top - stored if depth.inverted else stored).astype("<u2").tobytes()
    header["PixelData"].VR = "OW"
    if depth.compressed:
        header.compress(JPEG2000Lossless, generate_instance_uid=False)
    header.save_as(path, enforce_file_format=True)


def _header(uid: str, tags: Mapping[str, Any], shape: tuple[int, ...], bits: int, syntax: UID) -> Dataset:
    """All of a greyscale radiograph's header but its pixels and how they are to be seen."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = _IMPLEMENTATION
    header = Dataset()
    header.file_meta = meta
    header.SOPClassUID, header.SOPInstanceUID = ComputedRadiographyImageStorage, uid
    header.Modality, header.BodyPartExamined, header.ConversionType = "CR", "CHEST", "WSD"
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.Rows, header.Columns = shape
    header.BitsAllocated, header.BitsStored, header.HighBit = 8 if bits == 8 else 16, bits, bits - 1
    return header


def _encode_jpeg(pixels: Pixels, quality: int, mode: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
