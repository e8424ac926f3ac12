"""What an image says of itself before anything is decoded, and what is refused on its word.

Decoders allocate and loop by these figures, so that a small file may ask for all memory or for hours.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import ImageError

MAX_PIXELS = 64_000_000  # several times the largest detector; more is a decompression bomb
MAX_BYTES = 256_000_000  # of a file, packed or unpacked
MAX_SEGMENTS = 1_000  # of a JPEG before its frame header, fill bytes included; a profile may take 255
MAX_SCANS = 100  # of a JPEG; ten are usual, and every one costs time for the whole image

JPEG, PNG, JPEG_2000 = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\x4f\xff\x51"
JP2 = b"\x00\x00\x00\x0cjP  "  # boxes around a JPEG 2000 codestream
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's or JPEG-LS' frame header
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
BARE = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a length, which do not belong before that
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

# Of a JPEG 2000. One tile and one layer are usual, code blocks of 64 x 64, precincts of 256 x 256 or more.
MAX_TILES, MAX_TILE_PARTS, MAX_LAYERS = 4_096, 10_000, 100
LEAST_BLOCK, LEAST_PRECINCT = 4, 5  # logarithms of the sides, base 2; a precinct of the lowest resolution has half
CODING, COMPONENT_CODING, START_OF_TILE, START_OF_DATA = 0xFF52, 0xFF53, 0xFF90, 0xFF93
TRANSFORMS = {0xFF74, 0xFF75, 0xFF77, 0xFF78}  # of several components, from the standard's second part


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
    at, steps = 2, 0
    while content[at] != 0xFF or (marker := content[at + 1]) not in FRAMES:
        if content[at] != 0xFF or marker in BARE or (steps := steps + 1) > MAX_SEGMENTS:
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
    right, bottom, left, top, across, down, first, above = struct.unpack_from(">8I", content, start + 8)
    channels, depth = struct.unpack_from(">HB", content, start + 40)
    if not across or not down or -(-(right - first) // across) * -(-(bottom - above) // down) > MAX_TILES:
        raise ImageError(f"is a JPEG 2000 of more than {MAX_TILES:,} tiles")
    _check_coding(content, start + 2)
    return Header(right - left, bottom - top, channels, (depth & 0x7F) + 1)


def _check_coding(content: bytes, start: int) -> None:
    """Refuse what makes a small file unfold into countless packets: they cost time and memory whether filled or not."""
    tile_parts = 0
    for marker, at in _segments(content, start):
        tile_parts += marker == START_OF_TILE
        if marker == CODING and not tile_parts:
            style, layers, levels, *block = struct.unpack_from(">BxHx3B", content, at + 4)
            precincts = content[at + 14 : at + 15 + levels] if style & 1 else b""
            sides = [exponent for both in precincts[1:] for exponent in (both & 15, both >> 4)]
            lowest = [exponent + 1 for both in precincts[:1] for exponent in (both & 15, both >> 4)]
            small = min([LEAST_PRECINCT, *sides, *lowest]) < LEAST_PRECINCT or min(block) + 2 < LEAST_BLOCK
            if small or layers > MAX_LAYERS:
                raise ImageError(f"is a JPEG 2000 of over {MAX_LAYERS} layers, or of tiny precincts or code blocks")
        elif marker in {CODING, COMPONENT_CODING} | TRANSFORMS or tile_parts > MAX_TILE_PARTS:
            raise ImageError("is a JPEG 2000 whose coding changes within, or in too many parts")


def _segments(content: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Marker and offset of every segment of the main header and of the tile-parts' headers."""
    tile_part, length = 0, 0
    while at + 4 <= len(content):
        marker, size = struct.unpack_from(">2H", content, at)
        if marker == 0xFFD9:
            return
        if marker == START_OF_DATA:
            if not length:  # up to the end
                return
            at = tile_part + length
            continue
        if marker == START_OF_TILE:
            (length,) = struct.unpack_from(">I", content, at + 6)
            tile_part = at
            if 0 < length < 14:
                raise IndexError
        if marker < 0xFF00 or size < 2:
            raise IndexError
        yield marker, at
        at += 2 + size


def _codestream_start(content: bytes) -> int:
    """Offset of what the box jp2c holds."""
    at = 0
    while content[at + 4 : at + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", content, at)
        if length < 8:
            raise IndexError
        at += length
    return at + 8
