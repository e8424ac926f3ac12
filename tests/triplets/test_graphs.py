"""The published file of annotations: streaming, keys, what is missing, and what is broken where."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DatasetError, ParamsError
from pipeline.triplets import extract, graphs, shards
from pipeline.triplets.graphs import annotated_reports, read_annotations, study_of

_ANNOTATION = {
    "text": "Left effusion .",
    "entities": {
        "1": {"tokens": "Left", "label": "ANAT-DP", "start_ix": 0, "end_ix": 0, "relations": [["modify", "2"]]},
        "2": {"tokens": "effusion", "label": "OBS-DA", "start_ix": 1, "end_ix": 1, "relations": []},
    },
    "data_source": "MIMIC-CXR",
    "data_split": "inference",
}


def _key(study: int) -> str:
    return f"p10/p1000{study % 10}/s{study}.txt"


def _write(path: Path, studies: list[int]) -> Path:
    path.write_text(json.dumps({_key(study): _ANNOTATION for study in studies}))
    return path


def _reports(studies: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"study_id": list(map(str, studies)), "text": ["Left effusion."] * len(studies)})


@pytest.mark.parametrize(
    ("key", "study"), [("p18/p18004941/s58821758.txt", "58821758"), ("s5.txt", "5"), ("12-1", "12-1"), ("s5", "s5")]
)
def test_studies_of_keys(key: str, study: str):
    assert study_of(key) == study


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), st.dictionaries(st.text(), _JSON, max_size=4), max_size=4),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_any_object_is_streamed_whatever_is_read_at_a_time(tmp_path_factory, content, chunk, ascii_only, indent):
    path = tmp_path_factory.mktemp("graphs") / "graphs.json"
    path.write_bytes(json.dumps(content, ensure_ascii=ascii_only, indent=indent).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "_CHUNK", chunk)
        assert {key: json.loads(text) for key, text in read_annotations(path)} == content


def test_the_file_is_never_whole_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = _write(tmp_path / "graphs.json", list(range(20_000)))
    monkeypatch.setattr(graphs, "_CHUNK", 1 << 16)
    tracemalloc.start()
    count = sum(1 for _ in read_annotations(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < path.stat().st_size / 8


_BREAKS = {
    "no object": ("[1]", 0, "before the first annotation (no {)"),
    "empty": ("", 0, "before the first annotation (no {)"),
    "a comma too many": ('{"a": {},}', 9, "after the annotation 'a' (expecting value)"),
    "no comma": ('{"a": {} "b": {}}', 9, "after the annotation 'a' (no , or })"),
    "no colon": ('{"a": {}, "b" {}}', 14, "after the annotation 'a' (no :)"),
    "a key that is none": ('{"a": {}, 1: {}}', 11, "after the annotation 'a' (a key that is no text)"),
    "cut short": ('{"a": {}, "b": {"text": "x', 15, "after the annotation 'a' (unterminated string"),
    "cut short between": ('{"a": {}', 8, "after the annotation 'a' (no , or })"),
    "more at the end": ('{"a": {}} {', 10, "after the annotation 'a' (more after the object's end)"),
    "broken within": ('{"a": {}, "b": {"text": tr, "c": "' + "\N{DEGREE SIGN}" * 30 + '"}}', 24, "(expecting value)"),
    "a line break in a text": ('{"a": {}, "b": {"text": "x\n' + "y" * 30 + '"}}', 26, "(invalid control character"),
    "too deep": ('{"a": ' + "[" * 100_000, 6, "too deep"),
}


@pytest.mark.parametrize("case", _BREAKS.values(), ids=_BREAKS.keys())
@pytest.mark.parametrize("chunk", [1 << 22, 7])
def test_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, int, str], chunk: int):
    content, byte, said = case
    path = tmp_path / "graphs.json"
    path.write_text(content)
    monkeypatch.setattr(graphs, "_CHUNK", chunk if len(content) < 1000 else 1 << 22)
    with pytest.raises(DatasetError) as caught:
        list(read_annotations(path))
    assert str(path) in str(caught.value)
    assert f"at byte {byte}, " in str(caught.value)
    assert said in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path):
    path = tmp_path / "graphs.json"
    path.write_bytes(b'{"a": {}, "b\xff": {}}')
    with pytest.raises(DatasetError, match=r"at byte 12, before the first annotation \(no UTF-8\)"):
        list(read_annotations(path))


def test_missing_files(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"extraction.graphs is .*nowhere.json, which cannot be read"):
        list(read_annotations(tmp_path / "nowhere.json"))
    with pytest.raises(ParamsError, match=r"extraction\.graphs is not set"):
        extract(_reports([1]), "graphs")


def test_rows_follow_the_reports_and_what_has_no_counterpart_is_counted(tmp_path: Path):
    path, counts = _write(tmp_path / "graphs.json", [1, 2, 3]), Counter[str]()
    triplets = extract(_reports([3, 9, 1]), "graphs", graphs=path, counts=counts)
    said = (0, "pleural effusion", "left pleura", "absent", None, 5, 13)
    assert triplets.rows() == [("3", *said), ("1", *said)]
    assert counts == {
        "annotations": 3, "annotations_without_study": 1, "studies_without_annotation": 1, "entities": 4,
        "entities_outside": 0, "observations": 2, "observations_unknown": 0, "observations_unplaced": 0,
        "anatomies_unknown": 0,
    }  # fmt: skip


def test_a_file_of_another_corpus_is_an_error(tmp_path: Path):
    path = _write(tmp_path / "graphs.json", [1, 2])
    with pytest.raises(DatasetError, match="has 2 annotations and none of the corpus's 1 studies"):
        extract(_reports([3]), "graphs", graphs=path)
    assert list(annotated_reports(path, {}, Counter())) == []


def test_two_annotations_of_a_study_are_an_error(tmp_path: Path):
    path = tmp_path / "graphs.json"
    path.write_text('{"p10/s1.txt": {}, "p11/s1.txt": {}}')
    with pytest.raises(DatasetError, match=r"two annotations of study 1, the second at 'p11/s1.txt'"):
        list(annotated_reports(path, {}, Counter()))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_annotation_that_is_not_as_published(tmp_path: Path, workers: int):
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps({_key(1): _ANNOTATION, _key(2): {"text": "a", "entities": {"7": {}}}}))
    with pytest.raises(DatasetError, match=rf"graphs.json, key '{_key(2)}': entity 7 lacks label"):
        extract(_reports([1, 2]), "graphs", workers, graphs=path)


@pytest.mark.parametrize("text", [r'"half a \ud83d character"', "NaN"])
def test_json_that_no_report_can_hold(tmp_path: Path, text: str):
    path = tmp_path / "graphs.json"
    path.write_text(f'{{"{_key(1)}": {{"text": {text}, "entities": {{}}}}}}')
    with pytest.raises(DatasetError, match=rf"graphs.json, key '{_key(1)}': .*: fetch the file again"):
        extract(_reports([1]), "graphs", graphs=path)


def test_shards_before_the_break_are_kept_and_the_mended_file_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(shards, "SHARD", 10)
    studies = list(range(95))
    whole = extract(_reports(studies), "graphs", graphs=_write(tmp_path / "whole.json", studies))
    path, working = _write(tmp_path / "graphs.json", studies), tmp_path / "working"
    mended = path.read_text()
    path.write_text(mended.replace(f'"{_key(57)}": ' + "{", f'"{_key(57)}": ' + "{{"))
    with pytest.raises(DatasetError, match=f"after the annotation '{_key(56)}'"):
        extract(_reports(studies), "graphs", graphs=path, working=working)
    finished = sorted(working.glob("*.parquet"))
    assert len(finished) == 5
    stamps = [file.stat().st_mtime_ns for file in finished]
    path.write_text(mended)
    read = []
    monkeypatch.setattr(shards, "write_whole", _spy(shards.write_whole, read))
    resumed = extract(_reports(studies), "graphs", graphs=path, working=working)
    assert resumed.equals(whole)
    assert len(read) == 5
    assert stamps
    assert "Resuming with 5 finished shards" in capsys.readouterr().out
    assert not working.exists()


def _spy(write, read: list[Path]):
    def spied(path: Path, content: bytes) -> None:
        read.append(path)
        write(path, content)

    return spied
