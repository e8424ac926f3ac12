"""Interpolation, against Pillow's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.phantom.resample import resize


@settings(max_examples=60)
@given(cells=st.integers(2, 420), size=st.integers(64, 320), seed=st.integers(0, 2**32 - 1))
def test_the_bits_are_those_of_pillow(cells: int, size: int, seed: int) -> None:
    field = np.random.default_rng(seed).standard_normal((cells, cells), dtype=np.float32)
    reference = np.asarray(Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC))
    resized = resize(field, size)
    assert resized.dtype == np.float32
    assert (resized == reference).all()
