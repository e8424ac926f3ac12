import polars as pl
import pytest

from pipeline.schemas import FINDINGS, LABEL_TEXTS, STUDY_LABELS, read_table, write_table
from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.structured_labels import structured_labels, whole_reports

# study, pathology, anatomy, existence, severity
SAID = [
    ("a", "edema", "lung", "present", "mild"),
    ("a", "edema", "lung", "uncertain", "mild"),
    ("a", "edema", "unspecified", "present", None),
    ("a", "mass", "left upper lobe", "uncertain", None),
    ("a", "normal", "bone", "present", None),
    ("b", "normal", "heart", "present", None),
    ("b", "edema", "lung", "absent", None),
    ("c", "mass", "right lung", "present", "severe"),
    ("c", "edema", "lung", "absent", None),
    ("c", "edema", "left lung", "uncertain", None),
    ("d", "hernia", "stomach", "present", None),
    ("e", "mass", "lung", "absent", None),
]
SPLITS = {"a": "train", "b": "train", "c": "train", "d": "validate", "e": "train"}


def tables():
    names = ["study_id", "pathology", "anatomy", "existence", "severity"]
    triplets = pl.DataFrame(SAID, schema=dict.fromkeys(names, pl.String), orient="row")
    studies = pl.DataFrame({"study_id": list(SPLITS), "split": list(SPLITS.values())})
    return triplets, studies.with_columns(report=pl.concat_str(pl.lit(" Report of "), "study_id"))


def labels(**changes):
    options = {"knowledge": None, "fine_grained": True, "min_ratio": 0.0, **changes}
    return structured_labels(*tables(), **options)


def stated(found):
    joined = found.studies.join(found.texts, left_on="label", right_on="index")
    return sorted(joined.select("study_id", "text", "state").rows())


def test_labels_of_each_study():
    assert stated(labels()) == [
        ("a", "edema.", "present"),
        ("a", "left upper lobe mass.", "uncertain"),
        ("a", "mild lung edema.", "present"),
        ("b", "normal.", "present"),
        ("c", "left lung edema.", "uncertain"),
        ("c", "severe right lung mass.", "present"),
        ("e", "normal.", "present"),
    ]


def test_findings_are_pooled_and_normal_means_nothing_found():
    found = labels()
    names = dict(found.texts.select("index", "category").rows())
    assert sorted((s, names[c], state) for s, c, state in found.findings.rows()) == [
        ("a", "edema", "present"), ("a", "mass", "uncertain"), ("a", "normal", "absent"),
        ("b", "edema", "absent"), ("b", "normal", "present"),
        ("c", "edema", "uncertain"), ("c", "mass", "present"), ("c", "normal", "absent"),
        ("d", "normal", "absent"), ("e", "mass", "absent"), ("e", "normal", "present"),
    ]  # fmt: skip


def test_a_study_that_was_not_read_has_no_label():
    """Study a lost its triplets; b, of which only normal things are said, keeps its label."""
    triplets, studies = tables()
    found = structured_labels(triplets.filter(pl.col("study_id") != "a"), studies, None, True, 0.0)
    assert found.studies["study_id"].unique().sort().to_list() == ["b", "c", "e"]
    assert found.findings["study_id"].unique().sort().to_list() == ["b", "c", "d", "e"]


def test_the_categories_alone_come_first_and_every_label_has_its_mirror():
    texts = labels().texts
    assert texts["text"].to_list()[:3] == ["edema.", "mass.", "normal."]
    rows = {row["index"]: row for row in texts.to_dicts()}
    assert list(rows) == list(range(len(rows)))
    for row in rows.values():
        assert rows[row["plain"]]["text"] == f"{row['category']}."
        mirror = rows[row["mirror"]]
        assert (mirror["category"], mirror["severity"]) == (row["category"], row["severity"])
        assert rows[mirror["mirror"]] == row
    sides = {row["text"]: rows[row["mirror"]]["text"] for row in rows.values()}
    assert sides["severe right lung mass."] == "severe left lung mass."
    assert sides["mild lung edema."] == "mild lung edema."


def test_rare_categories_of_the_training_split_are_left_out():
    """The hernia is of the validation split; a mass is present in 1 of 4 training studies."""
    assert "hernia" not in labels().texts["category"]
    assert set(labels(min_ratio=0.25).texts["category"]) == {"normal"}
    assert set(labels(min_ratio=0.24).texts["category"]) == {"edema", "mass", "normal"}


def test_without_fine_grained_labels_the_category_is_all():
    found = labels(fine_grained=False)
    assert found.texts["text"].to_list() == ["edema.", "mass.", "normal."]
    assert ("a", "edema.", "present") in stated(found)
    assert ("a", "mass.", "uncertain") in stated(found)


def test_with_knowledge_the_explanation_follows():
    knowledge = load_knowledge()
    (text,) = labels(knowledge=knowledge).texts.filter(pl.col("severity") == "mild")["text"]
    assert text.startswith(f"mild lung edema. {knowledge.explanation('edema')}")


def test_whole_reports_are_the_labels_and_categories_stay_for_validation(tmp_path):
    triplets, studies = tables()
    studies = studies.with_columns(
        report=pl.when(pl.col("study_id") == "b").then(pl.lit("Report of a")).otherwise("report")
    )
    studies = studies.with_columns(report=pl.when(pl.col("study_id") == "d").then(pl.lit(" ")).otherwise("report"))
    found = whole_reports(structured_labels(triplets, studies, None, True, 0.0), studies)
    assert found.texts["text"].to_list() == [
        "edema.", "mass.", "normal.", "Report of a", "Report of c", "Report of e",
    ]  # fmt: skip
    assert found.texts["category"].to_list()[2:] == ["normal", None, None, None]
    assert found.texts["plain"].to_list() == found.texts["mirror"].to_list() == list(range(6))
    assert dict(found.studies.select("study_id", "label").rows()) == {"a": 3, "b": 3, "c": 4, "e": 5}
    assert found.findings.equals(labels().findings)


@pytest.mark.parametrize("entities", [True, False])
def test_the_tables_have_their_schemas(tmp_path, entities):
    found = labels() if entities else whole_reports(labels(), tables()[1])
    tables_of = ((found.texts, LABEL_TEXTS), (found.studies, STUDY_LABELS), (found.findings, FINDINGS))
    for own, schema in tables_of:
        write_table(own, tmp_path / "table.parquet", schema)
        assert read_table(tmp_path / "table.parquet", schema).equals(own)


def test_the_order_of_the_triplets_does_not_matter():
    triplets, studies = tables()
    shuffled = structured_labels(triplets.sample(fraction=1, shuffle=True, seed=1), studies, None, True, 0.0)
    for name in ("texts", "studies", "findings"):
        assert getattr(shuffled, name).equals(getattr(labels(), name))
