"""How fast X-rays become tensors: this pipeline's decoding against its limit and against Pillow's of the whole image.

The limit is the bare decoder (libjpeg-turbo by simplejpeg) at 1/8 scale from memory, without reading or resizing. Its
time goes into the entropy-coded bits, nearly the same at every scale, and libjpeg-turbo has no faster way through them.

Run: python -m perf.images. Times are of one core's CPU and of the fastest repeat, since other work on the machine takes
caches and execution units away, which CPU time does not leave out.
"""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import simplejpeg
from PIL import Image

from pipeline.images.decode import decode

SIZE = 224  # pixels of the square
LARGE = (2500, 2000)  # rows, columns of a MIMIC-CXR-JPG image; 1.5 MB there on average
REPEATS = 100
TARGET = 75  # large JPEGs per second and core


def main() -> None:
    """Print images per second and the ratios to the references, for a large JPEG and for phantoms."""
    with TemporaryDirectory() as folder:
        for name, rows, columns in (("large.jpg", *LARGE), ("small.jpg", 256, 256), ("small.png", 256, 256)):
            path = Path(folder) / name
            _film(rows, columns).save(path, quality=95)
            ours, whole = _best_rate(lambda path=path: decode(path, SIZE)), _best_rate(lambda path=path: _whole(path))
            print(
                f"{name} {columns} x {rows}, {path.stat().st_size / 1e6:.2f} MB: {ours:.0f}/s, "
                f"{ours / whole:.2f} x Pillow's whole decode and resize ({whole:.0f}/s)"
            )
            if name == "large.jpg":
                limit = _best_rate(lambda content=path.read_bytes(): _bare(content))
                print(f"  limit {limit:.0f}/s: {ours / limit:.2f} of it")
                print(f"  target {TARGET}/s: {'reached' if ours >= TARGET else 'missed'}")


def _film(rows: int, columns: int) -> Image.Image:
    """Smooth shadows with detector noise, which decides the size of the file."""
    y, x = np.mgrid[:rows, :columns]
    shadows = 120 + 60 * np.sin(5 * x / columns) + 40 * np.cos(8 * y / rows)
    noise = np.random.default_rng(0).normal(0, 3, shadows.shape)
    return Image.fromarray(np.clip(shadows + noise, 0, 255).astype(np.uint8))


def _whole(path: Path) -> None:
    with Image.open(BytesIO(path.read_bytes())) as image:
        image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def _bare(content: bytes) -> None:
    simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=1)


def _best_rate(work: Callable[[], object]) -> float:
    return 1 / min(_seconds(work) for _ in range(REPEATS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
