"""Precision, recall and F1 of triplet sets, against scikit-learn."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from pipeline.errors import EvaluationError
from pipeline.triplets import score, score_severity

_SCHEMA = ["study_id", "pathology", "anatomy", "existence"]
_ROW = st.tuples(
    *(st.sampled_from(values) for values in (["s", "t"], ["edema", "mass"], ["lung", "heart"], ["present", "absent"]))
)


def _table(rows: list[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(_SCHEMA, pl.String), orient="row")


@given(st.lists(_ROW), st.lists(_ROW, min_size=1))
def test_micro_scores_are_those_of_scikit_learn(predicted: list[tuple[str, ...]], truth: list[tuple[str, ...]]):
    everything = sorted({*predicted, *truth})
    guess, true = [row in predicted for row in everything], [row in truth for row in everything]
    result = score(_table(predicted), _table(truth))["triplets"]
    assert result["micro_precision"] == pytest.approx(precision_score(true, guess, zero_division=0))
    assert result["micro_recall"] == pytest.approx(recall_score(true, guess, zero_division=0))
    assert result["micro_f1"] == pytest.approx(f1_score(true, guess, zero_division=0))


def test_places_are_ignored_on_demand_and_pathologies_told_apart():
    truth = _table([("s", "edema", "lung", "present"), ("s", "mass", "lung", "absent")])
    predicted = _table(
        [("s", "edema", "heart", "present"), ("s", "mass", "lung", "absent"), ("s", "cyst", "lung", "present")]
    )
    result = score(predicted, truth)
    assert result["triplets"]["micro_f1"] == pytest.approx(2 / 5)
    assert result["pathology_existence"]["micro_f1"] == pytest.approx(4 / 5)
    assert result["triplets"]["macro_f1"] == pytest.approx(0.5)
    assert result["per_pathology"]["mass"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "truth": 1}
    assert list(result["per_pathology"]) == ["edema", "mass"]


def test_repeated_rows_count_once():
    rows = [("s", "edema", "lung", "present")]
    assert score(_table(rows * 3), _table(rows * 2))["triplets"]["micro_f1"] == 1


def test_an_empty_truth_is_refused():
    with pytest.raises(EvaluationError, match="true triplets are empty"):
        score(_table([]), _table([]))


_GRADED = st.lists(st.tuples(_ROW, st.sampled_from([None, "mild", "severe"])), max_size=12)


def _graded(rows: list[tuple[tuple[str, ...], str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(*row, severity) for row, severity in rows],
        schema=dict.fromkeys([*_SCHEMA, "severity"], pl.String),
        orient="row",
    )


@given(_GRADED, _GRADED)
def test_severities_are_compared_finding_by_finding(predicted: list, truth: list):
    def of(rows: list, finding: tuple[str, ...]) -> set[str | None]:
        return {severity for row, severity in rows if row == finding}

    both = {row for row, _ in predicted} & {row for row, _ in truth}
    present = [row for row in both if row[3] == "present"]
    right = [of(predicted, row) == of(truth, row) for row in present]
    graded = [good for row, good in zip(present, right, strict=True) if of(truth, row) != {None}]
    expected = {"findings": len(present), "graded": len(graded)}
    expected |= {"accuracy": pytest.approx(sum(right) / len(right))} if right else {}
    expected |= {"accuracy_graded": pytest.approx(sum(graded) / len(graded))} if graded else {}
    assert score_severity(_graded(predicted), _graded(truth)) == expected
