"""Batches of reports against the package's own output, one report at a time."""

import json
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
import tiny_radgraph as tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PretrainedConfig

from pipeline.errors import ModelError
from pipeline.triplets import extract, shards
from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.radgraph_archive import RadGraphConfig
from pipeline.triplets.radgraph_model import Annotation, RadGraphModel, batch_spans, length_batches
from pipeline.triplets.radgraph_reading import COUNTS
from pipeline.triplets.radgraph_rules import GraphRules

GOLDEN = Path(__file__).with_name("radgraph_golden.json")
LONGEST = 96  # word pieces of a segment: reports of more are common in these tests


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radgraph")
    tiny.write_archive(folder, longest=LONGEST)
    return folder


@pytest.fixture(scope="module")
def package(root: Path) -> Any:
    return tiny.load_package(root)


@pytest.fixture(scope="module")
def model(root: Path) -> RadGraphModel:
    return RadGraphModel(RadGraphConfig(folder=str(root), batch=8))


def own(package: Any, texts: list[str]) -> list[Annotation]:
    """What the package itself says of the texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of reports of one word
        found = package(texts)
    return [{name: found[str(row)][name] for name in ("text", "entities")} for row in range(len(texts))]


def tally(annotations: list[Annotation]) -> tuple[Counter[str], Counter[str]]:
    """How often each entity label and each relation occurs."""
    entities = [entity for each in annotations for entity in each["entities"].values()]
    relations = Counter(label for entity in entities for label, _ in entity["relations"])
    return Counter(entity["label"] for entity in entities), relations


def test_batches_give_what_the_package_gives(package: Any, model: RadGraphModel) -> None:
    texts = [*tiny.reports(50), "effusion", ".", "\0", "\0 \1 \2", *tiny.reports(3, longest=200, seed=2)]
    expected = own(package, texts)
    assert model.annotate(texts) == expected
    labels, relations = tally(expected)
    assert min(labels[name] for name in tiny.LABELS) > 20
    assert min(relations[name] for name in tiny.RELATIONS) > 20


@pytest.mark.parametrize(("name", "bert"), [("radgraph", tiny.TINY), ("modern-radgraph-xl", tiny.TINY_MODERN)])
def test_other_archives(tmp_path: Path, name: str, bert: PretrainedConfig) -> None:
    tiny.write_archive(tmp_path, name, bert)
    texts = tiny.reports(20, seed=3)
    expected = own(tiny.load_package(tmp_path, name), texts)
    assert RadGraphModel(RadGraphConfig(name, str(tmp_path), batch=7)).annotate(texts) == expected
    assert all(sum(counts.values()) >= 5 for counts in tally(expected))


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_any_text(package: Any, model: RadGraphModel, texts: list[str]) -> None:
    assert model.annotate(texts) == own(package, texts)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_neither_order_nor_size_of_batches_matters(root: Path, model: RadGraphModel, batch: int) -> None:
    texts = tiny.reports(30, longest=100, seed=4)
    order = Random(batch).sample(range(len(texts)), len(texts))
    shuffled = RadGraphModel(RadGraphConfig(folder=str(root), batch=batch)).annotate([texts[row] for row in order])
    expected = model.annotate(texts)
    assert shuffled == [expected[row] for row in order]


def test_reports_without_words_have_no_entities(model: RadGraphModel) -> None:
    (report,) = tiny.reports(1, seed=9)
    found = model.annotate(["", report, " \n\t"])
    assert [each["text"] for each in found] == ["", " ".join(found[1]["text"].split()), ""]
    assert [bool(each["entities"]) for each in found] == [False, True, False]
    assert model.annotate([]) == []


def test_a_report_of_50000_characters(model: RadGraphModel) -> None:
    words = "\n".join(tiny.reports(90, seed=6)).split(" ")
    text = " ".join(f"{word}pneumothoraxedema" for word in words)[:50_000]
    assert len(text) == 50_000
    (found,) = model.annotate([text])
    assert "".join(found["text"].split()) == "".join(text.split())
    assert len(found["entities"]) > 100


def test_golden(model: RadGraphModel) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert dict(zip(golden, model.annotate(list(golden)), strict=True)) == golden
    assert all(sum(counts.values()) >= 5 for counts in tally(list(golden.values())))


def test_annotations_become_triplets_and_an_interrupted_run_goes_on(
    root: Path, package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shards, "SHARD", 10)
    table = pl.DataFrame({"study_id": [f"s{row}" for row in range(30)], "text": [*tiny.reports(29, seed=8), ""]})
    config, counts = RadGraphConfig(folder=str(root)), Counter[str]()
    triplets = extract(table, "radgraph", radgraph=config, counts=counts)
    rules, texts = GraphRules(load_lexicon()), table["text"].to_list()
    expected = [rules.read(annotation, text) for annotation, text in zip(own(package, texts[:-1]), texts, strict=False)]
    assert triplets.rows() == [(f"s{row}", *triplet) for row, found in enumerate(expected) for triplet in found]
    assert triplets["pathology"].n_unique() > 3
    assert counts == {name: rules.counts[name] for name in COUNTS}
    with monkeypatch.context() as broken:
        broken.setattr(RadGraphModel, "annotate", _fail_at(texts[25], RadGraphModel.annotate))
        with pytest.raises(KeyboardInterrupt):
            extract(table, "radgraph", radgraph=config, working=tmp_path)
    assert extract(table, "radgraph", radgraph=config, working=tmp_path).equals(triplets)
    assert "Resuming with 2 finished shards" in capsys.readouterr().out


def _fail_at(text: str, annotate: Any) -> Any:
    def annotate_or_fail(model: RadGraphModel, reports: list[str]) -> list[Annotation]:
        if text in reports:
            raise KeyboardInterrupt
        found: list[Annotation] = annotate(model, reports)
        return found

    return annotate_or_fail


def test_missing_weights_end_the_extraction_with_what_to_bring(tmp_path: Path) -> None:
    table = pl.DataFrame({"study_id": ["a"], "text": ["No edema."]})
    with pytest.raises(ModelError, match=r"lacks config\.json, weights\.th, .*extraction\.radgraph\.folder"):
        extract(table, "radgraph", radgraph=RadGraphConfig(folder=str(tmp_path)))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(1, 12))
def test_spans_come_in_the_order_of_the_package(lengths: list[int], longest: int) -> None:
    from radgraph.allennlp.data.dataset_readers.dataset_utils import enumerate_spans

    spans = batch_spans(lengths, longest)
    for row, length in enumerate(lengths):
        expected = [list(span) for span in enumerate_spans(["x"] * length, max_span_width=longest)]
        assert spans.words[spans.owners == row].tolist() == expected
    assert spans.owners.tolist() == sorted(spans.owners.tolist())


@given(st.lists(st.integers(0, 2000)), st.integers(1, 20))
def test_batches_hold_each_row_once_and_little_padding(lengths: list[int], size: int) -> None:
    batches = list(length_batches(lengths, size))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == [row for row, length in enumerate(lengths) if length]
    assert [lengths[row] for row in rows] == sorted(length for length in lengths if length)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch[-1]] <= size * 512
        assert lengths[batch[-1]] <= 1.25 * lengths[batch[0]]
        assert 1 <= len(batch) <= size
