import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.phantom.cohort import Visit, sample_cohort
from pipeline.phantom.layouts.cxr14 import BOXED, LABELS, finding_labels, write_cxr14
from pipeline.phantom.layouts.darkroom import Darkroom
from pipeline.phantom.render import render

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
SIZE = 96


@dataclass(frozen=True)
class Written:
    root: Path
    splits: dict[str, list[Visit]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("nih")
    rng = np.random.default_rng(0)
    splits = {part: sample_cohort(rng, 30, share=0.6, returning=0.3) for part in ("train_val", "test")}
    with Darkroom(1) as darkroom:
        write_cxr14(root, splits, SIZE, rng, darkroom)
    return Written(root, splits)


def lines(written: Written, name: str) -> list[str]:
    return (written.root / name).read_text().splitlines()


def test_label_file(written: Written) -> None:
    header, *rows = lines(written, "Data_Entry_2017.csv")
    assert header == HEADER
    assert all(row.count(",") == header.count(",") and row.endswith(",") for row in rows)
    names = [row.split(",")[0] for row in rows]
    assert names == sorted(set(names))
    assert set(names) == {path.name for path in (written.root / "images_001/images").iterdir()}
    for row in rows:
        name, labels, follow_up, patient, age, sex, view, *sizes = row.split(",")
        assert name == f"{int(patient):08d}_{int(follow_up):03d}.png"
        assert set(labels.split("|")) <= set(LABELS) or labels == "No Finding"
        assert 0 < int(age) < 100
        assert sex in "MF"
        assert view in ("PA", "AP")
        assert len(sizes) == 5


def test_labels_are_what_is_drawn(written: Written) -> None:
    labels = {row.split(",")[0]: row.split(",")[1] for row in lines(written, "Data_Entry_2017.csv")[1:]}
    for part, visits in written.splits.items():
        for name, visit in zip(lines(written, f"{part}_list.txt"), visits, strict=True):
            drawn = {finding.name for finding in visit.case.findings}
            wanted = {label for label, canonical in LABELS.items() if canonical in drawn} or {"No Finding"}
            assert set(labels[name].split("|")) == wanted == set(finding_labels(visit.case).split("|"))


def test_lists_share_no_patient(written: Written) -> None:
    lists = {part: lines(written, f"{part}_list.txt") for part in ("train_val", "test")}
    train, test = ({name.split("_")[0] for name in names} for names in lists.values())
    assert not train & test
    assert sum(map(len, lists.values())) == len(lines(written, "Data_Entry_2017.csv")) - 1


def test_boxes_enclose_the_masks(written: Written) -> None:
    header, *rows = lines(written, "BBox_List_2017.csv")
    assert header == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    boxes: dict[tuple[str, str], list[list[float]]] = {}
    for row in csv.reader(rows):
        assert len(row) == 6
        boxes.setdefault((row[0], row[1]), []).append([float(value) for value in row[2:]])
    wanted = set()
    for name, visit in zip(lines(written, "test_list.txt"), written.splits["test"], strict=True):
        for finding, mask in zip(visit.case.findings, render(visit.case, SIZE).masks, strict=True):
            labels = [label for label, canonical in BOXED.items() if canonical == finding.name]
            if labels and mask.any():
                wanted.add((name, labels[0]))
                found = boxes[name, labels[0]]
                assert len(found) == (2 if finding.side == "both" else 1)
                covered = np.zeros_like(mask)
                for x, y, width, height in found:
                    inside = np.s_[int(y) : int(y + height), int(x) : int(x + width)]
                    covered[inside] = True
                    edges = mask[inside]
                    assert edges[0].any()
                    assert edges[-1].any()
                    assert edges[:, 0].any()
                    assert edges[:, -1].any()
                assert covered[mask].all()
    assert set(boxes) == wanted
    assert {label for _, label in boxes} >= {"Infiltrate", "Effusion"}


def test_images_hold_the_drawing_and_some_are_rgba(written: Written) -> None:
    modes = []
    for part, visits in written.splits.items():
        for name, visit in zip(lines(written, f"{part}_list.txt"), visits, strict=True):
            with Image.open(written.root / "images_001/images" / name) as image:
                modes.append(image.mode)
                assert np.array_equal(np.asarray(image.convert("L")), render(visit.case, SIZE).image)
    assert 0 < modes.count("RGBA") < modes.count("L")
