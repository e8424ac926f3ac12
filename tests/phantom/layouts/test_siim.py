from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pipeline.phantom.cohort import Visit, sample_cohort
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.layouts.siim import write_siim
from pipeline.phantom.render import render

SIZE = 96


@dataclass(frozen=True)
class Written:
    root: Path
    visits: list[Visit]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("siim")
    rng = np.random.default_rng(2)
    visits = sample_cohort(rng, 40, wanted=["pneumothorax"], share=0.5, returning=0)
    with Darkroom(1) as darkroom:
        write_siim(root, visits, SIZE, rng, darkroom)
    return Written(root, visits)


def paint(code: str, mask: np.ndarray) -> None:
    """The published decoding, one pixel at a time."""
    numbers = [int(number) for number in code.split()]
    position = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += offset
        for pixel in range(position, position + length):
            mask[pixel % SIZE, pixel // SIZE] = True
        position += length


def test_rows_decode_to_the_masks(written: Written) -> None:
    header, *rows = (written.root / "train-rle.csv").read_text().splitlines()
    assert header == "ImageId, EncodedPixels"
    decoded: dict[str, np.ndarray] = {}
    codes: dict[str, list[str]] = {}
    for row in rows:
        image, code = row.split(",")
        codes.setdefault(image, []).append(code)
        mask = decoded.setdefault(image, np.zeros((SIZE, SIZE), bool))
        if code.strip() != "-1":
            paint(code, mask)
    for (image, mask), visit in zip(decoded.items(), written.visits, strict=True):
        drawn = [
            m
            for f, m in zip(visit.case.findings, render(visit.case, SIZE).masks, strict=True)
            if f.name == "pneumothorax"
        ]
        assert np.array_equal(mask, drawn[0] if drawn else np.zeros_like(mask)), image
        assert len(codes[image]) == 1 or "-1" not in " ".join(codes[image])
    assert {" -1", "-1"} <= {code for several in codes.values() for code in several}
    assert any(len(several) > 1 for several in codes.values())


def test_dicoms_are_nested_and_readable(written: Written) -> None:
    rows = (written.root / "train-rle.csv").read_text().splitlines()[1:]
    images = list(dict.fromkeys(row.split(",")[0] for row in rows))
    paths = {path.stem: path for path in written.root.glob("dicom-images-train/*/*/*.dcm")}
    assert set(paths) == set(images)
    for image, visit in zip(images, written.visits, strict=True):
        header = pydicom.dcmread(paths[image])
        assert (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID) == (
            paths[image].parts[-3],
            paths[image].parts[-2],
            image,
        )
        assert header.PatientAge == f"{visit.case.age:03d}Y"
        error = np.abs(header.pixel_array.astype(int) - render(visit.case, SIZE).image.astype(int))
        assert error.mean() < 3
