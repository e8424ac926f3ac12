"""What an image says of itself before anything is decoded, and what is refused on its word.

Decoders allocate and loop by these figures, so that a small file may ask for all memory or for hours.
"""

import struct
from dataclasses import dataclass

from pipeline.errors import ImageError

MAX_PIXELS = 64_000_000  # several times the largest detector; more is a decompression bomb
MAX_BYTES = 256_000_000  # of a file, packed or unpacked
MAX_SCANS = 100  # of a JPEG; ten are usual, and every one costs time for the whole image

JPEG, PNG, JPEG_2000 = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\x4f\xff\x51"
JP2 = b"\x00\x00\x00\x0cjP  "  # boxes around a JPEG 2000 codestream
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's or JPEG-LS' frame header
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
BARE = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a length, which do not belong before that
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


@dataclass(frozen=True)
class Header:
    """What a PNG, JPEG, JPEG-LS or JPEG 2000 codestream declares; sizes in pixels."""

    width: int
    height: int
    channels: int = 1
    bits: int = 8  # per channel
    lossless: bool = False  # a JPEG without DCT

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def check_size(width: int, height: int) -> None:
    """Refuse an image of no pixels or of too many."""
    if min(width, height) <= 0 or width * height > MAX_PIXELS:
        raise ImageError(f"has {width} x {height} pixels, which is none or more than {MAX_PIXELS:,}")


def png_header(content: bytes) -> Header:
    """The first chunk of a PNG; channels are not looked at.

    Raises:
        ImageError: there is none, or the image is too large.
    """
    if content[12:16] != b"IHDR" or len(content) < 25:
        raise ImageError("is a PNG without a header")
    width, height, bits = struct.unpack_from(">2IB", content, 16)
    check_size(width, height)
    return Header(width, height, bits=bits)


def codestream_header(content: bytes) -> Header:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Raises:
        ImageError: there is none, the image is too large, or decoding it would take too long.
    """
    try:
        header = _jpeg_header(content) if content.startswith(JPEG) else _jpeg_2000_header(content)
    except (struct.error, IndexError):
        raise ImageError("has a codestream without a frame header") from None
    check_size(*header.size)
    return header


def _jpeg_header(content: bytes) -> Header:
    at = 2
    while content[at] != 0xFF or (marker := content[at + 1]) not in FRAMES:
        if content[at] != 0xFF or marker in BARE:
            raise IndexError
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")  # 0xFF fills
    bits, height, width, channels = struct.unpack_from(">B2HB", content, at + 4)
    several = channels > 1 or marker in PROGRESSIVE  # of one scan otherwise, and counting a large file takes 1 ms
    if several and content.count(START_OF_SCAN) > MAX_SCANS:
        raise ImageError(f"is a JPEG of more than {MAX_SCANS} scans")
    return Header(width, height, channels, bits, marker in LOSSLESS)


def _jpeg_2000_header(content: bytes) -> Header:
    """The SIZ segment: extents of the image on the reference grid, then channels and the first one's depth."""
    start = _codestream_start(content) if content.startswith(JP2) else 0
    if content[start : start + 4] != JPEG_2000:
        raise IndexError
    right, bottom, left, top = struct.unpack_from(">4I", content, start + 8)
    channels, depth = struct.unpack_from(">HB", content, start + 40)
    return Header(right - left, bottom - top, channels, (depth & 0x7F) + 1)


def _codestream_start(content: bytes) -> int:
    """Offset of what the box jp2c holds."""
    at = 0
    while content[at + 4 : at + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", content, at)
        if length < 8:
            raise IndexError
        at += length
    return at + 8
