from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest

from pipeline.benchmarks import vinbigdata
from pipeline.images.decode import decode
from pipeline.phantom.cohort import Visit, sample_cohort
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.layouts.marks import boxes_of
from pipeline.phantom.layouts.vinbigdata import CLASSES, write_vinbigdata
from pipeline.phantom.render import render

SIZE = 96
IMAGES = 60


@pytest.fixture(scope="module")
def visits() -> list[Visit]:
    named = tuple(CLASSES)
    return sample_cohort(np.random.default_rng(4), IMAGES, wanted=named, share=0.6, allowed=named, returning=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, visits: list[Visit]) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "vinbigdata"
    folder.mkdir()
    with Darkroom(1) as darkroom:
        severities = write_vinbigdata(folder, visits, SIZE, np.random.default_rng(2), darkroom)
    (folder.parent / "truth").mkdir()
    named = severities.select(pl.lit("vinbigdata").alias("dataset"), pl.all())
    named.write_parquet(folder.parent / "truth/severity.parquet")
    return folder


@pytest.fixture(scope="module")
def rows(root: Path) -> dict[str, dict[str, list[list[str]]]]:
    """image_id -> radiologist -> the fields of each row."""
    header, *lines = (root / "train.csv").read_text().splitlines()
    assert header == "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    read: dict[str, dict[str, list[list[str]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        fields = line.split(",")
        read[fields[0]][fields[3]].append(fields)
    return read


def test_three_radiologists_read_each_image(root: Path, rows: dict) -> None:
    assert {path.stem for path in (root / "train").glob("*.dicom")} == set(rows)
    assert len(rows) == IMAGES
    assert {len(readings) for readings in rows.values()} == {3}
    assert len({reader for readings in rows.values() for reader in readings}) > 10


def test_radiologists_disagree_a_little(rows: dict, visits: list[Visit]) -> None:
    """Each names most of what is drawn and hardly more; their boxes differ by a few pixels."""
    named, drawn, imagined, apart = 0, 0, 0, []
    for readings, visit in zip(rows.values(), visits, strict=True):
        truth = {CLASSES[finding.name][0] for finding in visit.case.findings}
        for marks in readings.values():
            classes = {fields[1] for fields in marks} - {"No finding"}
            named, drawn, imagined = named + len(classes & truth), drawn + len(truth), imagined + len(classes - truth)
        enclosing = [
            (CLASSES[finding.name][0], box)
            for finding, mask in zip(visit.case.findings, render(visit.case, SIZE).masks, strict=True)
            for box in boxes_of(mask, finding)
        ]
        for fields in (fields for marks in readings.values() for fields in marks if fields[1] in truth):
            left, top, right, bottom = map(float, fields[4:])
            assert 0 <= left < right <= SIZE
            assert 0 <= top < bottom <= SIZE
            apart.append(min(abs(left - box.x) + abs(top - box.y) for label, box in enclosing if label == fields[1]))
    assert 0.85 < named / drawn < 1
    assert 0 < imagined / (3 * IMAGES) < 0.1
    assert 0 < np.mean(apart) < 0.05 * SIZE


def test_the_reader_finds_what_most_radiologists_name(root: Path, rows: dict, visits: list[Visit]) -> None:
    benchmark = vinbigdata.read(root, seed=0)
    voted = {
        (image, label)
        for image, readings in rows.items()
        for label, count in Counter(name for marks in readings.values() for name in {f[1] for f in marks}).items()
        if count >= 2 and label != "No finding"
    }
    positive = benchmark.labels.filter(label=1)
    spelled = {canonical: label for label, canonical in vinbigdata.FINDINGS.items()}
    assert {(image, spelled[finding]) for image, finding in positive.select("image_id", "finding").rows()} == voted
    drawn = {
        (image, CLASSES[finding.name][0], finding.severity)
        for image, visit in zip(rows, visits, strict=True)
        for finding in visit.case.findings
    }
    known = positive.drop_nulls("severity").select("image_id", "finding", "severity").rows()
    assert {(image, spelled[finding], severity) for image, finding, severity in known} <= drawn
    assert len(known) > 0.95 * len(positive), "severities of the truth are not found"
    assert benchmark.counts["findings_outvoted"] > 0


def test_films_of_every_kind_show_the_same(root: Path, rows: dict, visits: list[Visit]) -> None:
    """Whatever depth, photometric interpretation, window and compression, the reader sees what was drawn."""
    kinds = set()
    for image, visit in zip(rows, visits, strict=True):
        path = root / "train" / f"{image}.dicom"
        header = pydicom.dcmread(path, stop_before_pixels=True)
        kinds.add((header.PhotometricInterpretation, "WindowWidth" in header, header.file_meta.TransferSyntaxUID.name))
        assert 10 <= header.BitsStored <= 16
        seen, drawn = decode(path, SIZE).pixels.astype(float), render(visit.case, SIZE).image.astype(float)
        assert np.corrcoef(seen.ravel(), drawn.ravel())[0, 1] > 0.995, image
    for place, least in enumerate((2, 2, 2)):
        assert len({kind[place] for kind in kinds}) == least
    assert len(kinds) > 5
