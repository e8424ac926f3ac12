"""Many films on one page, with the outline and the name of every finding."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pipeline.phantom.lesions import Mask
from pipeline.phantom.render import Rendering, render
from pipeline.phantom.scene import Case

_COLOURS = ((255, 196, 0), (0, 200, 255), (255, 105, 180), (130, 230, 90), (190, 150, 255), (255, 140, 60))
_GREYS, _SHADES = 28, 3  # of the films, and of each colour: few, as a film's noise hardly compresses
_CAPTION = 13  # pixels of a caption line
_LINES = 4
_MARGIN = 3


def contact_sheet(cases: Sequence[Case], path: Path, columns: int = 6, size: int = 256) -> Path:
    """Draw cases side by side, each finding outlined and captioned in one colour, and write a PNG.

    Args:
        cases: what to draw, in reading order.
        path: the PNG to write; its folder is made.
        columns: films in a row.
        size: pixels of a film.

    Returns:
        The path. The same cases give the same bytes.
    """
    tiles = [_tile(case, render(case, size)) for case in cases]
    blank = Image.new("RGB", (size, size + _CAPTION * _LINES))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * blank.width, rows * blank.height))
    for place, tile in enumerate(tiles):
        page.paste(tile, (place % columns * blank.width, place // columns * blank.height))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(palette=_palette(), dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
    return path


def _palette() -> Image.Image:
    """Greys from black to white, and each colour from dark to full for the edges of letters."""
    greys = np.linspace(0, 255, _GREYS)[:, None].repeat(3, axis=1)
    shades = np.linspace(0, 1, _SHADES + 1)[1:, None, None] * np.array(_COLOURS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([greys, shades.reshape(-1, 3)]).round().astype(np.uint8).tobytes())
    return palette


def _tile(case: Case, drawn: Rendering) -> Image.Image:
    """One film above its caption."""
    size = drawn.image.shape[0]
    pixels = np.repeat(drawn.image[:, :, None], 3, axis=2)
    for number, mask in enumerate(drawn.masks):
        pixels[_outline(mask)] = _COLOURS[number % len(_COLOURS)]
    tile = Image.new("RGB", (size, size + _CAPTION * _LINES))
    tile.paste(Image.fromarray(pixels), (0, 0))
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(10)
    for number, caption in enumerate(_captions(case)):
        place = (_MARGIN, size + 1 + _CAPTION * number)
        shown = _fitted(caption, font, size - 2 * _MARGIN)
        draw.text(place, shown, fill=_COLOURS[number % len(_COLOURS)], font=font)
    return tile


def _fitted(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As many words of a caption as are not wider than a film, and dots for the others."""
    words, shown = caption.split(), caption
    while words and font.getlength(shown) > width:
        words.pop()
        shown = f"{' '.join(words)} ..."
    return shown


def _captions(case: Case) -> list[str]:
    """One line per finding; the last line counts those that found no room."""
    lines = [f"{f.name}, {f.severity}: {' + '.join(f.anatomies)}" for f in case.findings] or ["normal"]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"and {len(lines) - _LINES + 1} more"]
    return lines


def _outline(mask: Mask) -> Mask:
    outline: Mask = mask & ~ndimage.binary_erosion(mask)
    return outline
