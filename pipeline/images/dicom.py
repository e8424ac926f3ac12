"""One greyscale DICOM frame as the display values its header asks for.

Of the header only the pixel geometry and the grey-level transform are used; nothing identifying is kept or shown.
"""

import logging
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from pipeline.errors import ImageError
from pipeline.images import jpeg
from pipeline.images.headers import END_OF_IMAGE, MAX_BYTES, check_size, codestream_header

logging.getLogger("pydicom").disabled = True  # its warnings quote header values

PREAMBLE = 128  # bytes before the letters DICM
RLE_HEADER = 64  # bytes
ITEMS, MAX_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"), 10_000  # an item's tag in either order of bytes
PLUGINS = {  # pydicom would try one installed decoder after the other
    **dict.fromkeys(jpeg.SYNTAXES, jpeg.PLUGIN),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg"),
    RLELossless: "pydicom",
}
# In what is cut off CharLS may look for more for minutes, and libjpeg-turbo gives back what there is.
ENDING = (*JPEGLSTransferSyntaxes, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
FUNCTIONS = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}  # of a window: its least width, if not 0
OPTIONAL = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction")

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
            with path.open("rb") as stream:
                _check_inflated(stream)
                header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Columns), int(header.Rows)
    except Exception as error:  # whatever a damaged header makes of the parser
        raise ImageError(f"{path} has no readable DICOM header ({_reason(error)}): fetch it again.") from None


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
            warnings.simplefilter("ignore")  # they too
            dataset = _parse(content)
            pixels = dataset.pixel_array  # free of what lies in bits beyond BitsStored
            return _display_values(pixels, dataset), dataset.PhotometricInterpretation == "MONOCHROME1"
    except ImageError:
        raise
    except Exception as error:  # whatever damaged bytes make of the parser and its plugins
        raise ImageError(f"cannot be decoded as DICOM ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """What went wrong without the header's values, which the parser's messages and traceback may quote."""
    return str(error) if isinstance(error, ImageError) else type(error).__name__


def _parse(content: bytes) -> Dataset:
    stream = BytesIO(content)
    _check_items(content)
    _check_inflated(stream)
    dataset = pydicom.dcmread(stream)
    _check_header(dataset)
    _check_window(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_frame(dataset)
    return dataset


def _check_inflated(stream: BinaryIO) -> None:
    """Refuse a deflated data set that unpacks to far more than an image; the stream is left at its start."""
    stream.seek(PREAMBLE + 4)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)  # noqa: ARG005
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), MAX_BYTES)
        if len(unpacked) >= MAX_BYTES:
            raise ImageError(f"unpacks to more than {MAX_BYTES:,} bytes")
        _check_items(unpacked)
    stream.seek(0)


def _check_items(content: bytes) -> None:
    """Refuse sequences of so many items, empty ones too, that the parser would take minutes and gigabytes."""
    if max(content.count(item) for item in ITEMS) > MAX_ITEMS:
        raise ImageError(f"holds sequences of more than {MAX_ITEMS:,} items")


def _check_header(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        raise ImageError("has no pixel data")
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2") or dataset.SamplesPerPixel != 1:
        raise ImageError("is not greyscale (MONOCHROME1 or MONOCHROME2)")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError("holds several frames")
    check_size(dataset.Columns, dataset.Rows)
    if dataset.BitsAllocated not in (8, 16) or not 0 < dataset.BitsStored <= dataset.BitsAllocated:
        raise ImageError(f"stores {dataset.BitsStored} of {dataset.BitsAllocated} bits, which is not supported")
    if dataset.HighBit != dataset.BitsStored - 1:
        raise ImageError(f"stores {dataset.BitsStored} bits below bit {dataset.HighBit}, which is not supported")


def _check_window(dataset: Dataset) -> None:
    """Drop empty elements of the grey-level transform and refuse a window that no function can apply."""
    for name in OPTIONAL:
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    if dataset.get("VOILUTSequence") or not ("WindowCenter" in dataset or "WindowWidth" in dataset):
        return
    least = FUNCTIONS.get(str(dataset.get("VOILUTFunction", "LINEAR")).upper())
    width = dataset.get("WindowWidth", 0)
    width = width[0] if isinstance(width, MultiValue) else width
    if least is None or "WindowCenter" not in dataset or width < least or width <= 0:
        raise ImageError("has a window without centre, width or known function")


def _check_frame(dataset: Dataset) -> None:
    """Choose the decoder and refuse a frame that is not the header's image, since decoders allocate by the frame."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in PLUGINS:
        raise ImageError(f"is in {syntax.name}, which is not supported")
    dataset.pixel_array_options(decoding_plugin=PLUGINS[syntax])
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        if len(frame) > 2 * dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8 + RLE_HEADER:
            raise ImageError("has a run-length encoded frame far larger than its image")
        return
    header = codestream_header(frame)
    wanted = (dataset.Columns, dataset.Rows, 1)
    if (*header.size, header.channels) != wanted or header.bits > dataset.BitsAllocated:
        raise ImageError(
            f"has a compressed frame of {header.width} x {header.height} pixels, {header.channels} channels and "
            f"{header.bits} bits in an image of another kind"
        )
    if syntax in ENDING and not frame.rstrip(b"\0").endswith(END_OF_IMAGE):
        raise ImageError(f"has a frame in {syntax.name} that is cut off")


def _display_values(pixels: IntImage, dataset: Dataset) -> FloatImage:
    """Look the pixels up in a table of what the header's transform makes of every stored value."""
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
