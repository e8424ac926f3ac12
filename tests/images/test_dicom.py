"""Every DICOM variant is written by image_files and checked against pydicom's own decoding."""

import struct
import traceback
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from image_files import (
    COMPRESSED,
    EIGHT,
    HEIGHT,
    LOSSLESS,
    MARK,
    TWELVE,
    VARIANTS,
    WIDTH,
    compressed,
    content,
    dataset,
    encoded,
    framed,
    gradient,
    jpeg,
    lut,
    revealing,
)
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pipeline.errors import ImageError
from pipeline.images import dicom
from pipeline.images.decode import decode
from pipeline.images.dicom import decode_dicom, read_size
from pipeline.images.headers import codestream_header


def reference(raw: bytes) -> np.ndarray:
    """pydicom's own chain."""
    made = pydicom.dcmread(BytesIO(raw))
    return apply_voi_lut(apply_modality_lut(made.pixel_array, made), made).astype(np.float32)


@pytest.mark.parametrize("name", VARIANTS)
def test_display_values_are_pydicoms(name: str) -> None:
    raw = content(VARIANTS[name])
    values, invert = decode_dicom(raw)
    assert not invert
    np.testing.assert_allclose(values, reference(raw), rtol=1e-6)


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_values_are_pydicoms(name: str) -> None:
    raw = content(COMPRESSED[name])
    np.testing.assert_array_equal(decode_dicom(raw)[0], reference(raw))


@pytest.mark.parametrize("codec", [*LOSSLESS, "lossless JPEG"])
def test_lossless_ones_give_back_what_was_drawn(codec: str) -> None:
    np.testing.assert_array_equal(decode_dicom(content(COMPRESSED[f"{codec}, 12 bits"]))[0], TWELVE)
    np.testing.assert_array_equal(decode_dicom(content(COMPRESSED[f"{codec}, 8 bits"]))[0], EIGHT)


def test_usual_jpeg_2000_structures_pass() -> None:
    for made in (jpeg_2000(), jpeg_2000(side=640, layers=20, precincts=b"\x77\x88"), jpeg_2000(precincts=b"\x44\x55")):
        frame = get_frame(made.PixelData, 0, number_of_frames=1)
        assert codestream_header(frame).size == (made.Columns, made.Rows)


def test_lossy_jpeg_of_12_bits_gives_back_nearly_what_was_drawn() -> None:
    values, _ = decode_dicom(content(COMPRESSED["JPEG, extended, 12 bits"]))
    np.testing.assert_allclose(values, TWELVE, atol=8)


def test_compressed_values_are_rescaled_and_windowed_too() -> None:
    made = compressed(JPEGLSLossless, TWELVE, 12)
    made.RescaleSlope, made.RescaleIntercept, made.WindowCenter, made.WindowWidth = 2, -500, 3000, 2000
    raw = content(made)
    np.testing.assert_allclose(decode_dicom(raw)[0], reference(raw), rtol=1e-6)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = dataset(gradient(0, 4095), 12)
    negative = dataset(gradient(0, 4095), 12, PhotometricInterpretation="MONOCHROME1")
    pixels = []
    for number, made in enumerate((plain, negative)):
        (tmp_path / f"{number}.dcm").write_bytes(content(made))
        pixels.append(decode(tmp_path / f"{number}.dcm", HEIGHT).pixels)
    inside = pixels[0] != 0
    assert (pixels[0] + pixels[1].astype(int))[inside & (pixels[1] != 0)].tolist() == [255] * int(
        (inside & (pixels[1] != 0)).sum()
    )
    assert pixels[1][0, 0] == pixels[0][0, 0] == 0  # the bars stay black


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_bits_beyond_those_stored_do_not_count(kind: Any, syntax: str) -> None:
    clean = gradient(-900 if kind is np.int16 else 0, 900, kind)
    dirty = (clean.view(np.uint16) & 0x0FFF | 0xA000).view(kind)
    made = dataset(dirty, 12, ExplicitVRLittleEndian if syntax == RLELossless else syntax)
    if syntax == RLELossless:
        made.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(decode_dicom(content(made))[0], clean)


def test_an_8_bit_table_with_many_entries_does_not_wrap() -> None:
    table = np.arange(4096) // 16
    made = dataset(gradient(0, 4095), 12, VOILUTSequence=lut(table, 0, 8))
    np.testing.assert_array_equal(decode_dicom(content(made))[0], table[gradient(0, 4095)])


def test_empty_elements_are_as_good_as_absent() -> None:
    made = dataset(gradient(0, 4095), 12, RescaleSlope=None, RescaleIntercept=None, WindowCenter=None, WindowWidth=None)
    np.testing.assert_array_equal(decode_dicom(content(made))[0], gradient(0, 4095))


def without(name: str) -> Dataset:
    made = dataset(gradient(0, 4095), 12)
    delattr(made, name)
    return made


def colour() -> bytes:
    return encoded(Image.fromarray(EIGHT).convert("RGB"), "JPEG")


def bloated_rle() -> bytes:
    made = compressed(RLELossless, EIGHT, 8)
    return get_frame(made.PixelData, 0, number_of_frames=1) + bytes(2 * EIGHT.size)


def wide(made: Dataset) -> Dataset:
    """A 16 bit codestream in an image of 8 bits."""
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    return made


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">2H", marker, len(content) + 2) + content


def jpeg_2000(
    side: int = 64,
    tile: int = 64,
    layers: int = 1,
    block: int = 6,
    precincts: bytes = b"",
    more: bytes = b"",
    own: bytes = b"",
) -> Dataset:
    """An empty codestream of one decomposition level: `block` is the logarithm of a code block's side, `more` ends the
    main header and `own` the tile's."""
    size = struct.pack(">H8IH3B", 0, side, side, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1)
    coding = struct.pack(">2BHB5B", bool(precincts), 0, layers, 0, 1, block - 2, block - 2, 0, 1) + precincts
    quantisation = bytes([0x40, 8 << 3, 9 << 3, 9 << 3, 9 << 3])
    header = segment(0xFF51, size) + segment(0xFF52, coding) + segment(0xFF5C, quantisation) + more
    data = own + b"\xff\x93" + bytes(9)
    part = b"\xff\x90" + struct.pack(">2HI2B", 10, 0, 12 + len(data), 0, 1) + data
    frame = b"\xff\x4f" + header + part + b"\xff\xd9"
    return framed(np.zeros((side, side), np.uint8), 8, JPEG2000Lossless, frame + b"\0" * (len(frame) % 2))


BAD: dict[str, tuple[Dataset, str]] = {
    "tiles": (jpeg_2000(tile=1, side=65), "JPEG 2000 of more than 4,096 tiles"),
    "no tiles": (jpeg_2000(tile=0), "JPEG 2000 of more than 4,096 tiles"),
    "layers": (jpeg_2000(layers=101), "JPEG 2000 of over 100 layers"),
    "code blocks": (jpeg_2000(block=3), "tiny precincts or code blocks"),
    "precincts": (jpeg_2000(precincts=b"\x44\x45"), "tiny precincts or code blocks"),
    "components": (jpeg_2000(more=segment(0xFF74, bytes(9))), "coding changes within"),
    "a tile's own coding": (jpeg_2000(own=segment(0xFF52, bytes(12))), "coding changes within"),
    "items": (dataset(TWELVE, 12, VOILUTSequence=[Dataset()] * 10_001), "more than 10,000 items"),
    "colour": (dataset(gradient(0, 255, np.uint8), 8, PhotometricInterpretation="RGB", SamplesPerPixel=3), "greyscale"),
    "palette": (dataset(gradient(0, 255, np.uint8), 8, PhotometricInterpretation="PALETTE COLOR"), "not greyscale"),
    "frames": (dataset(gradient(0, 4095), 12, NumberOfFrames=2), "several frames"),
    "no pixels": (without("PixelData"), "no pixel data"),
    "no photometric": (without("PhotometricInterpretation"), "cannot be decoded"),
    "no rows": (dataset(gradient(0, 4095), 12, Rows=0), "which is none or more"),
    "huge": (dataset(gradient(0, 4095), 12, Rows=65535, Columns=65535), "more than 64,000,000"),
    "unknown photometric": (dataset(TWELVE, 12, PhotometricInterpretation="MONOCHROME3"), "not greyscale"),
    "YBR": (dataset(EIGHT, 8, PhotometricInterpretation="YBR_FULL_422", SamplesPerPixel=3), "not greyscale"),
    "short": (dataset(gradient(0, 4095), 12, Rows=HEIGHT + 9), "cannot be decoded"),
    "bits": (dataset(gradient(0, 4095).astype(np.uint32), 32), "stores 32 of 32 bits"),
    "high bit": (dataset(gradient(0, 4095), 12, HighBit=15), "stores 12 bits below bit 15"),
    "window": (dataset(TWELVE, 12, WindowCenter=5, WindowWidth=0), "a window without"),
    "narrow": (dataset(TWELVE, 12, WindowCenter=[5, 9], WindowWidth=[0.5, 9]), "a window without"),
    "half a window": (dataset(TWELVE, 12, WindowWidth=9), "a window without"),
    "other half": (dataset(TWELVE, 12, WindowCenter=9), "a window without"),
    "function": (dataset(TWELVE, 12, WindowCenter=9, WindowWidth=9, VOILUTFunction="CUBIC"), "or known function"),
    "rescale": (dataset(gradient(0, 4095), 12, RescaleSlope="1e308", RescaleIntercept="1e308"), "not finite"),
    "lossy JPEG": (framed(EIGHT, 8, JPEGLosslessSV1, jpeg(EIGHT)[:-2]), r"a frame in JPEG Lossless.* that is cut off"),
    "video": (framed(EIGHT, 8, MPEG2MPML, jpeg(EIGHT)), "is in MPEG2 Main.*, which is not supported"),
    "no frame": (framed(EIGHT, 8, JPEGBaseline8Bit, b"none at all "), "without a frame header"),
    "colour JPEG": (framed(EIGHT, 8, JPEGBaseline8Bit, colour()), f"{WIDTH} x {HEIGHT} pixels, 3 channels and 8 bits"),
    "wide codestream": (wide(compressed(JPEG2000Lossless, gradient(0, 65535), 16)), "1 channels and 16 bits"),
    "bloated RLE": (framed(EIGHT, 8, RLELossless, bloated_rle()), "far larger than its image"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_one_grey_frame_is_named_without_names(name: str, tmp_path: Path) -> None:
    made, reason = BAD[name]
    path = tmp_path / "x.dcm"
    path.write_bytes(content(made))
    with pytest.raises(ImageError, match=reason) as caught:
        decode(path, 16)
    assert str(path) in str(caught.value)
    assert MARK not in str(caught.value)


@pytest.mark.parametrize("name", revealing())
def test_errors_and_logs_quote_no_header(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(revealing()[name])
    with pytest.raises(ImageError) as caught:
        decode(path, 16)
    said = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert "x.dcm" in said
    assert MARK[1:-1] not in said


@pytest.mark.parametrize("name", ["JPEG", "JPEG, fragments", "JPEG-LS, 12 bits", "JPEG 2000, 12 bits"])
def test_a_codestream_of_another_size_is_refused(name: str) -> None:
    made = pydicom.dcmread(BytesIO(content(COMPRESSED[name])))
    made.Rows += 1
    with pytest.raises(ImageError, match=f"a compressed frame of {WIDTH} x {HEIGHT} pixels, 1 channels and"):
        decode_dicom(content(made))


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_truncated_frame_is_refused(name: str) -> None:
    made = pydicom.dcmread(BytesIO(content(COMPRESSED[name])))
    frame = get_frame(made.PixelData, 0, number_of_frames=1)
    made.PixelData = encapsulate([frame[: len(frame) * 4 // 5]])
    made["PixelData"].is_undefined_length = True
    with pytest.raises(ImageError, match=r"cannot be decoded as DICOM|cut off"):
        decode_dicom(content(made))


@pytest.mark.parametrize("name", ["9 bits", "deflated", "JPEG, fragments", "RLE, 8 bits"])
def test_a_truncated_file_is_refused(name: str) -> None:
    raw = content((VARIANTS | COMPRESSED)[name])
    with pytest.raises(ImageError):
        decode_dicom(raw[: len(raw) * 3 // 5])


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "MAX_BYTES", 10_000)
    bomb = content(dataset(np.zeros((200, 200), np.uint16), 12, DeflatedExplicitVRLittleEndian))
    with pytest.raises(ImageError, match="unpacks to more than 10,000 bytes"):
        decode_dicom(bomb)
    (tmp_path / "x.dcm").write_bytes(bomb)
    with pytest.raises(ImageError, match=r"x\.dcm has no readable DICOM header \(unpacks to more"):
        read_size(tmp_path / "x.dcm")


def test_sizes_come_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content(VARIANTS["12 bits"]))
    assert read_size(path) == (WIDTH, HEIGHT)
    for bad in (b"", b"nothing", content(without("Rows"))):
        path.write_bytes(bad)
        with pytest.raises(ImageError, match=r"x\.dcm has no readable DICOM header"):
            read_size(path)


def test_the_deflated_body_is_where_the_check_looks() -> None:
    raw = content(VARIANTS["deflated"])
    (length,) = struct.unpack_from("<I", raw, 140)
    assert zlib.decompress(raw[144 + length :], -zlib.MAX_WBITS)
