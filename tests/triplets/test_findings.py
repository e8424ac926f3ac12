"""Labels from triplets, against a slow loop."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ParamsError
from pipeline.triplets import extract, findings
from pipeline.triplets.lexicon import load_lexicon

_NAMES = ["pleural effusion", "edema", "hydropneumothorax", "normal", "pacemaker", "granuloma", "emphysema"]
_SCHEMA = ["study_id", "pathology", "existence"]


def _labels(text: str, label_set: str) -> set[str]:
    triplets = extract(pl.DataFrame({"study_id": ["s"], "text": [text]}))
    (row,) = findings(triplets, label_set, ["s"]).rows(named=True)
    return {name for name, value in row.items() if value == 1}


def test_absent_and_uncertain_are_not_present():
    assert _labels("No effusion. Possible pneumonia. Small nodule.", "cxr14") == {"Nodule"}


def test_chexpert_no_finding_allows_devices():
    assert _labels("Pacemaker. No effusion.", "chexpert") == {"No Finding", "Support Devices"}
    assert _labels("", "chexpert") == {"No Finding"}
    assert _labels("Cardiomegaly.", "chexpert") == {"Cardiomegaly"}


def test_studies_are_listed_in_order_with_those_without_triplets():
    triplets = pl.DataFrame([("b", "edema", "present")], schema=_SCHEMA, orient="row")
    table = findings(triplets, "cxr14", ["c", "b", "a"])
    assert table["study_id"].to_list() == ["c", "b", "a"]
    assert table["Edema"].to_list() == [0, 1, 0]
    assert table.columns[1:] == list(load_lexicon().label_sets["cxr14"].findings)
    assert set(table.dtypes[1:]) == {pl.Int8}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(_NAMES), st.sampled_from(["present", "absent"]))))
def test_against_a_loop(rows: list[tuple[str, str, str]]):
    table = findings(pl.DataFrame(rows, schema=dict.fromkeys(_SCHEMA, pl.String), orient="row"), "cxr14", "abc")
    for study, *values in table.rows():
        present = {pathology for owner, pathology, existence in rows if owner == study and existence == "present"}
        wanted = load_lexicon().label_sets["cxr14"].findings.values()
        assert values == [int(bool(present & set(pathologies))) for pathologies in wanted]


def test_an_unknown_label_set_is_named():
    with pytest.raises(ParamsError, match=r"'padchest'.*cxr14, chexpert"):
        findings(pl.DataFrame(schema=_SCHEMA), "padchest")
