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
from pipeline.images.dicom import MAX_BYTES, MAX_PIXELS, PREAMBLE, decode_dicom
from pipeline.images.geometry import letterbox

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


def decode(path: Path, size: int) -> Decoded:
    """Decode an image file into a size x size square.

    Args:
        path: a JPEG, PNG or DICOM file under any name.
        size: S, pixels.

    Raises:
        ImageError: names the file, why it cannot be decoded, and what to do.
    """
    try:
        content = _read(path)
        grey, width, height, invert = _open(content, size)
        return Decoded(_to_square(grey, width, height, size, invert), width, height)
    except ImageError as error:
        raise ImageError(f"{path} {error}: fetch it again, or let images.max_broken pass over it.") from error
    except (MemoryError, OSError, ValueError, SyntaxError, ArithmeticError, LookupError) as error:
        raise ImageError(
            f"{path} is damaged ({error}): fetch it again, or let images.max_broken pass over it."
        ) from error


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


def _open(content: bytes, size: int) -> tuple[Image.Image, int, int, bool]:
    """Grey image (mode L or F) of any size, its upright stored size, and whether to invert it."""
    if content.startswith(b"\xff\xd8\xff"):
        return *_open_jpeg(content, size), False
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return *_open_png(content), False
    if content[PREAMBLE : PREAMBLE + 4] == b"DICM":
        values, invert = decode_dicom(content)
        grey = Image.fromarray(values)
        return grey, grey.width, grey.height, invert
    raise ImageError("is neither JPEG, PNG nor DICOM")


def _open_jpeg(content: bytes, size: int) -> tuple[Image.Image, int, int]:
    with Image.open(BytesIO(content), formats=["JPEG"]) as image:
        width, height = _check_size(image)
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        if image.mode in ("L", "RGB"):
            place = letterbox([width], [height], size)
            # Strict: a damaged scan is an error. Pillow would return what it made of it.
            pixels = simplejpeg.decode_jpeg(
                content, "GRAY", min_height=int(place.height[0]), min_width=int(place.width[0]), min_factor=1
            )
            grey = Image.fromarray(pixels[:, :, 0])
        else:
            grey = image.convert("RGB").convert("L")  # CMYK
    return _upright(grey, width, height, turn)


def _open_png(content: bytes) -> tuple[Image.Image, int, int]:
    with Image.open(BytesIO(content), formats=["PNG"]) as image:
        width, height = _check_size(image)
        image.load()
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        return _upright(_grey(image), width, height, turn)


def _check_size(image: Image.Image) -> tuple[int, int]:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image.size


def _grey(image: Image.Image) -> Image.Image:
    """Mode L, or F for more than 8 bits; transparent parts become black, as the bars beside the image are."""
    if image.mode.startswith("I"):
        return Image.fromarray(np.asarray(image).astype(np.float32))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("L")


def _upright(grey: Image.Image, width: int, height: int, turn: Image.Transpose | None) -> tuple[Image.Image, int, int]:
    if turn is None:
        return grey, width, height
    turned = grey.transpose(turn)
    on_its_side = turn in (TURNS[5], TURNS[6], TURNS[7], TURNS[8])
    return (turned, height, width) if on_its_side else (turned, width, height)


def _to_square(grey: Image.Image, width: int, height: int, size: int, invert: bool) -> ByteImage:
    """Resize with antialiasing (boxes, then a triangle filter), scale to 8 bit, and centre."""
    place = letterbox([width], [height], size)
    across, down = int(place.width[0]), int(place.height[0])
    resized = np.asarray(grey.resize((across, down), Image.Resampling.BILINEAR, reducing_gap=2.0))
    if resized.min() == resized.max():
        raise ImageError("shows a single grey level")
    inner = resized if resized.dtype == np.uint8 else _to_8_bit(resized)
    square = np.zeros((size, size), np.uint8)
    left, top = int(place.left[0]), int(place.top[0])
    square[top : top + down, left : left + across] = 255 - inner if invert else inner
    return square


def _to_8_bit(values: np.ndarray[Any, np.dtype[np.float32]]) -> ByteImage:
    low, high = np.percentile(values, PERCENTILES)
    if low == high:  # nearly everything is one grey: keep what differs
        low, high = values.min(), values.max()
    unit = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(np.rint(unit * 255), np.uint8)
