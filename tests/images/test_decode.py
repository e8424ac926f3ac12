import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from image_files import EIGHT, PICTURES, TWELVE, encoded, interlaced_png, png
from PIL import Image

from pipeline.errors import ImageError
from pipeline.images import decode as module
from pipeline.images import headers
from pipeline.images.decode import ORIENTATION, TURNS, decode
from pipeline.images.headers import Header, codestream_header, png_header

SIZE = 32


def scene(width: int = 300, height: int = 200, seed: int = 0) -> np.ndarray:
    """Smooth shapes, so that resizing methods agree."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(np.sin(x * a / width + y * b / height + c) for a, b, c in rng.uniform(1, 9, (5, 3)))
    return np.rint(255 * (waves - waves.min()) / np.ptp(waves)).astype(np.uint8)


def save(folder: Path, image: Image.Image, name: str = "x.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def slow_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The mean of every stored pixel that a target pixel covers, weighted by area."""
    height, width = pixels.shape
    longer = max(height, width)
    across, down = round(width * size / longer), round(height * size / longer)
    square = np.zeros((size, size))
    rows = weights(height, down)
    columns = weights(width, across)
    top, left = (size - down) // 2, (size - across) // 2
    square[top : top + down, left : left + across] = rows @ pixels.astype(float) @ columns.T
    return square


def weights(stored: int, inner: int) -> np.ndarray:
    matrix = np.zeros((inner, stored))
    for target in range(inner):
        for pixel in range(stored):
            low, high = max(pixel, target * stored / inner), min(pixel + 1, (target + 1) * stored / inner)
            matrix[target, pixel] = max(0, high - low) * inner / stored
    return matrix


def close(got: np.ndarray, expected: np.ndarray, mean: float = 1.5) -> bool:
    difference = np.abs(got.astype(float) - expected)
    return bool(difference.mean() < mean and difference.max() < 16)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (333, 77), (256, 256), (1000, 700)])
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_images_are_area_averaged_and_letterboxed(tmp_path: Path, width: int, height: int, name: str) -> None:
    pixels = scene(width, height)
    options = {"quality": 97} if name == "x.jpg" else {}
    decoded = decode(save(tmp_path, Image.fromarray(pixels), name, **options), SIZE)
    assert (decoded.width, decoded.height) == (width, height)
    expected = slow_square(pixels, SIZE)
    assert close(decoded.pixels, expected)
    assert ((decoded.pixels == 0) >= (expected == 0)).all()


def test_small_images_are_enlarged(tmp_path: Path) -> None:
    pixels = decode(save(tmp_path, Image.fromarray(scene(16, 8))), SIZE).pixels
    assert (pixels[:8] == 0).all()
    assert (pixels[24:] == 0).all()
    assert pixels[8:24].any(axis=0).all()


def test_fine_stripes_do_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, :256:2] = 255
    pixels = decode(save(tmp_path, Image.fromarray(stripes)), SIZE).pixels
    assert np.abs(pixels[:, 1:15].astype(int) - 128).max() <= 3
    assert not pixels[:, 17:].any()


def as_mode(mode: str, grey: np.ndarray) -> Image.Image:
    image = Image.fromarray(grey)
    if mode == "P":
        return image.convert("RGB").quantize(256)
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    return image.convert(mode)


def stretched(square: np.ndarray) -> np.ndarray:
    """What the percentiles make of a 300 x 200 image in its square."""
    inner = square[5:26]
    low, high = np.percentile(inner, (0.5, 99.5))
    expected = np.zeros_like(square)
    expected[5:26] = 255 * np.clip((inner - low) / (high - low), 0, 1)
    return expected


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_png_modes_show_the_same(tmp_path: Path, mode: str) -> None:
    grey = scene()
    expected = decode(save(tmp_path, Image.fromarray(grey)), SIZE).pixels.astype(float)
    if mode == "I;16":
        expected = stretched(expected)
    assert close(decode(save(tmp_path, as_mode(mode, grey)), SIZE).pixels, expected, mean=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_modes_show_the_same(tmp_path: Path, mode: str, progressive: bool) -> None:
    grey = scene()
    plain = decode(save(tmp_path, Image.fromarray(grey)), SIZE).pixels
    path = save(tmp_path, as_mode(mode, grey), "x.jpg", quality=97, progressive=progressive)
    assert close(decode(path, SIZE).pixels, plain.astype(float), mean=2)


def test_12_bits_in_a_16_bit_png_use_the_whole_range(tmp_path: Path) -> None:
    image = Image.fromarray(scene().astype(np.uint16) * 16)
    pixels = decode(save(tmp_path, image), SIZE).pixels
    plain = decode(save(tmp_path, Image.fromarray(scene())), SIZE).pixels
    assert close(pixels, stretched(plain.astype(float)), mean=1)


@pytest.mark.parametrize("pixels", [EIGHT, TWELVE])
def test_interlaced_is_as_good_as_not(tmp_path: Path, pixels: np.ndarray) -> None:
    (tmp_path / "interlaced.png").write_bytes(interlaced_png(pixels))
    with Image.open(tmp_path / "interlaced.png") as image:
        assert image.info["interlace"] == 1
    expected = decode(save(tmp_path, Image.fromarray(pixels)), SIZE).pixels
    assert (decode(tmp_path / "interlaced.png", SIZE).pixels == expected).all()


def test_black_and_white(tmp_path: Path) -> None:
    bright = scene() > 128
    expected = decode(save(tmp_path, Image.fromarray(bright.astype(np.uint8) * 255)), SIZE).pixels
    assert (decode(save(tmp_path, Image.fromarray(bright)), SIZE).pixels == expected).all()


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    image = Image.fromarray(scene(200, 200)).convert("RGBA")
    alpha = np.full((200, 200), 255, np.uint8)
    alpha[:100] = 0
    image.putalpha(Image.fromarray(alpha))
    pixels = decode(save(tmp_path, image), SIZE).pixels
    assert (pixels[:15] == 0).all()
    assert pixels[17:].any()


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_undone(tmp_path: Path, name: str, orientation: int) -> None:
    upright = Image.fromarray(scene())
    undo = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path, upright.transpose(TURNS[undo]), name, exif=exif)
    decoded = decode(path, SIZE)
    assert (decoded.width, decoded.height) == upright.size
    assert close(decoded.pixels, decode(save(tmp_path, upright, "up.png"), SIZE).pixels.astype(float))


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    png = save(tmp_path, Image.fromarray(scene()))
    expected = decode(png, SIZE).pixels
    png.rename(tmp_path / "x.dcm")
    assert (decode(tmp_path / "x.dcm", SIZE).pixels == expected).all()


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is large and holds nothing."""
    return png(width, height, 8, False, b"")


SCENE = Image.fromarray(scene())
FRAME = b"\xff\xc0"  # marker of a baseline JPEG's frame header


def parts(width: int, height: int) -> tuple[bytes, bytes, bytes]:
    """A JPEG before its frame header, a header of another size, and the JPEG after it."""
    before, after = encoded(SCENE, "JPEG").split(FRAME, 1)
    length = int.from_bytes(after[:2], "big")
    return before, FRAME + after[:3] + struct.pack(">2H", height, width) + after[7:length], after[length:]


def resized_jpeg(width: int, height: int) -> bytes:
    return b"".join(parts(width, height))


def two_headers(width: int, height: int) -> bytes:
    """A JPEG with a header of another size before its own."""
    before, header, _ = parts(width, height)
    return before + header + encoded(SCENE, "JPEG")[len(before) :]


def many_scans() -> bytes:
    """A progressive JPEG with its last scan again and again: small, but each costs time for the whole image."""
    whole = encoded(SCENE, "JPEG", progressive=True)
    last = whole.rindex(headers.START_OF_SCAN)
    return whole[:last] + whole[last:-2] * 20_000 + whole[-2:]


BAD = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "text": (b"not an image at all", "is neither JPEG, PNG nor DICOM"),
    "gif": (encoded(SCENE, "GIF"), "is neither JPEG, PNG nor DICOM"),
    "bomb": (bomb(9_000, 9_000), "more than 64,000,000"),
    "larger bomb": (bomb(60_000, 60_000), "60000 x 60000 pixels, which is none or more than 64,000,000"),
    "JPEG bomb": (resized_jpeg(60_000, 60_000), "60000 x 60000 pixels, which is none or more than 64,000,000"),
    "JPEG without rows": (resized_jpeg(300, 0), "300 x 0 pixels, which is none"),
    "taller JPEG": (resized_jpeg(300, 400), "is damaged"),
    "two sizes": (two_headers(300, 400), "is a JPEG of two sizes"),
    "repeated header": (two_headers(300, 200), "is damaged"),
    "fill": (encoded(SCENE, "JPEG").replace(b"\xff\xc0", b"\xff" * 1_000 + b"\xff\xc0"), "without a frame header"),
    "comments": (
        encoded(SCENE, "JPEG").replace(b"\xff\xc0", b"\xff\xfe\0\2" * 1_000 + b"\xff\xc0"),
        "without a frame header",
    ),
    "many scans": (many_scans(), "is a JPEG of more than 100 scans"),
    "truncated PNG": (encoded(SCENE, "PNG")[:-2000], "is damaged"),
    "truncated JPEG": (encoded(SCENE, "JPEG")[:-200], "is damaged"),
    "JPEG without end": (encoded(SCENE, "JPEG")[:-2], "is damaged"),
    "JPEG header": (encoded(SCENE, "JPEG")[:30], "without a frame header"),
    "PNG header": (encoded(SCENE, "PNG")[:20], "a PNG without a header"),
    "magic": (b"\xff\xd8\xff", "without a frame header"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_decoded_whole_is_named(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    path = tmp_path / "broken image.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        decode(path, SIZE)
    assert str(caught.value).startswith(f"{path} ")
    assert "0x" not in str(caught.value)  # the same words in every run


def test_missing_and_oversized_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png cannot be read \(No such file"):
        decode(tmp_path / "nowhere.png", SIZE)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(ImageError, match="has more than 100 bytes"):
        decode(save(tmp_path, Image.fromarray(scene())), SIZE)


def test_an_image_of_one_grey_is_broken(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="shows a single grey level"):
        decode(save(tmp_path, Image.fromarray(np.full((50, 50), 7, np.uint8))), SIZE)


def test_what_is_refused_by_its_header_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 scans take minutes."""
    opened: list[object] = []
    monkeypatch.setattr(module.Image, "open", opened.append)
    monkeypatch.setattr(module.simplejpeg, "decode_jpeg", opened.append)
    (tmp_path / "x").write_bytes(many_scans())
    with pytest.raises(ImageError, match="scans"):
        decode(tmp_path / "x", SIZE)
    assert opened == []


@pytest.mark.parametrize("name", PICTURES)
def test_headers_say_what_pillow_says(name: str) -> None:
    read = png_header if name.startswith("PNG") else codestream_header
    with Image.open(BytesIO(PICTURES[name])) as image:
        assert read(PICTURES[name]).size == image.size


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["L", "RGB", "CMYK"]), st.booleans())
def test_jpeg_headers_are_read(width: int, height: int, mode: str, progressive: bool) -> None:
    content = encoded(Image.new(mode, (width, height)), "JPEG", progressive=progressive, comment=b"c" * width)
    expected = Header(width, height, channels=len(mode) if mode != "L" else 1)
    assert codestream_header(content) == expected
    filled = content.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1)  # filler before a marker is allowed
    assert codestream_header(filled) == expected


@settings(max_examples=50)
@given(st.integers(1, 99), st.integers(1, 99), st.sampled_from(["L", "RGB", "I;16"]), st.booleans())
def test_jpeg_2000_headers_are_read(width: int, height: int, mode: str, boxed: bool) -> None:
    content = encoded(Image.new(mode, (width, height)), "JPEG2000", no_jp2=not boxed)
    assert content.startswith(headers.JP2) == boxed
    expected = Header(width, height, channels=3 if mode == "RGB" else 1, bits=16 if mode == "I;16" else 8)
    assert codestream_header(content) == expected


@given(st.binary(max_size=200))
@example(headers.JP2 + bytes(20))
@example(headers.JPEG + b"\xff" * 20)
def test_headers_of_anything_are_read_or_refused(content: bytes) -> None:
    for start in (b"", headers.JPEG, headers.JP2, headers.JPEG_2000, headers.PNG):
        for read in (png_header, codestream_header):
            try:
                width, height = read(start + content).size
            except ImageError:
                continue
            assert 0 < width * height <= headers.MAX_PIXELS
