"""The drawing board: body coordinates on a pixel grid, and the few strokes everything is drawn with.

Body coordinates are fractions of the image: x from -0.5 (image's left, the patient's right) to 0.5, y from 0 (top)
to 1. It knows nothing of anatomy.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Field = NDArray[np.floating[Any]]  # [S, S], float32
Points = NDArray[np.float64]  # [K, 2], x and y in body coordinates
Line = tuple[Points, float, float]  # points, width in body coordinates, level 0..1

_FINE = 512  # pixels across of the supersampled canvas, at least


class Board:
    """A square pixel grid that looks at the body under a tilt, a zoom and a shift.

    Attributes:
        size: S, pixels.
        x, y: body coordinates of the pixels, [S, S].
    """

    def __init__(
        self, size: int, tilt: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.size = size
        self._fine = max(2, -(-_FINE // size))
        angle = np.deg2rad(tilt)
        self._turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._centre = np.array([shift[0], 0.5 + shift[1]])
        back = np.linalg.inv(self._turn).astype(np.float32)
        u, v = _grid(size)
        u, v = u - np.float32(self._centre[0]), v - np.float32(self._centre[1])
        self.x: Field = back[0, 0] * u + back[0, 1] * v
        self.y: Field = back[1, 0] * u + back[1, 1] * v + np.float32(0.5)

    def fill(self, *outlines: Points) -> Field:
        """Coverage 0..1 of polygons."""
        canvas = self._canvas()
        for outline in outlines:
            ImageDraw.Draw(canvas).polygon(self._pixels(outline), fill=255)
        return self._read(canvas)

    def stroke(self, lines: Iterable[Line]) -> Field:
        """Coverage of polylines times their levels; a later line lies on top of an earlier one."""
        canvas = self._canvas()
        draw = ImageDraw.Draw(canvas)
        for points, width, level in lines:
            pixels = width * self.size * self._fine
            fill = round(255 * level * min(1.0, pixels))
            draw.line(self._pixels(points), fill=fill, width=max(1, round(pixels)))
        return self._read(canvas)

    def threads(self, paths: NDArray[np.float64], widths: NDArray[np.float64], levels: NDArray[np.float64]) -> Field:
        """Many soft-edged threads at once, summed: paths [N, K, 2], widths [N], peak levels [N]."""
        total = np.zeros((self.size, self.size), np.float32)
        for low, high in ((0.0, 0.0035), (0.0035, 0.007), (0.007, 1.0)):
            chosen = (widths >= low) & (widths < high)
            if chosen.any():
                sigma = max(0.36 * float(widths[chosen].mean()), 0.55 / self.size)
                total += blur(self._splat(paths[chosen], levels[chosen] * sigma * self.size * 2.5066), sigma)
        return total

    def _splat(self, paths: NDArray[np.float64], mass: NDArray[np.float64]) -> Field:
        """Spread a mass per pixel of length along paths, bilinearly between pixels."""
        seen = self._seen(paths) * self.size - 0.5  # [N, K, 2]
        steps = np.diff(seen, axis=1)
        length = np.hypot(steps[..., 0], steps[..., 1])
        count = max(2, int(np.ceil(length.max() / 0.7)))
        along = ((np.arange(count) + 0.5) / count)[:, None]
        points = (seen[:, :-1, None] + along * steps[:, :, None]).reshape(-1, 2)
        weight = np.repeat((length * mass[:, None]).ravel() / count, count)
        low = np.floor(points).astype(np.int64)
        part = points - low
        total = np.zeros(self.size * self.size)
        for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
            column, row = low[:, 0] + i, low[:, 1] + j
            share = np.abs(1 - i - part[:, 0]) * np.abs(1 - j - part[:, 1]) * weight
            seen_here = (column >= 0) & (column < self.size) & (row >= 0) & (row < self.size)
            cell = (row * self.size + column)[seen_here]
            total += np.bincount(cell, share[seen_here], self.size * self.size)
        return total.astype(np.float32).reshape(self.size, self.size)

    def disc(self, x: float, y: float, rx: float, ry: float | None = None) -> Field:
        """Squared distance from (x, y) in radii: below 1 inside the ellipse."""
        return ((self.x - np.float32(x)) / np.float32(rx)) ** 2 + ((self.y - np.float32(y)) / np.float32(ry or rx)) ** 2

    def ball(self, x: float, y: float, rx: float, ry: float | None = None) -> Field:
        """Path length through an ellipsoid, 1 at its centre."""
        return np.sqrt(np.maximum(1 - self.disc(x, y, rx, ry), 0))

    def cloud(self, x: float, y: float, rx: float, ry: float, ragged: float, rng: np.random.Generator) -> Field:
        """A blob of irregular outline, 0..1, soft at its edge."""
        rough = self.texture(rng, max(rx, ry) * 0.55)
        return smooth(1.25 - np.sqrt(self.disc(x, y, rx, ry)) + ragged * rough, 0.0, 0.6)

    def texture(self, rng: np.random.Generator, scale: float) -> Field:
        """Smooth noise of unit variance (about) whose grain is `scale` in body coordinates."""
        cells = int(np.clip(1 / scale, 3, 400)) + 3
        coarse = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(1.35)
        return resize(coarse, self.size)

    def net(self, rng: np.random.Generator, scale: float, width: float = 0.22) -> Field:
        """A mesh of fine lines, 0..1: the zero crossings of a smooth noise."""
        return np.maximum(1 - np.abs(self.texture(rng, scale)) / np.float32(width), 0)

    def _canvas(self) -> Image.Image:
        return Image.new("L", (self.size * self._fine,) * 2)

    def _read(self, canvas: Image.Image) -> Field:
        return np.asarray(canvas.reduce(self._fine), np.float32) / np.float32(255)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        pixels: list[tuple[float, float]] = list(
            map(tuple, (self._seen(points) * self.size * self._fine - 0.5).tolist())
        )
        return pixels

    def _seen(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Body coordinates [..., 2] to fractions of the image."""
        seen: NDArray[np.float64] = (np.asarray(points) - (0, 0.5)) @ self._turn.T + self._centre + (0.5, 0)
        return seen


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Field, Field]:
    steps = ((np.arange(size) + 0.5) / size).astype(np.float32)
    u, v = np.meshgrid(steps - np.float32(0.5), steps)
    return u, v


def smooth(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, and a smooth step between."""
    t: Field = (field - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    square = t * t
    t *= -2
    t += 3
    square *= t
    return square


def resize(field: Field, size: int) -> Field:
    """Bicubic interpolation to size x size."""
    return np.asarray(Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC), np.float32)


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur; sigma as a fraction of the image. A wide one works on a reduced image."""
    size = field.shape[0]
    step = max(1, int(sigma * size / 2.5))
    if step == 1:
        return np.asarray(ndimage.gaussian_filter(field, sigma * size, truncate=3, mode="nearest"), np.float32)
    small = np.asarray(Image.fromarray(field).reduce(step), np.float32)
    return resize(ndimage.gaussian_filter(small, sigma * size / step, truncate=3, mode="nearest"), size)


def inner_distance(mask: Field) -> Field:
    """Distance to the nearest pixel outside the mask, as a fraction of the image; smooth, to 1/96 or so."""
    size = mask.shape[0]
    step = max(1, size // 96)
    small = np.asarray(Image.fromarray(mask).reduce(step), np.float32) > 0.5
    padded = np.pad(small, 1, mode="edge")
    near = ndimage.distance_transform_edt(padded)[1:-1, 1:-1].astype(np.float32)
    return np.asarray(np.maximum(resize(near * np.float32(step / size), size), 0), np.float32)


def curve(knots: Iterable[Sequence[float] | Points], steps: int = 8, closed: bool = False) -> Points:
    """Catmull-Rom curve through the knots; repeat a knot for a corner."""
    p = np.array([(knot[0], knot[1]) for knot in knots], dtype=np.float64)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    spans = np.stack([p[i : len(p) - 3 + i] for i in range(4)], 1)  # [segments, 4, 2]
    return np.concatenate([(_basis(steps) @ spans).reshape(-1, 2), p[-2:-1]])


@lru_cache(maxsize=8)
def _basis(steps: int) -> NDArray[np.float64]:
    """Catmull-Rom weights of four knots at `steps` points between the middle two, [steps, 4]."""
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    powers = np.concatenate([t**0, t, t**2, t**3], 1)
    basis: NDArray[np.float64] = powers @ np.array([(0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1)]) / 2
    return basis
