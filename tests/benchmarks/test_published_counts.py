"""Label files of the published sizes, in the published layout, give the published counts.

The image files alone are not written: what lists the folders is told their names.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import published_layouts as layouts
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def read(name: str, paths: list[str], **settings: Any) -> Benchmark:
        listing = pl.DataFrame({"path": paths}).with_columns(
            name=pl.col("path").str.split("/").list.last(), bytes=pl.lit(1, pl.Int64)
        )
        monkeypatch.setattr(BENCHMARKS[name], "list_files", lambda *_: listing.sort("path"))
        return BENCHMARKS[name].read(tmp_path, seed=0, **settings)

    return read


@pytest.mark.parametrize("release", [2017, 2020])
def test_cxr14(read, tmp_path: Path, release: int) -> None:
    paths = layouts.cxr14(tmp_path, release=release)
    benchmark = read("cxr14", paths, labels=next(path.name for path in tmp_path.glob("Data_Entry_2017*.csv")))
    assert benchmark.counts["images_published"] == benchmark.images.height == 112_120
    assert (benchmark.images["split"] == "test").sum() == benchmark.counts["images_test"] == 25_596
    assert benchmark.labels["finding"].n_unique() == 14
    assert benchmark.boxes is not None
    assert (benchmark.boxes.height, benchmark.boxes["image_id"].n_unique()) == (984, 880)
    assert (benchmark.boxes["finding"] == "infiltrate").sum() == layouts.CXR14_BOXES["Infiltrate"]
    named = sum((n % 14 <= 3 < n % 14 + n % 3) for n in range(112_120))
    assert benchmark.counts["positive_infiltrate"] == named


def test_rsna(read, tmp_path: Path) -> None:
    benchmark = read("rsna", layouts.rsna(tmp_path))
    counts = benchmark.counts
    assert (counts["rows_published"], counts["images_published"], counts["patients"]) == (30_227, 26_684, 26_684)
    assert (counts["boxes"], counts["positive_pneumonia"]) == (9_555, 6_012)
    assert benchmark.boxes is not None
    assert benchmark.boxes["image_id"].n_unique() == 6_012


@pytest.mark.parametrize("absolute", [False, True])
def test_siim_by_the_area_of_every_mask(read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool) -> None:
    monkeypatch.setattr(BENCHMARKS["siim"], "read_size", lambda _: (layouts.SIDE, layouts.SIDE))
    paths, areas = layouts.siim(tmp_path, absolute=absolute)
    benchmark = read("siim", paths, labels="stage_2_train.csv" if absolute else "train-rle.csv")
    counts = benchmark.counts
    assert (counts["rows_published"], counts["rows_without_mask"], counts["images_published"]) == (
        12_954,
        9_378,
        12_047,
    )
    assert counts["offsets_from_the_first_pixel"] == absolute
    assert benchmark.masks is not None
    painted = benchmark.masks.select("image_id", pl.col("runs").list.gather_every(2, 1).list.sum())
    assert dict(painted.iter_rows()) == areas


@pytest.mark.parametrize("votes", [1, 2, 3])
def test_vinbigdata_by_votes(read, tmp_path: Path, votes: int) -> None:
    benchmark = read("vinbigdata", layouts.vinbigdata(tmp_path), votes=votes)
    assert (benchmark.counts["rows_published"], benchmark.counts["images_published"]) == (67_914, 15_000)
    named = defaultdict(set)
    boxes = 0
    rows = [line.split(",") for line in (tmp_path / "train.csv").read_text().splitlines()[1:]]
    for image, name, _, radiologist, *_ in rows:
        named[image, name].add(radiologist)
    boxes = sum(len(named[row[0], row[1]]) >= votes for row in rows if row[1] != "No finding")
    agreed = {(image, name) for (image, name), who in named.items() if len(who) >= votes and name != "No finding"}
    canonical = BENCHMARKS["vinbigdata"].FINDINGS
    positive = benchmark.labels.filter(pl.col("label") == 1).select("image_id", "finding")
    assert set(positive.iter_rows()) == {(image, canonical[name]) for image, name in agreed}
    assert benchmark.boxes is not None
    assert benchmark.counts["boxes"] == benchmark.boxes.height == boxes
    assert (votes == 1) == (benchmark.counts["findings_outvoted"] == 0)


def test_covidx_with_spaces_in_names(read, tmp_path: Path) -> None:
    benchmark = read("covidx", layouts.covidx(tmp_path))
    counts = benchmark.counts
    assert (counts["images_published"], counts["images"], counts["images_missing"]) == (84_818, 84_818, 0)
    assert (counts["images_train"], counts["images_validate"], counts["images_test"]) == (67_863, 8_473, 8_482)
    assert benchmark.images["image_id"].str.contains(" ").sum() == 84_818 // 7 + 1


def test_rahman_by_folder(read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pl.Series(layouts.rahman(tmp_path))
    monkeypatch.setattr(
        BENCHMARKS["rahman"],
        "list_files",
        lambda _root, folders, _suffixes: pl.DataFrame(
            {"path": paths.filter(paths.str.starts_with(f"{folders[0]}/")), "bytes": 1}
        ),
    )
    benchmark = BENCHMARKS["rahman"].read(tmp_path, seed=0)
    counts = benchmark.counts
    assert (counts["images"], counts["positive_covid-19"], counts["images_of_Normal"]) == (21_165, 3_616, 10_192)
