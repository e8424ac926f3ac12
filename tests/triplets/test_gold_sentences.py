"""The extractor against our own sentences, kind by kind and as a whole."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml

from pipeline.triplets import extract, score

_GOLD = yaml.safe_load(Path(__file__).with_name("gold_sentences.yaml").read_text(encoding="utf-8"))
_SENTENCES = [(kind, entry) for kind, entries in _GOLD.items() for entry in entries]
_COLUMNS = ["study_id", "pathology", "anatomy", "existence", "severity"]


def _rows(triplets: pl.DataFrame) -> set[tuple[str | None, ...]]:
    return set(triplets.select(_COLUMNS[1:]).rows())


def _expected(entry: dict) -> Iterator[tuple[str | None, ...]]:
    return ((*triplet, None)[:4] for triplet in entry["triplets"])


@pytest.fixture(scope="module")
def predicted() -> pl.DataFrame:
    texts = [entry["text"] for _, entry in _SENTENCES]
    return extract(pl.DataFrame({"study_id": [str(index) for index in range(len(texts))], "text": texts}))


def test_there_are_enough_sentences_and_none_twice():
    assert len({entry["text"] for _, entry in _SENTENCES}) == len(_SENTENCES) >= 150


def test_f1_of_all_sentences(predicted: pl.DataFrame, capsys: pytest.CaptureFixture[str]):
    rows = [(str(index), *row) for index, (_, entry) in enumerate(_SENTENCES) for row in _expected(entry)]
    result = score(predicted, pl.DataFrame(rows, schema=_COLUMNS, orient="row"))
    with capsys.disabled():
        print(f"\n{len(_SENTENCES)} gold sentences: F1 {result['triplets']['micro_f1']:.3f}")
    assert result["triplets"]["micro_f1"] >= 0.97


@pytest.mark.parametrize("index", range(len(_SENTENCES)), ids=lambda index: f"{_SENTENCES[index][0]}-{index}")
def test_sentence(predicted: pl.DataFrame, index: int):
    entry = _SENTENCES[index][1]
    found = _rows(predicted.filter(pl.col("study_id") == str(index)))
    assert found == set(_expected(entry)), entry["text"]
