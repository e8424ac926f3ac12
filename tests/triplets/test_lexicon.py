"""The lexicon file as committed, and files with faults."""

from pathlib import Path

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.triplets.lexicon import load_lexicon

_FILE = Path(__file__).parents[2] / "pipeline" / "triplets" / "lexicon.yaml"
_CXR14 = (
    "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema Emphysema "
    "Fibrosis Pleural_Thickening Hernia"
)


def _changed(tmp_path: Path, section: str, name: str, entry: object) -> Path:
    raw = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    raw[section][name] = entry
    path = tmp_path / "lexicon.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def test_label_sets_are_named_as_in_the_datasets():
    sets = load_lexicon().label_sets
    assert list(sets["cxr14"].findings) == _CXR14.split()
    assert len(sets["chexpert"].findings) == 13
    assert sets["chexpert"].no_finding == "No Finding"


def test_sides_and_holders():
    lexicon = load_lexicon()
    assert lexicon.sided("lung base", "both") == ("left lung base", "right lung base")
    assert lexicon.sided("pleura", "left") == ("left pleura",)
    assert lexicon.sided("heart", "left") == ("heart",)
    assert lexicon.within("left lung base") == ("left lung base", "left lung", "lung")
    assert lexicon.within("retrocardiac") == ("retrocardiac", "left lower lung", "left lung", "lung")


def test_every_place_is_held_by_an_end_without_circles():
    lexicon = load_lexicon()
    assert all(len(lexicon.within(name)) <= 5 for name in lexicon.anatomies)


@pytest.mark.parametrize(
    ("phrase", "plural"),
    [
        ("nodule", "nodules"),
        ("opacity", "opacities"),
        ("mass", "masses"),
        ("right apex", "right apices"),
        ("x-ray", "x-rays"),
    ],
)
def test_plurals(phrase: str, plural: str):
    assert load_lexicon().plural(phrase) == plural


@pytest.mark.parametrize(
    ("section", "name", "entry", "message"),
    [
        ("pathologies", "nodule", {"parent": "bump"}, "'bump'"),
        ("pathologies", "nodule", {"anatomy": "elbow"}, "'elbow'"),
        ("pathologies", "nodule", {"described": {"elbow": ["round"]}}, "'elbow'"),
        ("pathologies", "nodule", {"synonyms": ["effusion"]}, "'effusion'"),
        ("anatomies", "lingula", {"parent": "elbow"}, "'elbow'"),
        ("groups", "both", {"anatomies": ["elbow"], "synonyms": ["both"]}, "'elbow'"),
        ("label_sets", "mine", {"findings": {"Bump": ["bump"]}}, "'bump'"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, section: str, name: str, entry: object, message: str):
    with pytest.raises(ParamsError, match=message):
        load_lexicon(_changed(tmp_path, section, name, entry))


def test_a_file_that_is_missing_or_no_yaml(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"absent\.yaml"):
        load_lexicon(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("pathologies: [", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"broken\.yaml"):
        load_lexicon(tmp_path / "broken.yaml")
    (tmp_path / "short.yaml").write_text("pathologies: {}", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"short\.yaml lacks the section anatomies"):
        load_lexicon(tmp_path / "short.yaml")
