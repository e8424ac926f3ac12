"""Every DICOM variant is written here and checked against pydicom's own decoding."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
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

HEIGHT, WIDTH = 40, 56


def gradient(low: int, high: int, kind: Any = np.uint16) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    return np.rint(low + waves * (high - low)).astype(kind)


def dataset(pixels: np.ndarray, stored: int = 16, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.PatientName, made.PatientID = "Doe^Jane", "secret-id"
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = pixels.dtype.itemsize * 8, stored, stored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    if not made.file_meta.TransferSyntaxUID.is_encapsulated:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        made.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def content(made: Dataset) -> bytes:
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def reference(raw: bytes) -> np.ndarray:
    """pydicom's own chain."""
    made = pydicom.dcmread(BytesIO(raw))
    return apply_voi_lut(apply_modality_lut(made.pixel_array, made), made).astype(np.float32)


def lut(entries: np.ndarray, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return Sequence([item])


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


VARIANTS: dict[str, Dataset] = {
    "8 bits": dataset(gradient(0, 255, np.uint8), 8),
    "10 bits": dataset(gradient(0, 1023), 10),
    "12 bits": dataset(gradient(0, 4095), 12),
    "16 bits": dataset(gradient(0, 65535), 16),
    "signed": dataset(gradient(-2048, 2047, np.int16), 12),
    "implicit": dataset(gradient(0, 4095), 12, ImplicitVRLittleEndian),
    "big endian": dataset(gradient(0, 4095), 12, ExplicitVRBigEndian),
    "deflated": dataset(gradient(0, 4095), 12, DeflatedExplicitVRLittleEndian),
    "rescale": dataset(gradient(0, 4095), 12, RescaleSlope=0.5, RescaleIntercept=-1024),
    "window": dataset(gradient(0, 4095), 12, WindowCenter=2000, WindowWidth=1500),
    "windows": dataset(gradient(0, 4095), 12, WindowCenter=[1500, 900], WindowWidth=[2500, 10]),
    "exact": dataset(gradient(0, 4095), 12, WindowCenter=2000, WindowWidth=0.9, VOILUTFunction="LINEAR_EXACT"),
    "sigmoid": dataset(gradient(0, 4095), 12, WindowCenter=2000, WindowWidth=1500, VOILUTFunction="SIGMOID"),
    "rescale and window": dataset(
        gradient(-1000, 1000, np.int16), 16, RescaleSlope=2, RescaleIntercept=100, WindowCenter=50, WindowWidth=1600
    ),
    "modality table": dataset(gradient(0, 255, np.uint8), 8, ModalityLUTSequence=lut(np.arange(256) ** 2, 0, 16)),
    "VOI table": dataset(gradient(0, 4095), 12, VOILUTSequence=lut(np.arange(4000, 0, -1), 50, 12)),
    "VOI table, signed": dataset(gradient(-500, 500, np.int16), 16, VOILUTSequence=lut(np.arange(800) * 3, -300, 16)),
    "table before window": dataset(
        gradient(0, 4095), 12, VOILUTSequence=lut(np.arange(4096) // 2, 0, 12), WindowCenter=9, WindowWidth=3
    ),
}


def compressed(name: str) -> Dataset:
    if name == "JPEG":
        made = dataset(gradient(0, 255, np.uint8), 8, JPEGBaseline8Bit)
        made.PixelData = encapsulate([jpeg(gradient(0, 255, np.uint8))])
    else:
        syntax = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}[name.split(",")[0]]
        kind = np.int16 if name.endswith("signed") else np.uint16
        made = dataset(gradient(-2000 if kind is np.int16 else 0, 2000, kind), 12)
        made.compress(syntax, generate_instance_uid=False)
    made["PixelData"].is_undefined_length = True
    return made


@pytest.mark.parametrize("name", VARIANTS)
def test_display_values_are_pydicoms(name: str) -> None:
    raw = content(VARIANTS[name])
    values, invert = decode_dicom(raw)
    assert not invert
    np.testing.assert_allclose(values, reference(raw), rtol=1e-6)


CODECS = ["JPEG", "RLE", "JPEG-LS", "JPEG 2000"]


@pytest.mark.parametrize("name", [*CODECS, *(f"{codec}, signed" for codec in CODECS[1:])])
def test_compressed_values_are_pydicoms(name: str) -> None:
    raw = content(compressed(name))
    np.testing.assert_array_equal(decode_dicom(raw)[0], reference(raw))


def test_lossless_ones_give_back_what_was_drawn() -> None:
    for name in ("RLE", "JPEG-LS", "JPEG 2000"):
        np.testing.assert_array_equal(decode_dicom(content(compressed(name)))[0], gradient(0, 2000))


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


def with_meta(syntax: str) -> Dataset:
    made = dataset(gradient(0, 255, np.uint8), 8, syntax)
    made.PixelData = encapsulate([jpeg(gradient(0, 255, np.uint8))])
    made["PixelData"].is_undefined_length = True
    return made


BAD: dict[str, tuple[Dataset, str]] = {
    "colour": (dataset(gradient(0, 255, np.uint8), 8, PhotometricInterpretation="RGB", SamplesPerPixel=3), "greyscale"),
    "palette": (dataset(gradient(0, 255, np.uint8), 8, PhotometricInterpretation="PALETTE COLOR"), "not greyscale"),
    "frames": (dataset(gradient(0, 4095), 12, NumberOfFrames=2), "several frames"),
    "no pixels": (without("PixelData"), "no pixel data"),
    "no photometric": (without("PhotometricInterpretation"), "cannot be decoded"),
    "no rows": (dataset(gradient(0, 4095), 12, Rows=0), "which is none or more"),
    "huge": (dataset(gradient(0, 4095), 12, Rows=65535, Columns=65535), "more than 64,000,000"),
    "short": (dataset(gradient(0, 4095), 12, Rows=HEIGHT + 9), "cannot be decoded"),
    "bits": (dataset(gradient(0, 4095).astype(np.uint32), 32), "stores 32 of 32 bits"),
    "high bit": (dataset(gradient(0, 4095), 12, HighBit=15), "stores 12 bits below bit 15"),
    "window": (dataset(gradient(0, 4095), 12, WindowCenter=5, WindowWidth=0), "cannot be decoded"),
    "rescale": (dataset(gradient(0, 4095), 12, RescaleSlope="1e308", RescaleIntercept="1e308"), "not finite"),
    "lossless JPEG": (with_meta(JPEGLosslessSV1), "no decoder here: convert it"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_one_grey_frame_is_named_without_names(name: str, tmp_path: Path) -> None:
    made, reason = BAD[name]
    path = tmp_path / "x.dcm"
    path.write_bytes(content(made))
    with pytest.raises(ImageError, match=reason) as caught:
        decode(path, 16)
    assert str(path) in str(caught.value)
    assert "Doe" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_codestream_of_another_size_is_refused() -> None:
    for name in ("JPEG", "JPEG-LS", "JPEG 2000"):
        made = compressed(name)
        made.Rows += 1
        with pytest.raises(ImageError, match=f"a compressed frame of {WIDTH} x {HEIGHT} in an image of another size"):
            decode_dicom(content(made))


def test_a_deflated_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "MAX_BYTES", 10_000)
    with pytest.raises(ImageError, match="unpacks to more than 10,000 bytes"):
        decode_dicom(content(dataset(np.zeros((200, 200), np.uint16), 12, DeflatedExplicitVRLittleEndian)))


def test_sizes_come_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content(VARIANTS["12 bits"]))
    assert read_size(path) == (WIDTH, HEIGHT)
    for bad in (b"", b"nothing", content(without("Rows"))):
        path.write_bytes(bad)
        with pytest.raises(ImageError, match=r"x\.dcm has no readable DICOM header"):
            read_size(path)


def test_random_damage_gives_image_errors_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources = [content(compressed(name)) for name in CODECS] + [content(made) for made in VARIANTS.values()]
    path = tmp_path / "x.dcm"
    for raw in sources * 6:
        damaged = bytearray(raw)
        for _ in range(int(rng.integers(1, 12))):
            damaged[int(rng.integers(132, len(damaged)))] = int(rng.integers(256))
        path.write_bytes(damaged[: int(rng.integers(132, len(damaged)))] if rng.random() < 0.3 else damaged)
        try:
            assert decode(path, 16).pixels.shape == (16, 16)
        except ImageError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_the_deflated_body_is_where_the_check_looks() -> None:
    raw = content(VARIANTS["deflated"])
    (length,) = struct.unpack_from("<I", raw, 140)
    assert zlib.decompress(raw[144 + length :], -zlib.MAX_WBITS)
