from pathlib import Path

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.semantics.knowledge import load_knowledge
from pipeline.triplets.lexicon import load_lexicon

ENTRY = {
    "text": "A white patch.",
    "sources": ["book"],
    "shape": "patch",
    "density": "white",
    "border": "blurred",
    "place": "lung",
}

SEVERITY = {"subtle": "barely seen", "mild": "small", "moderate": "medium", "severe": "large"}


def write(path: Path, explanations: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump({"sources": {"book": "A book"}, "severity": SEVERITY, "explanations": explanations}))
    return path


def test_every_pathology_of_the_lexicon_is_explained() -> None:
    knowledge = load_knowledge()
    assert len(knowledge.explanations) >= 75
    assert not load_lexicon().pathologies.keys() - knowledge.explanations.keys()


def test_explanations_differ_and_every_source_is_used() -> None:
    knowledge = load_knowledge()
    texts = [entry.text for entry in knowledge.explanations.values()]
    assert len(set(texts)) == len(texts)
    assert {source for entry in knowledge.explanations.values() for source in entry.sources} == set(knowledge.sources)


def test_the_unseen_disease_is_described_by_what_can_be_seen() -> None:
    text = load_knowledge().explanation("covid-19")
    for sign in ("ground-glass", "peripheral", "bilateral", "lower lobes", "multifocal"):
        assert sign in text


def test_names_are_written_once() -> None:
    lines = Path("pipeline/semantics/explanations.yaml").read_text().splitlines()
    names = [line for line in lines if line.startswith("  ") and not line.startswith("   ") and line.endswith(":")]
    assert len(set(names)) == len(names) == len(load_knowledge().explanations)


def test_descriptions_are_explanation_name_and_attributes(tmp_path: Path) -> None:
    knowledge = load_knowledge(write(tmp_path / "own.yaml", {"patch": ENTRY}))
    assert knowledge.descriptions(["patch", "unknown"]) == [("A white patch.", "patch", "patch, white, blurred, lung")]


def test_a_pathology_without_explanation_is_named(tmp_path: Path) -> None:
    knowledge = load_knowledge(write(tmp_path / "own.yaml", {"patch": ENTRY}))
    with pytest.raises(ParamsError, match=r"own\.yaml explains no pathology 'gout'"):
        knowledge.explanation("gout")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ["rumor"]}, "cite 'rumor' for 'patch'"),
        ({"sources": []}, r"explanations\.patch\.sources"),
        ({"text": ""}, r"explanations\.patch\.text"),
        ({"colour": "red"}, r"explanations\.patch\.colour"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_knowledge(write(tmp_path / "own.yaml", {"patch": ENTRY | change}))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"gone\.yaml"):
        load_knowledge(tmp_path / "gone.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ParamsError, match=r"broken\.yaml"):
        load_knowledge(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(ParamsError, match="at the file"):
        load_knowledge(tmp_path / "list.yaml")
