import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ParamsError, PipelineError
from pipeline.schemas import QUERY_SETS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.query_sets import (
    authors_queries,
    build_query_sets,
    query_names,
    query_rows,
)
from pipeline.triplets.lexicon import load_lexicon

KNOWLEDGE = load_knowledge()
PATHOLOGIES = ["edema", "nodule", "mass", "opacity", "pneumothorax", "hydropneumothorax"]
ANATOMIES = ["lung", "left lung", "left lung base", "right lung base", "heart", "unspecified", "pleura", "left pleura"]
STUDIES = pl.DataFrame(
    [("a", "train"), ("b", "train"), ("c", "validate"), ("d", "test")], schema=["study_id", "split"], orient="row"
)


def table(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("study_id", "pathology", "anatomy"), pl.String), orient="row")


triplets = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(PATHOLOGIES), st.sampled_from(ANATOMIES)), min_size=1
).filter(lambda rows: any(row[0] in "ab" and row[2] != "unspecified" for row in rows))


@settings(max_examples=60)
@given(triplets, st.integers(1, 5), st.integers(1, 5))
def test_frequency_takes_the_most_frequent_of_the_training_split(
    rows: list[tuple[str, str, str]], pathologies: int, anatomies: int
) -> None:
    sets = build_query_sets(table(rows), STUDIES, KNOWLEDGE, pathologies=pathologies, anatomies=anatomies)
    for column, kind, limit in ((1, "pathology", pathologies), (2, "anatomy", anatomies)):
        counts = Counter(row[column] for row in rows if row[0] in "ab" and row[column] != "unspecified")
        expected = sorted(counts, key=lambda name: (-counts[name], name))[:limit]
        assert query_names(sets, kind) == expected + (["other"] if kind == "anatomy" else [])


@settings(max_examples=60)
@given(triplets, st.integers(1, 5))
def test_counts_are_of_the_training_triplets_that_fall_to_a_query(
    rows: list[tuple[str, str, str]], anatomies: int
) -> None:
    sets = build_query_sets(table(rows), STUDIES, KNOWLEDGE, anatomies=anatomies)
    names = query_names(sets, "anatomy")
    expected = Counter()
    for study, _, place in rows:
        here: str | None = place
        while here is not None and here not in names:
            here = load_lexicon().anatomies[here].parent
        expected[here or "other"] += study in "ab"
    assert dict(sets.filter(kind="anatomy").select("name", "count").rows()) == {name: expected[name] for name in names}


def test_rows_are_numbered_and_prompted(tmp_path: Path) -> None:
    sets = build_query_sets(table([("a", "edema", "lung"), ("b", "edema", "heart")]), STUDIES, KNOWLEDGE)
    write_table(sets, tmp_path / "sets.parquet", QUERY_SETS)
    assert read_table(tmp_path / "sets.parquet", QUERY_SETS).rows() == [
        ("pathology", 0, "edema", 2, KNOWLEDGE.explanation("edema")),
        ("anatomy", 0, "heart", 1, "It is located at heart."),
        ("anatomy", 1, "lung", 1, "It is located at lung."),
        ("anatomy", 2, "other", 0, "It is located at other."),
    ]


def test_an_anatomy_outside_the_set_falls_to_its_nearest_parent_region() -> None:
    rows = [("a", "edema", "lung"), ("a", "edema", "lung"), ("a", "edema", "left lung"), ("a", "edema", "left lung")]
    found = query_rows(build_query_sets(table(rows), STUDIES, KNOWLEDGE))
    left, lung = 0, 1
    assert found.anatomy["left lung base"] == left
    assert found.anatomy["right lung base"] == found.anatomy["right lung"] == lung
    assert "heart" not in found.anatomy
    assert "unspecified" not in found.anatomy
    assert (found.other, found.exact) == (2, {"left lung", "lung"})


def test_the_released_sets_cover_each_name_of_the_lexicon_at_most_once() -> None:
    raw = yaml.safe_load(Path("pipeline/semantics/released_queries.yaml").read_text())
    for kind, size, known in (
        ("pathology", 75, load_lexicon().pathologies),
        ("anatomy", 51, load_lexicon().anatomies),
    ):
        covered = [name for entry in raw[kind].values() for name in entry.get("covers", [])]
        assert len(raw[kind]) == size
        assert len(set(covered)) == len(covered)
        assert set(covered) <= set(known)


def test_the_released_sets_have_the_names_and_the_order_of_the_released_model() -> None:
    names = json.loads(Path(__file__).with_name("released_names.json").read_text())
    sets = build_query_sets(table([]), STUDIES, KNOWLEDGE, source="released")
    assert {kind: query_names(sets, kind) for kind in ("pathology", "anatomy")} == names


def explanations(folder: Path, **changes: object) -> Path:
    """A file as the authors' one: its own texts, and one more than there are queries."""
    names = json.loads(Path(__file__).with_name("released_names.json").read_text())["pathology"]
    texts = {name: f"What {name} looks like." for name in [*names, "gout"]} | changes
    path = folder / "observation explanation.json"
    path.write_text(json.dumps({name: text for name, text in texts.items() if text is not None}))
    return path


def test_an_imported_model_brings_its_prompts_as_a_file(tmp_path: Path) -> None:
    queries = authors_queries(explanations(tmp_path))
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(queries, sort_keys=False))
    rows = [("a", "pleural effusion", "left pleura"), ("b", "edema", "sternum")]
    own = build_query_sets(table(rows), STUDIES, KNOWLEDGE, source=str(tmp_path / "queries.yaml"))
    released = build_query_sets(table(rows), STUDIES, KNOWLEDGE, source="released")
    assert own.drop("prompt").equals(released.drop("prompt"))
    prompts = dict(own.select("name", "prompt").rows())
    assert prompts["effusion"] == "What effusion looks like."
    assert prompts["left_pleural"] == "It is located at left_pleural. "
    assert prompts["other"] == "It is located at other. "


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scar": None, "chf": None}, r"explanation\.json does not explain scar, chf: give the authors' own file"),
        ({"scar": 3}, r"explanation\.json is no JSON file of explanations"),
        ({"scar": ""}, r"explanation\.json is no JSON file of explanations"),
    ],
)
def test_other_explanations_than_the_authors_are_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        authors_queries(explanations(tmp_path, **changes))
    with pytest.raises(ParamsError, match=r"absent\.json is no JSON file"):
        authors_queries(tmp_path / "absent.json")


def test_the_released_sets_gather_the_names_they_cover() -> None:
    rows = [("a", "pleural effusion", "left pleura"), ("a", "chest tube", "left lower lobe"), ("b", "edema", "sternum")]
    sets = build_query_sets(table(rows), STUDIES, KNOWLEDGE, source="released")
    counts = {(kind, name): count for kind, name, count in sets.select("kind", "name", "count").rows() if count}
    assert counts == {
        ("pathology", "effusion"): 1,
        ("pathology", "tube"): 1,
        ("pathology", "edema"): 1,
        ("anatomy", "left_pleural"): 1,
        ("anatomy", "lower_left_lobe"): 1,
        ("anatomy", "other"): 1,
    }
    prompts = dict(sets.select("name", "prompt").rows())
    assert prompts["effusion"] == KNOWLEDGE.explanation("pleural effusion")
    assert prompts["edema"] == KNOWLEDGE.explanation("edema")
    assert prompts["left_pleural"] == "It is located at left pleural."
    assert sets.filter(kind="pathology")["prompt"].n_unique() == 75


def test_a_file_gives_its_names_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("pathology: [nodule, edema]\nanatomy: [heart, lung]")
    sets = build_query_sets(table([("a", "edema", "lung")]), STUDIES, KNOWLEDGE, source=str(path))
    assert query_names(sets, "pathology") == ["nodule", "edema"]
    assert query_names(sets, "anatomy") == ["heart", "lung", "other"]


def test_a_file_may_give_prompts_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("pathology: {nodule: A round spot., edema: Wet lungs.}\nanatomy: [heart]")
    sets = build_query_sets(table([("a", "edema", "lung")]), STUDIES, KNOWLEDGE, source=str(path))
    assert sets["prompt"].to_list() == [
        "A round spot.",
        "Wet lungs.",
        "It is located at heart.",
        "It is located at other.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pathology: {edema: ''}\nanatomy: [lung]", r"own\.yaml is no YAML file with the lists"),
        ("pathology: {gout: A toe.}\nanatomy: [lung]", "lists the pathology 'gout'"),
        ("pathology: [gout]\nanatomy: [lung]", "lists the pathology 'gout', which the lexicon does not name"),
        ("pathology: [edema]\nanatomy: [toe]", "lists the anatomy 'toe'"),
        ("pathology: [edema, edema]\nanatomy: [lung]", "'edema' twice"),
        ("pathology: [edema]", r"own\.yaml is no YAML file with the lists"),
        ("pathology: [edema", r"own\.yaml is no YAML file with the lists"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=message):
        build_query_sets(table([("a", "edema", "lung")]), STUDIES, KNOWLEDGE, source=str(path))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ParamsError, match=r"frequenci.*`frequency` or `released`"):
        build_query_sets(table([("a", "edema", "lung")]), STUDIES, KNOWLEDGE, source="frequenci")


@pytest.mark.parametrize("rows", [[], [("c", "edema", "lung")], [("a", "edema", "unspecified")]])
def test_an_empty_set_is_an_error(rows: list[tuple[str, str, str]]) -> None:
    with pytest.raises(PipelineError, match="query set is empty"):
        build_query_sets(table(rows), STUDIES, KNOWLEDGE)


def test_a_pathology_without_explanation_is_an_error_with_its_name() -> None:
    with pytest.raises(ParamsError, match="'gout'"):
        build_query_sets(table([("a", "gout", "lung")]), STUDIES, KNOWLEDGE)
