"""A decoder of JPEG frames for pydicom that survives whatever it is given.

Eight bits go to libjpeg-turbo through simplejpeg, which makes its warnings errors, so that damage is refused; the
deeper ones, lossy or lossless, through imagecodecs, which keeps the warnings to itself: of damage within a frame
`dicom` sees there only what it costs the end. GDCM, pydicom's first choice, ends the process on some damaged frames.
"""

import simplejpeg
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from pipeline.images.headers import codestream_header

PLUGIN = "libjpeg-turbo"
SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs", "simplejpeg"))


def is_available(uid: str) -> bool:
    """Whether frames of a transfer syntax can be decoded here; pydicom asks."""
    return uid in SYNTAXES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Pixels of a grey JPEG, row by row, in one or two bytes each; the runner is told which.

    Raises:
        ValueError: the frame is damaged.
    """
    if codestream_header(frame).bits == 8:
        pixels = simplejpeg.decode_jpeg(frame, "GRAY")
    else:
        from imagecodecs import jpeg8_decode  # a third of a second, for files that few datasets hold

        pixels = jpeg8_decode(frame)
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    return bytes(pixels)


for _syntax in SYNTAXES:
    get_decoder(_syntax).add_plugin(PLUGIN, (__name__, decode_frame.__name__))
