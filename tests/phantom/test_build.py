import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.errors import ParamsError
from pipeline.phantom.build import PhantomParams, build
from pipeline.phantom.cohort import COMMON_FINDINGS, sample_cohort
from pipeline.phantom.scene import SEEN, UNSEEN
from pipeline.triplets.lexicon import load_lexicon

TINY = PhantomParams(seed=5, size=64, studies=14, cxr14=12, rsna=12, siim=12, covidx=12, vinbigdata=12, rahman=12)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    build(tmp_path / "one", TINY, workers=1)
    build(tmp_path / "two", TINY, workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    build(tmp_path / "two", replace(TINY, seed=6), workers=1)
    fresh = digest(tmp_path / "two")
    assert fresh != digest(tmp_path / "one")
    assert len(list((tmp_path / "two/rsna-pneumonia/stage_2_train_images").iterdir())) == TINY.rsna, "old files remain"


@pytest.mark.parametrize(("name", "value"), [("size", 16), ("studies", 3), ("covidx", 0), ("rahman", 11)])
def test_too_small_is_an_error_that_names_it(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ParamsError, match=f"phantom.{name} is {value}"):
        build(tmp_path, replace(TINY, **{name: value}))
    assert not list(tmp_path.iterdir())


def test_truth_speaks_the_canonical_names(phantoms: Path) -> None:
    lexicon = load_lexicon()
    truth = pl.read_parquet(phantoms / "truth/triplets.parquet")
    assert set(truth["pathology"]) <= set(lexicon.pathologies)
    assert set(truth["anatomy"]) <= set(lexicon.anatomies)
    assert set(truth["existence"]) == {"present", "absent", "uncertain"}
    assert set(truth["severity"]) <= {None, "subtle", "mild", "moderate", "severe"}
    assert truth["study_id"].n_unique() > 0.9 * 60


def test_severities_cover_every_dataset(phantoms: Path) -> None:
    table = pl.read_parquet(phantoms / "truth/severity.parquet")
    assert table.columns == ["dataset", "image_id", "finding", "severity"]
    assert set(table["dataset"]) == {path.name for path in phantoms.iterdir() if path.name != "truth"}
    assert table.null_count().sum_horizontal().item() == 0
    assert table.select("dataset", "image_id", "finding").is_duplicated().sum() == 0


def test_default_counts_hold_enough_of_every_finding() -> None:
    corpus = sample_cohort(np.random.default_rng(0), 2000)
    drawn = Counter(finding.name for visit in corpus for finding in visit.case.findings)
    assert UNSEEN not in drawn
    assert set(drawn) == set(SEEN)
    assert min(drawn[name] for name in COMMON_FINDINGS) >= 120
    assert 0.2 < np.mean([not visit.case.diseases for visit in corpus]) < 0.4
    subtle = Counter(f.name for visit in corpus for f in visit.case.findings if f.severity == "subtle")
    assert all(subtle[name] >= 0.25 * drawn[name] for name in drawn)
    for seed in range(5):
        benchmark = sample_cohort(np.random.default_rng(seed), 250, share=0.6, returning=0.3)
        positives = Counter(finding.name for visit in benchmark for finding in visit.case.findings)
        assert min(positives[name] for name in COMMON_FINDINGS) >= 15


def test_patients_return_with_the_same_body() -> None:
    visits = sample_cohort(np.random.default_rng(1), 200)
    bodies = {}
    for visit in visits:
        body = (visit.case.seed, visit.case.sex, visit.case.age, visit.case.habitus)
        assert bodies.setdefault(visit.patient, body) == body
    assert len(set(bodies.values())) == len(bodies) == visits[-1].patient + 1
    assert len(bodies) < 150
