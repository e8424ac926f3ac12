"""One greyscale DICOM frame as the display values its header asks for.

Of the header only the pixel geometry and the grey-level transform are used; nothing identifying is kept or shown.
Lossless JPEG (process 14) has no permissively licensed decoder and is an error.
"""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.errors import ImageError

PREAMBLE = 128  # bytes before the letters DICM
META_BYTES = 4096  # the transfer syntax is named within these
MAX_PIXELS = 64_000_000  # several times the largest detector; more is a decompression bomb
MAX_BYTES = 256_000_000
OPTIONAL = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers that give a JPEG's or JPEG-LS' size

FloatImage = np.ndarray[Any, np.dtype[np.float32]]
IntImage = np.ndarray[Any, np.dtype[np.integer[Any]]]


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a DICOM image in pixels, from its header alone.

    Raises:
        ImageError: the file is no DICOM or gives no size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Columns), int(header.Rows)
    except Exception as error:  # whatever a damaged header makes of the parser
        raise ImageError(f"{path} has no readable DICOM header ({_reason(error)}): fetch it again.") from error


def decode_dicom(content: bytes) -> tuple[FloatImage, bool]:
    """Decode one frame and apply the Modality LUT or rescale, then the VOI LUT or window where present.

    Args:
        content: the file.

    Returns:
        float32 [H, W] display values of any range; and whether they must be inverted (MONOCHROME1).

    Raises:
        ImageError: says why, without naming the file: the caller does.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote header values
            dataset = _parse(content)
            pixels = dataset.pixel_array  # free of what lies in bits beyond BitsStored
            return _display_values(pixels, dataset), dataset.PhotometricInterpretation == "MONOCHROME1"
    except ImageError:
        raise
    except Exception as error:  # whatever damaged bytes make of the parser and its plugins
        raise ImageError(f"cannot be decoded as DICOM ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What went wrong without the header's values, which messages of the parser may quote."""
    return type(error).__name__


def _parse(content: bytes) -> Dataset:
    if DeflatedExplicitVRLittleEndian.encode() in content[:META_BYTES]:
        _check_inflated(content)
    dataset = pydicom.dcmread(BytesIO(content))
    _check_header(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_codestream(get_frame(dataset.PixelData, 0, number_of_frames=1), dataset)
    return dataset


def _check_inflated(content: bytes) -> None:
    """Refuse a deflated data set that unpacks to far more than an image; it begins after the file meta group."""
    (meta_length,) = struct.unpack_from("<I", content, PREAMBLE + 12)  # the value of (0002,0000)
    body = content[PREAMBLE + 16 + meta_length :]
    if len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MAX_BYTES)) >= MAX_BYTES:
        raise ImageError(f"unpacks to more than {MAX_BYTES:,} bytes")


def _check_header(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        raise ImageError("has no pixel data")
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2") or dataset.SamplesPerPixel != 1:
        raise ImageError("is not greyscale (MONOCHROME1 or MONOCHROME2)")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError("holds several frames")
    if not 0 < dataset.Rows * dataset.Columns <= MAX_PIXELS:
        raise ImageError(f"has {dataset.Columns} x {dataset.Rows} pixels, which is none or more than {MAX_PIXELS:,}")
    if dataset.BitsAllocated not in (8, 16) or not 0 < dataset.BitsStored <= dataset.BitsAllocated:
        raise ImageError(f"stores {dataset.BitsStored} of {dataset.BitsAllocated} bits, which is not supported")
    if dataset.HighBit != dataset.BitsStored - 1:
        raise ImageError(f"stores {dataset.BitsStored} bits below bit {dataset.HighBit}, which is not supported")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and not get_decoder(syntax).is_available:
        raise ImageError(f"is in {syntax.name}, which has no decoder here: convert it, for instance with dcmdjpeg")


def _check_codestream(frame: bytes, dataset: Dataset) -> None:
    """Refuse a compressed frame whose own size is not the header's: decoders allocate by the former."""
    size = _codestream_size(frame)
    if size is not None and size != (dataset.Columns, dataset.Rows):
        raise ImageError(f"has a compressed frame of {size[0]} x {size[1]} in an image of another size")


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, JPEG-LS or JPEG 2000 codestream gives itself; None for others."""
    start = frame.find(b"\xff\x4f\xff\x51")
    if start >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return right - left, bottom - top
    at = 2
    while frame[:2] == b"\xff\xd8" and frame[at] == 0xFF:
        if frame[at + 1] in JPEG_FRAMES:
            height, width = struct.unpack_from(">2H", frame, at + 5)
            return width, height
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _display_values(pixels: IntImage, dataset: Dataset) -> FloatImage:
    """Look the pixels up in a table of what the header's transform makes of every stored value."""
    for name in OPTIONAL:
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    for item in dataset.get("VOILUTSequence") or []:
        entries, first, _ = item.LUTDescriptor
        item.LUTDescriptor = [entries, first, 16]  # pydicom wraps indices at the depth of 8 bit tables
    lowest = int(pixels.min())
    levels = np.arange(lowest, int(pixels.max()) + 1)
    table = apply_voi_lut(apply_modality_lut(levels, dataset), dataset).astype(np.float32)
    if not np.isfinite(table).all():
        raise ImageError("has a rescale or window that is not finite")
    display: FloatImage = table[pixels.astype(np.int32) - lowest]
    return display
