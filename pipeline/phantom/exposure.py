"""From attenuation to a film: scatter, noise, tone curve and the side marker."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.phantom.board import Field, blur
from pipeline.phantom.scene import Acquisition

_REFERENCE = 256  # pixels at which `Acquisition.noise` is the noise of a pixel


def expose(attenuation: Field, film: Acquisition) -> NDArray[np.uint8]:
    """Expose a film: Beer-Lambert transmission, scatter, logarithmic response, quantum noise, S-shaped tone curve.

    Args:
        attenuation: line integrals, >= 0, [S, S].
        film: exposure, contrast, scatter, noise and marker.

    Returns:
        8 bit image [S, S]; dense tissue is bright.
    """
    direct = np.exp(-np.maximum(attenuation, 0))
    scattered = np.float32(film.scatter) * (np.float32(0.25) * blur(direct, 0.12) + np.float32(0.035))
    density = -np.log(direct * np.float32(1 - 0.5 * film.scatter) + scattered)
    level = (density - np.float32(1.68 - 0.28 * film.exposure)) * np.float32(1.7 * film.contrast)
    tone = 1 / (1 + np.exp(-level))
    tone = (tone - np.float32(0.03)) / np.float32(0.94) + _noise(attenuation.shape[0], film) * (0.4 + tone)
    image = np.round(255 * np.clip(tone, 0, 1)).astype(np.uint8)
    return _mark(image, film) if film.marker else image


def _noise(size: int, film: Acquisition) -> Field:
    """Quantum noise, a little correlated; a finer grid holds more of it per pixel."""
    rng = np.random.default_rng((film.seed, 0))
    white = rng.standard_normal((size, size), dtype=np.float32)
    white[1:] += np.float32(0.5) * white[:-1]
    white[:, 1:] += np.float32(0.5) * white[:, :-1]
    return white * np.float32(film.noise * 0.8 * min(2.0, (size / _REFERENCE) ** 0.5))


def _mark(image: NDArray[np.uint8], film: Acquisition) -> NDArray[np.uint8]:
    """Burn the side marker into the upper corner of its side; "R" stands on the image's left."""
    size = image.shape[0]
    rng = np.random.default_rng((film.seed, 1))
    x = rng.uniform(0.035, 0.08) if film.marker == "R" else rng.uniform(0.89, 0.93)
    canvas = Image.fromarray(image)
    place = (x * size, rng.uniform(0.04, 0.16) * size)
    ImageDraw.Draw(canvas).text(place, film.marker, fill=int(rng.integers(215, 256)), font=_font(size * 0.055))
    return np.asarray(canvas)


@cache
def _font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)
