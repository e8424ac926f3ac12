from pathlib import Path

import polars as pl
import pytest

from pipeline.benchmarks.corpus import CORPUS_BENCHMARKS, corpus_findings, read_corpus_benchmark
from pipeline.errors import DatasetError
from pipeline.schemas import IMAGES, LABELS, write_table

TRIPLETS = dict.fromkeys(("study_id", "pathology", "existence", "severity"), pl.String)
TRAINED = 60


def corpus(held_out: dict[str, list[tuple[str, str, str | None]]]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Triplets, studies and images: training studies that make edema, mass and nodule frequent, and the given others.

    Every study has one image of its name; names that begin with v are of the validation split.
    """
    often = [("edema", TRAINED), ("mass", TRAINED // 2), ("nodule", TRAINED // 2), ("cavity", 1)]
    rows = [(f"t{n}", name, "present", None) for name, count in often for n in range(count)]
    rows += [(study, *triplet) for study, triplets in held_out.items() for triplet in triplets]
    names = [f"t{n}" for n in range(2 * TRAINED)] + list(held_out)
    splits = ["train" if name[0] == "t" else "validate" if name[0] == "v" else "test" for name in names]
    studies = pl.DataFrame({"study_id": names, "patient_id": names, "split": splits})
    images = studies.with_columns(
        image_id=pl.concat_str(pl.lit("i"), "study_id"), path="study_id", bytes=pl.lit(1, pl.Int64),
        view=pl.lit("PA"), sex=pl.lit(None, pl.String), age=pl.lit(None, pl.Float32),
    )  # fmt: skip
    return pl.DataFrame(rows, schema=TRIPLETS, orient="row"), studies, images


HELD_OUT = {
    "e0": [],  # not read
    "e1": [("edema", "present", "mild")],
    "e2": [("edema", "present", "subtle"), ("edema", "present", "severe"), ("mass", "absent", None)],
    "e3": [("edema", "present", None), ("mass", "uncertain", None)],
    "e4": [("normal", "present", None)],
    "e5": [("edema", "uncertain", None), ("nodule", "present", None)],
    "v1": [("metastasis", "present", "moderate"), ("edema", "absent", None), ("edema", "present", None)],
}


def labels_of(name: str, tmp_path: Path) -> dict[str, dict[str, int]]:
    """study -> finding -> label."""
    benchmark = read_corpus_benchmark(name, *corpus(HELD_OUT), tmp_path / "mimic")
    write_table(benchmark.images, tmp_path / "images.parquet", IMAGES)
    write_table(benchmark.labels, tmp_path / "labels.parquet", LABELS)
    read: dict[str, dict[str, int]] = {}
    for image, finding, label in benchmark.labels.select("image_id", "finding", "label").rows():
        read.setdefault(image[1:], {})[finding] = label
    assert {image[1:] for image in benchmark.images["image_id"]} == set(read)
    return read


def test_the_most_frequent_diseases_are_asked_for() -> None:
    triplets, studies, _ = corpus(HELD_OUT)
    assert corpus_findings("mimic_multi", triplets, studies) == {
        "edema": ("edema", None),
        "mass": ("mass", None),
        "nodule": ("nodule", None),
    }
    graded = corpus_findings("mimic_fg", triplets, studies)
    assert list(graded)[:4] == ["mild edema", "moderate edema", "severe edema", "mild mass"]
    assert graded["severe nodule"] == ("nodule", "severe")
    many = pl.DataFrame({"study_id": ["s"] * 25, "pathology": sorted(NAMES), "existence": "present", "severity": None})
    assert len(corpus_findings("mimic16", many, studies.head(1))) == 16
    assert len(corpus_findings("mimic_fg", many, studies.head(1))) == 15


NAMES = {
    *("atelectasis", "cardiomegaly", "pleural effusion", "infiltrate", "consolidation", "pneumonia", "edema", "scar"),
    *("emphysema", "fibrosis", "pleural thickening", "pneumothorax", "blunting", "mass", "nodule", "granuloma"),
    *("calcification", "bronchiectasis", "cavity", "hyperinflation", "hernia", "fracture", "kyphosis", "scoliosis"),
    "crowding",
}


def test_every_mentioned_and_unmentioned_disease_is_labelled_but_the_uncertain(tmp_path: Path) -> None:
    assert labels_of("mimic_multi", tmp_path) == {
        "e1": {"edema": 1, "mass": 0, "nodule": 0},
        "e2": {"edema": 1, "mass": 0, "nodule": 0},
        "e3": {"edema": 1, "nodule": 0},
        "e4": {"edema": 0, "mass": 0, "nodule": 0},
        "e5": {"mass": 0, "nodule": 1},
        "v1": {"edema": 1, "mass": 1, "nodule": 0},  # metastasis is a mass; present outweighs absent
    }


def test_single_label_images_have_exactly_one_disease_and_none_uncertain(tmp_path: Path) -> None:
    assert set(labels_of("mimic16", tmp_path)) == {"e1", "e2"}


def test_severities_are_labelled_where_they_are_stated(tmp_path: Path) -> None:
    read = labels_of("mimic_fg", tmp_path)
    edema = {study: [found.get(f"{grade} edema") for grade in ("mild", "moderate", "severe")]
             for study, found in read.items()}  # fmt: skip
    assert edema == {
        "e1": [1, 0, 0],
        "e2": [1, 0, 1],  # subtle counts as mild
        "e3": [None, None, None],  # no severity is stated
        "e4": [0, 0, 0],
        "e5": [None, None, None],  # uncertain
        "v1": [None, None, None],
    }
    assert [read["v1"][f"{grade} mass"] for grade in ("mild", "moderate", "severe")] == [0, 1, 0]


def test_counts_say_what_was_left_out(tmp_path: Path) -> None:
    counts = read_corpus_benchmark("mimic16", *corpus(HELD_OUT), tmp_path / "mimic").counts
    assert (counts["images_of_corpus"], counts["images_left_out"], counts["images"]) == (7, 5, 2)
    counts = read_corpus_benchmark("mimic_multi", *corpus(HELD_OUT), tmp_path / "mimic").counts
    assert (counts["labels_left_out"], counts["positive_edema"], counts["images_validate"]) == (2, 4, 1)


def test_phantoms_tell_how_severe_a_disease_is(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    drawn = {
        "dataset": ["mimic", "other"],
        "image_id": ["ie1", "ie2"],
        "finding": ["edema"] * 2,
        "severity": ["subtle"] * 2,
    }
    pl.DataFrame(drawn).write_parquet(tmp_path / "truth/severity.parquet")
    labels = read_corpus_benchmark("mimic_multi", *corpus(HELD_OUT), tmp_path / "mimic").labels
    assert labels.drop_nulls("severity").rows() == [("ie1", "edema", 1, "subtle")]


@pytest.mark.parametrize("name", CORPUS_BENCHMARKS)
def test_what_cannot_be_made_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    triplets, studies, images = corpus(HELD_OUT)
    healthy = triplets.with_columns(pathology=pl.lit("normal"))
    with pytest.raises(
        DatasetError, match=f"No disease is present in more than 1% of 127 reports, so that {name} has nothing"
    ):
        read_corpus_benchmark(name, healthy, studies, images, tmp_path)
    with pytest.raises(DatasetError, match=f"no validation or test image for {name}"):
        read_corpus_benchmark(name, triplets, studies, images.filter(split="train"), tmp_path)
