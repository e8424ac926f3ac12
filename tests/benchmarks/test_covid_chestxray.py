from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks import BENCHMARKS, Benchmark
from pipeline.corpora import CORPORA
from pipeline.errors import DatasetError

HEADER = "patientid,offset,sex,age,finding,view,modality,folder,filename,clinical_notes,other_notes,"
FINDINGS = ["COVID-19", "Pneumonia/Viral/COVID-19", "Streptococcus", "No Finding", "Tuberculosis", "COVID-19, ARDS"]


def write(root: Path, findings: list[str]) -> None:
    (root / "images").mkdir(exist_ok=True)
    rows = [f'{n},0,F,60,"{finding}",PA,X-ray,images,{n}.jpg,Note.,,' for n, finding in enumerate(findings)]
    for number in range(len(findings)):
        (root / f"images/{number}.jpg").write_bytes(b"image")
    (root / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n")


def read(root: Path, findings: list[str]) -> Benchmark:
    write(root, findings)
    return BENCHMARKS["covid_chestxray"].read(root, seed=0)


def test_findings_of_older_and_current_files(tmp_path: Path) -> None:
    benchmark = read(tmp_path, FINDINGS * 30)
    labels = benchmark.labels.pivot("finding", index="image_id", values="label")
    for row in labels.iter_rows(named=True):
        expected = {
            "COVID-19": (1, 1, 0, 0),
            "Pneumonia/Viral/COVID-19": (1, 1, 0, 0),
            "Streptococcus": (0, 1, 0, 0),
            "No Finding": (0, 0, 0, 1),
            "Tuberculosis": (0, 0, 1, 0),
            "COVID-19, ARDS": (1, 1, 0, 0),
        }[FINDINGS[int(row["image_id"].removesuffix(".jpg")) % 6]]
        assert tuple(row[name] for name in ("covid-19", "pneumonia", "tuberculosis", "normal")) == expected


def test_held_out_patients_only_and_the_corpus_split(tmp_path: Path) -> None:
    benchmark = read(tmp_path, [*FINDINGS * 30, "todo", "Unknown", "", "todo", "todo"])
    corpus = CORPORA["covid_chestxray"].read(tmp_path, labels="metadata.csv", views=("PA",), sections=(), seed=0)
    splits = dict(corpus.images.select("image_id", "split").iter_rows())
    assert set(benchmark.images["split"]) == {"validate", "test"}
    assert all(splits[image] == split for image, split in benchmark.images.select("image_id", "split").iter_rows())
    held_out = sum(split != "train" for split in splits.values())
    assert benchmark.counts["images_unlabelled"] == held_out - benchmark.images.height


def test_findings_without_both_classes_are_left_out_and_counted(tmp_path: Path) -> None:
    benchmark = read(tmp_path, ["COVID-19", "Streptococcus"] * 60)  # all of them pneumonias
    assert set(benchmark.labels["finding"]) == {"covid-19"}
    assert benchmark.counts["findings_without_both_classes"] == 3
    with pytest.raises(DatasetError, match="no finding has positives and negatives"):
        read(tmp_path, ["COVID-19"] * 60)


def test_an_unknown_finding_is_named(tmp_path: Path) -> None:
    findings = FINDINGS * 30
    held_out = read(tmp_path, findings).images["image_id"][0]
    line = int(held_out.removesuffix(".jpg"))
    findings[line] = "Broken heart"
    with pytest.raises(DatasetError, match=f"metadata.csv, line {line + 2}: finding is 'Broken heart'"):
        read(tmp_path, findings)


def test_an_image_has_every_scored_finding_once(tmp_path: Path) -> None:
    labels = read(tmp_path, FINDINGS * 30).labels
    assert labels.select(pl.struct("image_id", "finding").is_unique().all()).item()
