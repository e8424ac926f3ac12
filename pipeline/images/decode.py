"""One image file of any of the datasets' kinds to a letterboxed square of 8 bit grey.

What a file is follows from its first bytes, not its name. JPEGs are decoded at the smallest scale that still holds the
square; deeper images are scaled to 8 bit by percentiles. Whatever cannot be decoded whole is an ImageError.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from pipeline.errors import ImageError
from pipeline.images.dicom import PREAMBLE, decode_dicom
from pipeline.images.geometry import letterbox
from pipeline.images.headers import JPEG, MAX_BYTES, PNG, codestream_header, png_header

VERSION = 1  # raise it when the same file gives other pixels: shards kept from before are then not used
PERCENTILES = (0.5, 99.5)  # of the resized image, become 0 and 255
ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

SIDEWAYS = (TURNS[5], TURNS[6], TURNS[7], TURNS[8])
REMEDY = "mend it, fetch it again, or let images.max_broken pass over it."

ByteImage = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Decoded:
    """An image in its square.

    Attributes:
        pixels: uint8 [S, S]; the image centred, zeros beside it.
        width: of the image as stored and turned upright, pixels.
        height: of the image as stored and turned upright, pixels.
    """

    pixels: ByteImage
    width: int
    height: int


@dataclass(frozen=True)
class _Opened:
    """A grey image (mode L or F) not yet turned upright; `box` is what it shows of the stored image, in its pixels."""

    grey: Image.Image
    width: int  # as stored, pixels
    height: int
    box: tuple[float, float, float, float]
    turn: Image.Transpose | None = None
    invert: bool = False


def decode(path: Path, size: int) -> Decoded:
    """Decode an image file into a size x size square.

    Args:
        path: a JPEG, PNG or DICOM file under any name.
        size: S, pixels.

    Raises:
        ImageError: names the file, why it cannot be decoded, and what to do.
    """
    try:
        opened = _open(_read(path), size)
        inner = _resize(opened, size)
        pixels = np.zeros((size, size), np.uint8)
        top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
        pixels[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    except ImageError as error:
        raise ImageError(f"{path} {error}: {REMEDY}") from error
    except Exception as error:  # whatever damaged bytes make of the decoders
        raise ImageError(f"{path} is damaged ({_reason(error)}): {REMEDY}") from error
    sides = (opened.height, opened.width) if opened.turn in SIDEWAYS else (opened.width, opened.height)
    return Decoded(pixels, *sides)


def _reason(error: Exception) -> str:
    """The decoder's words, unless they hold an object's address, which differs from run to run."""
    words = str(error)
    return f"{type(error).__name__}: {words}" if words and " at 0x" not in words else type(error).__name__


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"has more than {MAX_BYTES:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from error
    if not content:
        raise ImageError("is empty (0 bytes)")
    return content


def _open(content: bytes, size: int) -> _Opened:
    if content.startswith(JPEG):
        return _open_jpeg(content, size)
    if content.startswith(PNG):
        return _open_png(content)
    if content[PREAMBLE : PREAMBLE + 4] == b"DICM":
        values, invert = decode_dicom(content)
        return _whole(Image.fromarray(values), invert=invert)
    raise ImageError("is neither JPEG, PNG nor DICOM")


def _whole(grey: Image.Image, turn: Image.Transpose | None = None, invert: bool = False) -> _Opened:
    return _Opened(grey, grey.width, grey.height, (0, 0, grey.width, grey.height), turn, invert)


def _open_jpeg(content: bytes, size: int) -> _Opened:
    header = codestream_header(content)
    with Image.open(BytesIO(content), formats=["JPEG"]) as image:
        if image.size != header.size:
            raise ImageError("is a JPEG of two sizes")
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        if image.mode == "CMYK" or header.lossless:  # turbojpeg writes the latter whole where it was asked for less
            return _whole(image.convert("RGB").convert("L"), turn)
        place = letterbox([image.width], [image.height], size)
        # Strict: a damaged scan is an error. Pillow would return what it made of it.
        pixels = simplejpeg.decode_jpeg(
            content, "GRAY", min_height=int(place.height[0]), min_width=int(place.width[0]), min_factor=1
        )
        eighths = round(8 * max(pixels.shape) / max(image.size))  # the last row and column may be partly filled
        box = (0.0, 0.0, image.width * eighths / 8, image.height * eighths / 8)
        return _Opened(Image.fromarray(pixels[:, :, 0]), image.width, image.height, box, turn)


def _open_png(content: bytes) -> _Opened:
    png_header(content)  # raises before Pillow looks
    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        image.load()
        return _whole(_grey(image), TURNS.get(image.getexif().get(ORIENTATION, 1)))


def _grey(image: Image.Image) -> Image.Image:
    """Mode L, or F for more than 8 bits; transparent parts become black, as the bars beside the image are."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.asarray(image).astype(np.float32))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("L")


def _resize(opened: _Opened, size: int) -> ByteImage:
    """Resize with antialiasing (whole boxes first, then a Hamming window), scale to 8 bit, and turn upright."""
    place = letterbox([opened.width], [opened.height], size)
    inner = (int(place.width[0]), int(place.height[0]))
    resized = opened.grey.resize(inner, Image.Resampling.HAMMING, opened.box, reducing_gap=2.0)
    values = np.asarray(resized.transpose(opened.turn) if opened.turn is not None else resized)
    if values.min() == values.max():
        raise ImageError("shows a single grey level")
    pixels = values if values.dtype == np.uint8 else _to_8_bit(values)
    return 255 - pixels if opened.invert else pixels


def _to_8_bit(values: np.ndarray[Any, np.dtype[np.float32]]) -> ByteImage:
    low, high = np.percentile(values, PERCENTILES)
    if low == high:  # nearly everything is one grey: keep what differs
        low, high = values.min(), values.max()
    unit = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(np.rint(unit * 255), np.uint8)
