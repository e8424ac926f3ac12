"""Retrieval figures against every order of the candidates, torchmetrics, and images whose pixels are their scores."""

from itertools import permutations
from math import comb
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.retrieval import RetrievalHitRate, RetrievalPrecision

from pipeline.errors import EvaluationError
from pipeline.evaluation.retrieval import KS, PAIRS, TEXTS, choose_pairs, evaluate_retrieval, hits_at, precision_at
from pipeline.evaluation.scorer import Prompts
from pipeline.schemas import RETRIEVAL, write_table


def by_hand(scores: np.ndarray, relevant: np.ndarray, k: int) -> tuple[float, float]:
    """Precision and hits at k of one query, averaged over every order that puts no lower score first."""
    orders = [order for order in permutations(range(len(scores))) if (np.diff(scores[list(order)]) <= 0).all()]
    found = np.array([relevant[list(order[:k])] for order in orders])
    return found.mean(), found.any(axis=1).mean()


@settings(max_examples=60)
@given(
    arrays(np.int8, (2, 6), elements=st.integers(0, 3)),
    arrays(np.bool_, (2, 6)),
    st.integers(1, 6),
)
def test_ties_count_as_every_order_of_theirs(scores: np.ndarray, relevant: np.ndarray, k: int) -> None:
    values = scores.astype(np.float64)
    expected = [by_hand(*query, k) for query in zip(values, relevant, strict=True)]
    assert precision_at(values, relevant, k) == pytest.approx([precision for precision, _ in expected])
    assert hits_at(values, relevant, k) == pytest.approx([hits for _, hits in expected])


@pytest.mark.parametrize("k", KS)
def test_without_ties_the_figures_are_torchmetrics(k: int) -> None:
    rng = np.random.default_rng(k)
    scores, relevant = rng.permuted(np.arange(40.0 * 25).reshape(40, 25), axis=1), rng.random((40, 25)) < 0.15
    given = (
        torch.from_numpy(scores).flatten(),
        torch.from_numpy(relevant).flatten(),
        torch.arange(40).repeat_interleave(25),
    )
    precision, hits = (kind(top_k=k, empty_target_action="neg") for kind in (RetrievalPrecision, RetrievalHitRate))
    assert precision_at(scores, relevant, k).mean() == pytest.approx(precision(*given).item())
    assert hits_at(scores, relevant, k).mean() == pytest.approx(hits(*given).item())


class TablePairs:
    """n images in memory; the first pixel is the image's number, by which the scorer looks up its scores."""

    def __init__(self, table: np.ndarray) -> None:
        self.table, self.asked = torch.from_numpy(table), []

    @property
    def ids(self) -> list[str]:
        return [f"i{row}" for row in range(len(self.table))]

    def gather(self, rows: np.ndarray) -> torch.Tensor:
        return torch.tensor(rows.tolist(), dtype=torch.uint8)[:, None, None].expand(-1, 4, 4)

    def score(self, images: torch.Tensor, prompts: Prompts) -> torch.Tensor:
        self.asked.append(prompts.texts)
        return self.table[images[:, 0, 0].long()][:, prompts.vectors[:, 0].long()]


def pairs_of(labels: list[str], patients: list[str] | None = None) -> pl.DataFrame:
    names = [f"i{row}" for row in range(len(labels))]
    return pl.DataFrame({
        "image_id": names, "study_id": names, "patient_id": patients or names, "split": "test",
        "row": np.arange(len(labels)), "label": labels, "text": [f"text of {label}" for label in labels],
    })  # fmt: skip


def evaluate(table: np.ndarray, labels: list[str], **options):
    texts = tuple(sorted({f"text of {label}" for label in labels}))
    model = TablePairs(table)
    prompts = Prompts(texts, torch.arange(float(len(texts)))[:, None])
    return evaluate_retrieval(model, model, pairs_of(labels, options.pop("patients", None)), prompts,
                              **{"resamples": 200, **options}), model  # fmt: skip


def test_both_directions_rank_by_the_score_of_image_and_text(tmp_path: Path) -> None:
    labels = ["a", "b", "c", "a", "d", "e", "f", "g", "h", "b", "i", "j"]
    distinct = sorted(set(labels))
    table = np.random.default_rng(0).random((12, len(distinct)))
    result, _ = evaluate(table, labels)
    scores = table[:, [distinct.index(label) for label in labels]]
    relevant = np.array([[one == other for other in labels] for one in labels])
    for name, ranked, right in (("image_to_text", scores, relevant), ("text_to_image", scores.T, relevant.T)):
        for k in KS:
            figures = result.metrics[name]
            assert figures[f"p_at_{k}"] == pytest.approx(precision_at(ranked, right, k).mean())
            assert figures[f"hits_at_{k}"] == pytest.approx(hits_at(ranked, right, k).mean())
            assert figures[f"chance_p_at_{k}"] == pytest.approx(16 / 144)
            hits = [1 - comb(12 - r, k) / comb(12, k) for r in relevant.sum(axis=1).tolist()]
            assert figures[f"chance_hits_at_{k}"] == pytest.approx(np.mean(hits))
            assert figures[f"best_p_at_{k}"] == pytest.approx(np.minimum(relevant.sum(axis=1), k).mean() / k)
            low, high = figures[f"p_at_{k}_interval"]
            assert low <= figures[f"p_at_{k}"] <= high
    means = [result.metrics[name]["p_at_10"] for name in ("image_to_text", "text_to_image")]
    assert result.metrics["p_at_10"] == pytest.approx(np.mean(means))
    assert (result.metrics["pairs"], result.metrics["distinct_labels"]) == (12, 10)
    write_table(result.scores, tmp_path / "scores.parquet", RETRIEVAL)
    first = result.scores.filter(image_id="i3", candidate="c").row(0, named=True)
    assert (first["label"], first["score"]) == ("a", pytest.approx(table[3, 2], abs=1e-6))
    assert result.scores.height == 12 * 10


def test_a_model_that_knows_gets_all_that_can_be_had_and_one_that_does_not_chance() -> None:
    labels = [f"l{n % 15}" for n in range(30)]
    distinct = sorted(set(labels))
    knows = np.array([[float(label == one) for one in distinct] for label in labels])
    for figures in (evaluate(knows, labels)[0].metrics[name] for name in ("image_to_text", "text_to_image")):
        assert figures["p_at_1"] == figures["best_p_at_1"] == 1
        assert figures["p_at_3"] == pytest.approx(figures["best_p_at_3"]) == pytest.approx(2 / 3)
        assert figures["p_at_10"] > figures["best_p_at_10"] - 1e-9
    for figures in (evaluate(0 * knows, labels)[0].metrics[name] for name in ("image_to_text", "text_to_image")):
        for k in KS:
            assert figures[f"p_at_{k}"] == pytest.approx(figures[f"chance_p_at_{k}"])
            assert figures[f"hits_at_{k}"] == pytest.approx(figures[f"chance_hits_at_{k}"])


def test_equal_labels_are_always_right() -> None:
    figures = evaluate(np.random.default_rng(0).random((12, 1)), ["a"] * 12)[0].metrics
    assert figures["p_at_10"] == figures["chance_p_at_10"] == figures["image_to_text"]["hits_at_1"] == 1


def test_intervals_are_by_patient() -> None:
    """Both images of a patient are drawn together: the interval is that of means over resampled patients."""
    labels, patients = [f"l{n % 6}" for n in range(20)], [f"p{n // 2}" for n in range(20)]
    table = np.random.default_rng(1).random((20, 6))
    figures = evaluate(table, labels, patients=patients, resamples=400, seed=5)[0].metrics["image_to_text"]
    scores = table[:, [int(label[1]) for label in labels]]
    precision = precision_at(scores, np.array([[one == other for other in labels] for one in labels]), 3)
    draws = np.random.default_rng(9).integers(0, 10, (4000, 10))
    means = [np.mean([precision[2 * patient : 2 * patient + 2] for patient in draw]) for draw in draws]
    assert figures["p_at_3_interval"] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.03)


def test_texts_are_asked_a_few_at_a_time_each_once() -> None:
    labels = [f"l{n:02}" for n in range(2 * TEXTS + 3)]
    _, model = evaluate(np.random.default_rng(0).random((len(labels), len(labels))), labels)
    asked = list(dict.fromkeys(model.asked))
    assert [len(texts) for texts in asked] == [TEXTS, TEXTS, 3]
    assert len({text for texts in asked for text in texts}) == len(labels)


def located(count: int) -> pl.DataFrame:
    names = [f"s{n}" for n in range(count)]
    splits = ["train" if n % 3 == 0 else "test" for n in range(count)]
    return pl.DataFrame(
        {"image_id": names, "study_id": names, "patient_id": names, "split": splits, "row": range(count)}
    )


def test_pairs_are_test_images_of_labelled_studies() -> None:
    labels = pl.DataFrame({"study_id": [f"s{n}" for n in range(0, 60, 2)], "label": "a", "text": "a."})
    pairs = choose_pairs(located(60), labels, seed=0)
    assert pairs["study_id"].to_list() == [f"s{n}" for n in range(0, 60, 2) if n % 3]
    many = pl.DataFrame({"study_id": [f"s{n}" for n in range(2000)], "label": "a", "text": "a."})
    drawn = choose_pairs(located(2000), many, seed=0)
    assert drawn.height == PAIRS
    assert drawn["row"].is_sorted()
    assert drawn["image_id"].n_unique() == PAIRS
    assert drawn.equals(choose_pairs(located(2000), many, seed=0))
    assert not drawn.equals(choose_pairs(located(2000), many, seed=1))


def test_too_few_pairs_and_broken_scores_are_named() -> None:
    labels = pl.DataFrame({"study_id": ["s1", "s2"], "label": "a", "text": "a."})
    with pytest.raises(EvaluationError, match="2 test images of studies with a disease, and retrieval needs 10"):
        choose_pairs(located(30), labels, seed=0)
    with pytest.raises(EvaluationError, match="not finite"):
        evaluate(np.full((12, 1), np.nan), ["a"] * 12)
    model = TablePairs(np.zeros((12, 1)))
    with pytest.raises(EvaluationError, match="1 texts of pairs have no prompt"):
        evaluate_retrieval(model, model, pairs_of(["a"] * 12), Prompts(("other",), torch.zeros(1, 1)))
