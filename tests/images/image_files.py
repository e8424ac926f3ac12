"""Image files of every kind that the datasets hold, small and written here; what is rare is named by its key."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gdcm
import numpy as np
import pydicom
from imagecodecs import jpeg8_encode
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

HEIGHT, WIDTH = 40, 56
MARK = "47110815"  # stands where DICOM headers name somebody, and nowhere else


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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
    made.PatientName, made.PatientID, made.StudyDescription = f"{MARK}^Jane", MARK, f"chest of {MARK}"
    made.AccessionNumber = made.InstitutionName = made.ImageComments = MARK
    made.add_new(0x00091001, "LO", MARK)  # private
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


def signed(bits: int) -> Dataset:
    half = 2 ** (bits - 1)
    return dataset(gradient(-half, half - 1, np.int16), bits)


def content(made: Dataset) -> bytes:
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def lut(entries: np.ndarray, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return Sequence([item])


def jpeg(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "JPEG", quality=95)


VARIANTS: dict[str, Dataset] = {
    "8 bits": dataset(gradient(0, 255, np.uint8), 8),
    **{f"{bits} bits": dataset(gradient(0, 2**bits - 1), bits) for bits in range(9, 17)},
    **{f"{bits} bits, signed": signed(bits) for bits in (10, 12, 14, 16)},
    "signed bytes": dataset(gradient(-128, 127, np.int8), 8),
    "implicit": dataset(gradient(0, 4095), 12, ImplicitVRLittleEndian),
    "big endian": dataset(gradient(0, 4095), 12, ExplicitVRBigEndian),
    "deflated": dataset(gradient(0, 4095), 12, DeflatedExplicitVRLittleEndian),
    "rescale": dataset(gradient(0, 4095), 12, RescaleSlope=0.5, RescaleIntercept=-1024),
    "window": dataset(gradient(0, 4095), 12, WindowCenter=2000, WindowWidth=1500),
    "windows": dataset(gradient(0, 4095), 12, WindowCenter=[1500, 900], WindowWidth=[2500, 10]),
    "windows with a function": dataset(
        gradient(0, 4095), 12, WindowCenter=[1500, 900], WindowWidth=[2500, 10], VOILUTFunction="SIGMOID"
    ),
    "window, signed": dataset(gradient(-2048, 2047, np.int16), 12, WindowCenter=-100, WindowWidth=1500),
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


def framed(pixels: np.ndarray, stored: int, syntax: str, frame: bytes, fragments: int = 1, **tags: Any) -> Dataset:
    """A data set around a frame that is already compressed."""
    made = dataset(pixels, stored, syntax, **tags)
    made.PixelData = encapsulate([frame], fragments_per_frame=fragments)
    made["PixelData"].is_undefined_length = True
    return made


def compressed(syntax: str, pixels: np.ndarray, stored: int, **options: Any) -> Dataset:
    made = dataset(pixels, stored)
    made.compress(syntax, generate_instance_uid=False, **options)
    return made


def lossless_jpeg(syntax: str, pixels: np.ndarray, stored: int) -> Dataset:
    """JPEG's process 14, which only GDCM writes."""
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "x.dcm")
        Path(path).write_bytes(content(dataset(pixels, stored)))
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(path)
        assert reader.Read()
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(path)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return pydicom.dcmread(BytesIO(Path(path).read_bytes()))


EIGHT, TWELVE, SIGNED = gradient(0, 255, np.uint8), gradient(0, 4095), gradient(-2048, 2047, np.int16)
LOSSLESS = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
COMPRESSED: dict[str, Dataset] = {
    **{f"{name}, 8 bits": compressed(syntax, EIGHT, 8) for name, syntax in LOSSLESS.items()},
    **{f"{name}, 12 bits": compressed(syntax, TWELVE, 12) for name, syntax in LOSSLESS.items()},
    **{f"{name}, 16 bits": compressed(syntax, gradient(0, 65535), 16) for name, syntax in LOSSLESS.items()},
    **{f"{name}, signed": compressed(syntax, SIGNED, 12) for name, syntax in LOSSLESS.items()},
    **{
        f"lossless JPEG, {stored} bits{', signed' if pixels is SIGNED else ''}": lossless_jpeg(syntax, pixels, stored)
        for syntax, pixels, stored in (
            (JPEGLosslessSV1, EIGHT, 8),
            (JPEGLosslessSV1, TWELVE, 12),
            (JPEGLosslessSV1, SIGNED, 12),
            (JPEGLosslessSV1, gradient(0, 65535), 16),
            (JPEGLossless, gradient(0, 1023), 10),
        )
    },
    "JPEG-LS, near lossless": compressed(JPEGLSNearLossless, TWELVE, 12, jls_error=3),
    "JPEG 2000, lossy": compressed(JPEG2000, TWELVE, 12, j2k_cr=[10]),
    "JPEG": framed(EIGHT, 8, JPEGBaseline8Bit, jpeg(EIGHT)),
    "JPEG, extended": framed(EIGHT, 8, JPEGExtended12Bit, jpeg(EIGHT)),
    "JPEG, extended, 12 bits": framed(TWELVE, 12, JPEGExtended12Bit, jpeg8_encode(TWELVE, level=100, bitspersample=12)),
    "JPEG, fragments": framed(EIGHT, 8, JPEGBaseline8Bit, jpeg(EIGHT), fragments=4),
}


def png(width: int, height: int, bits: int, interlaced: bool, rows: bytes) -> bytes:
    """A grey PNG of filtered rows."""
    header = struct.pack(">2I5B", width, height, bits, 0, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + packed


def interlaced_png(pixels: np.ndarray) -> bytes:
    """The seven passes of Adam7, which Pillow reads but does not write."""
    height, width = pixels.shape
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    parts = [pixels[top::down, left::across] for top, down, left, across in passes]
    rows = b"".join(b"\0" + row.astype(">u2" if pixels.itemsize == 2 else "u1").tobytes() for p in parts for row in p)
    return png(width, height, 8 * pixels.itemsize, True, rows)


def _pictures() -> dict[str, bytes]:
    grey = Image.fromarray(EIGHT)
    colour = grey.convert("RGB")
    modes = {"grey": grey, "RGB": colour, "RGBA": colour.convert("RGBA"), "LA": grey.convert("LA")}
    modes |= {"palette": colour.quantize(64), "1 bit": grey.convert("1"), "16 bits": Image.fromarray(TWELVE)}
    jpegs = {"grey": grey, "RGB": colour, "CMYK": colour.convert("CMYK")}
    return {
        **{f"PNG, {name}": encoded(image, "PNG") for name, image in modes.items()},
        "PNG, interlaced": interlaced_png(EIGHT),
        "PNG, interlaced, 16 bits": interlaced_png(TWELVE),
        **{f"JPEG, {name}": encoded(image, "JPEG", quality=95) for name, image in jpegs.items()},
        "JPEG, progressive": encoded(grey, "JPEG", quality=95, progressive=True),
        "JPEG, lossless": jpeg8_encode(EIGHT, lossless=True),
        "JPEG, lossless, RGB": jpeg8_encode(np.asarray(colour), lossless=True),
    }


PICTURES: dict[str, bytes] = _pictures()


def revealing() -> dict[str, bytes]:
    """Files that cannot be decoded for a value that names somebody, which parsers like to quote."""
    windowed = content(dataset(TWELVE, 12, WindowCenter=20001234, WindowWidth=1500))
    rescaled = content(dataset(TWELVE, 12, RescaleSlope=20001234, RescaleIntercept=0))
    unknown_characters = content(dataset(TWELVE, 12, SpecificCharacterSet="ISO_IR 100", Rows=0))
    mark = MARK.encode()
    return {
        "window": windowed.replace(b"20001234", b"?" + mark[1:]),
        "rescale": rescaled.replace(b"20001234", mark[1:] + b"?"),
        "function": content(dataset(TWELVE, 12, WindowCenter=9, WindowWidth=9, VOILUTFunction=MARK)),
        "photometric": content(dataset(TWELVE, 12, PhotometricInterpretation=MARK)),
        "character set": unknown_characters.replace(b"ISO_IR 100", mark + b"  "),
        "no value representation": windowed.replace(b"LO\x08\x00" + mark, b"??\x08\x00" + mark),
        "transfer syntax": windowed.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.1000" + mark),
    }


def every_kind() -> dict[str, bytes]:
    """All files of this module by name, DICOM first."""
    dicoms = {f"DICOM, {name}": content(made) for name, made in (VARIANTS | COMPRESSED).items()}
    return dicoms | PICTURES
