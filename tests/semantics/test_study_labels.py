import polars as pl

from pipeline.semantics.knowledge import load_knowledge
from pipeline.semantics.label_texts import label_text
from pipeline.semantics.study_labels import study_labels

KNOWLEDGE = load_knowledge()
COLUMNS = ("study_id", "pathology", "anatomy", "existence", "severity")


def labels(*rows: tuple[str, str, str, str, str | None]) -> pl.DataFrame:
    return study_labels(pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row"), KNOWLEDGE)


def test_a_label_names_what_is_present_where_and_how_severe() -> None:
    table = labels(
        ("s2", "pneumonia", "unspecified", "present", None),
        ("s1", "pleural effusion", "left pleura", "present", "mild"),
        ("s1", "nodule", "right upper lung", "present", None),
        ("s1", "mass", "lung", "absent", None),
        ("s1", "edema", "lung", "uncertain", "mild"),
        ("s1", "picc", "superior vena cava", "present", None),
        ("s3", "normal", "lung", "present", None),
    )
    assert table["study_id"].to_list() == ["s1", "s2"]
    assert table["label"].to_list() == ["right upper lung nodule; mild left pleura pleural effusion", "pneumonia"]
    parts = [("nodule", "right upper lung", None), ("pleural effusion", "left pleura", "mild")]
    assert table["text"][0] == " ".join(label_text(*part, KNOWLEDGE) for part in parts)
    assert KNOWLEDGE.explanation("pneumonia") in table["text"][1]


def test_what_is_said_twice_is_there_once_at_its_worst() -> None:
    twice = [("s", "edema", "lung", "present", grade) for grade in ("mild", None, "severe", "subtle")]
    assert labels(*twice)["label"].to_list() == ["severe lung edema"]


def test_the_order_of_the_report_does_not_matter() -> None:
    rows = [("s", name, "lung", "present", None) for name in ("mass", "edema", "nodule", "hemothorax")]
    assert labels(*rows).equals(labels(*reversed(rows)))
    assert labels(*rows)["label"].to_list() == ["lung edema; lung hemothorax; lung mass; lung nodule"]


def test_no_disease_is_no_label() -> None:
    assert labels(("s", "normal", "lung", "present", None)).is_empty()
