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

from pipeline.phantom.resample import resize

Field = NDArray[np.floating[Any]]  # [S, S], float32
Points = NDArray[np.float64]  # [K, 2], x and y in body coordinates
Line = tuple[Points, float, float]  # points, width in body coordinates, level 0..1
Window = tuple[slice, slice]  # rows and columns
EVERYWHERE: Window = (slice(None), slice(None))

_FINE = 512  # pixels across of the supersampled canvas, at least
_PIVOT = np.array((0, 0.5))  # body coordinates of what the view turns about
_CORNER = np.array((0.5, 0))  # from the middle of the image's upper edge to its corner


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
        steps = ((np.arange(size) + 0.5) / size).astype(np.float32)
        u, v = steps - np.float32(0.5) - np.float32(self._centre[0]), (steps - np.float32(self._centre[1]))[:, None]
        self.x: Field = back[0, 0] * u + back[0, 1] * v
        self.y: Field = back[1, 0] * u + back[1, 1] * v + np.float32(0.5)

    def fill(self, *outlines: Points) -> Field:
        """Coverage 0..1 of polygons."""
        canvas = self._canvas()
        draw = ImageDraw.Draw(canvas)
        for outline in outlines:
            draw.polygon(self._pixels(outline), fill=255)
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
        seen = np.moveaxis(self._seen(paths) * self.size - 0.5, 2, 0).copy()  # [2, N, K]
        steps = np.diff(seen)
        length = np.hypot(*steps)
        count = max(2, int(np.ceil(length.max() / 0.7)))
        along = (np.arange(count) + 0.5) / count
        points = (seen[:, :, :-1, None] + along * steps[..., None]).reshape(2, -1)
        weight = np.repeat((length * mass[:, None]).ravel() / count, count)
        low = np.floor(points)
        x, y = points - low
        column, row = np.clip(low, -2, self.size).astype(np.int64) + 2  # two pixels of border take what lies outside
        left, top, right, bottom = column.min(), row.min(), column.max() + 2, row.max() + 2
        wide, cells = right - left, (right - left) * (bottom - top)
        cell = (row - top) * wide + column - left
        total = np.zeros(cells)
        for share, corner in (((1 - x) * (1 - y), 0), (x * (1 - y), 1), ((1 - x) * y, wide), (x * y, wide + 1)):
            total += np.bincount(cell + corner, share * weight, cells)
        bordered = np.zeros((self.size + 4, self.size + 4), np.float32)
        bordered[top:bottom, left:right] = total.reshape(-1, wide)
        return bordered[2:-2, 2:-2]

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, window: Window = EVERYWHERE) -> Field:
        """Squared distance from (x, y) in radii, of the window's pixels: below 1 inside the ellipse."""
        dx, dy = self.x[window] - np.float32(x), self.y[window] - np.float32(y)
        return (dx / np.float32(rx)) ** 2 + (dy / np.float32(ry or rx)) ** 2

    def window(self, x: float, y: float, rx: float, ry: float) -> Window:
        """Rows and columns that hold every pixel less than rx and ry away from (x, y)."""
        centre, reach = self._seen(np.array((x, y))), np.abs(self._turn) @ (rx, ry)
        low, high = ((centre + way * reach) * self.size + way for way in (-1, 1))
        rows, columns = (slice(max(0, int(low[i])), max(0, int(high[i]))) for i in (1, 0))
        return rows, columns

    def ball(self, x: float, y: float, rx: float, ry: float | None = None) -> Field:
        """Path length through an ellipsoid, 1 at its centre."""
        ball = np.zeros_like(self.x)
        window = self.window(x, y, rx, ry or rx)
        ball[window] = np.sqrt(np.maximum(1 - self.disc(x, y, rx, ry, window), 0))
        return ball

    def cloud(self, x: float, y: float, rx: float, ry: float, ragged: float, rng: np.random.Generator) -> Field:
        """A blob of irregular outline, 0..1, soft at its edge."""
        rough = self.texture(rng, max(rx, ry) * 0.55)
        reach = 1.25 + ragged * max(float(rough.max()), 0.0) + 1e-3  # radii at which nothing can be left
        window = self.window(x, y, rx * reach, ry * reach)
        cloud = np.zeros_like(rough)
        cloud[window] = smooth(1.25 - np.sqrt(self.disc(x, y, rx, ry, window)) + ragged * rough[window], 0.0, 0.6)
        return cloud

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
        """Coverage of every pixel, from its finer ones; only the drawn part of the canvas is reduced."""
        field = np.zeros_like(self.x)
        if drawn := canvas.getbbox():
            left, top = drawn[0] // self._fine, drawn[1] // self._fine
            right, bottom = -(-drawn[2] // self._fine), -(-drawn[3] // self._fine)
            box = (left * self._fine, top * self._fine, right * self._fine, bottom * self._fine)
            part = np.asarray(canvas.reduce(self._fine, box), np.float32)
            np.divide(part, np.float32(255), out=field[top:bottom, left:right])
        return field

    def _pixels(self, points: Points) -> list[float]:
        pixels: list[float] = (self._seen(points) * self.size * self._fine - 0.5).ravel().tolist()
        return pixels

    def _seen(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Body coordinates [..., 2] to fractions of the image."""
        seen: NDArray[np.float64] = (np.asarray(points) - _PIVOT) @ self._turn.T + self._centre + _CORNER
        return seen


def smooth(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, and a smooth step between."""
    t: Field = (field - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    square = t * t
    t *= -2
    t += 3
    square *= t
    return square


def fraction(field: Field) -> Field:
    """What is above the next lower whole number: the same as `field % 1`, and many times as fast."""
    return field - np.floor(field)


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur; sigma as a fraction of the image. A narrow one works where something is, a wide one reduced."""
    size = field.shape[0]
    step = max(1, int(sigma * size / 2.5))
    if step == 1:
        window = _drawn(field, margin=int(3 * sigma * size + 0.5))
        blurred = np.zeros_like(field, np.float32)
        blurred[window] = ndimage.gaussian_filter(field[window], sigma * size, truncate=3, mode="nearest")
        return blurred
    small = np.asarray(Image.fromarray(field).reduce(step), np.float32)
    return resize(ndimage.gaussian_filter(small, sigma * size / step, truncate=3, mode="nearest"), size)


def _drawn(field: Field | NDArray[np.bool_], margin: int) -> Window:
    """Rows and columns of all that is not 0, and a margin of pixels."""
    lines = [np.flatnonzero(field.any(axis)).tolist() or [0] for axis in (1, 0)]
    rows, columns = (slice(max(0, line[0] - margin), line[-1] + margin + 1) for line in lines)
    return rows, columns


def inner_distance(mask: Field) -> Field:
    """Distance to the nearest pixel outside the mask, as a fraction of the image; smooth, to 1/96 or so."""
    size = mask.shape[0]
    step = max(1, size // 96)
    small = np.asarray(Image.fromarray(mask).reduce(step), np.float32) > 0.5
    padded = np.pad(small, 1, mode="edge")
    inside = _drawn(padded, margin=1)
    near = np.zeros(padded.shape, np.float32)
    near[inside] = ndimage.distance_transform_edt(padded[inside])
    return np.maximum(resize(near[1:-1, 1:-1] * np.float32(step / size), size), 0)


def curve(knots: Iterable[Sequence[float] | Points], steps: int = 8, closed: bool = False) -> Points:
    """Catmull-Rom curve through the knots; repeat a knot for a corner."""
    p = np.array([(knot[0], knot[1]) for knot in knots], dtype=np.float64)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    spans = p[np.arange(len(p) - 3)[:, None] + np.arange(4)]  # [segments, 4, 2]
    return np.concatenate([(_basis(steps) @ spans).reshape(-1, 2), p[-2:-1]])


@lru_cache(maxsize=8)
def _basis(steps: int) -> NDArray[np.float64]:
    """Catmull-Rom weights of four knots at `steps` points between the middle two, [steps, 4]."""
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    powers = np.concatenate([t**0, t, t**2, t**3], 1)
    basis: NDArray[np.float64] = powers @ np.array([(0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1)]) / 2
    return basis
