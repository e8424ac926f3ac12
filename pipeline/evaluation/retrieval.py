"""Retrieval among image-text pairs, in both directions: is what is ranked first the right thing?

A pair is an image and the text of its study's structured label. An image and a text are relevant to each other when
their studies have the same structured label, all of its diseases, places and severities. Precision at K is the share of
relevant candidates among the first K. MedFILIP's Table 5 names its figures so; that they grow with K suggests the share
of queries with a relevant candidate among the first K, which is given beside it as hits at K.

Candidates of equal score are taken in random order: every figure is the expectation over that order, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom

from pipeline import schemas
from pipeline.errors import EvaluationError
from pipeline.evaluation import statistics
from pipeline.evaluation.scorer import ImageSource, Prompts, Scorer
from pipeline.evaluation.statistics import RESAMPLES, Counts
from pipeline.evaluation.zero_shot import score_images

KS = (1, 3, 10)
PAIRS = 1000  # at most, as in the paper
TEXTS = 16  # asked at once: a model whose prompts see each other shall not be asked a thousand
RELEVANCE = "the same structured label: every disease with its place and its worst stated severity"

Scores = NDArray[np.float64]  # [queries, candidates]
Relevant = NDArray[np.bool_]  # [queries, candidates]


@dataclass(frozen=True)
class RetrievalResult:
    """Metrics as plain values for JSON, and the score of every image with every distinct text (`schemas.RETRIEVAL`)."""

    metrics: dict[str, Any]
    scores: pl.DataFrame


def choose_pairs(images: pl.DataFrame, labels: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The test images whose study has a label, at most `PAIRS` of them, drawn at random.

    Args:
        images: located images with study_id, patient_id and split.
        labels: study_id, label and text (`semantics.study_labels`).
        seed: of the draw.

    Returns:
        The images with label and text, in their order.

    Raises:
        EvaluationError: there are fewer than `max(KS)` such images.
    """
    labelled = images.filter(pl.col("split") == "test").join(labels, on="study_id", maintain_order="left")
    if labelled.height < max(KS):
        raise EvaluationError(
            f"The corpus has {labelled.height} test images of studies with a disease, and retrieval needs {max(KS)}: "
            "use a larger corpus, or leave the corpus out of `retrieval`."
        )
    drawn = np.random.default_rng(seed).permutation(labelled.height)[:PAIRS]
    return labelled[np.sort(drawn)]


def evaluate_retrieval(
    scorer: Scorer,
    source: ImageSource,
    pairs: pl.DataFrame,
    prompts: Prompts,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RetrievalResult:
    """Rank all texts for each image, and all images for each text.

    Args:
        scorer: the model.
        source: the decoded images.
        pairs: of `choose_pairs`, N of them.
        prompts: the distinct texts of the pairs.
        resamples: bootstrap resamples of the queries' patients, the candidates staying the same.
        seed: of the resampling.

    Raises:
        EvaluationError: a pair's text has no prompt, or a score is not finite.
    """
    place = {text: column for column, text in enumerate(prompts.texts)}
    if missing := set(pairs["text"]) - set(place):
        raise EvaluationError(f"{len(missing)} texts of pairs have no prompt: encode every distinct text.")
    distinct = _score_texts(scorer, source, pairs, prompts)  # [N, distinct texts]
    if not np.isfinite(distinct).all():
        raise EvaluationError("A score of an image and a text is not finite: train the model anew.")
    scores = distinct[:, [place[text] for text in pairs["text"]]]  # [N, N]
    labels = pairs["label"].to_numpy()
    relevant = labels[:, None] == labels[None]  # [N, N]
    counts = statistics.resample_patients(pairs["patient_id"].to_numpy(), resamples, seed)
    directions = {
        "image_to_text": _direction(scores, relevant, counts),
        "text_to_image": _direction(scores.T, relevant.T, counts),
    }
    means = {name: float(np.mean([one[name] for one in directions.values()])) for name in ("p_at_10", "chance_p_at_10")}
    metrics = {
        **directions,
        **means,
        "pairs": pairs.height,
        "patients": pairs["patient_id"].n_unique(),
        "distinct_labels": pairs["label"].n_unique(),
        "relevance": RELEVANCE,
        "ties": "in random order, in expectation",
    }
    return RetrievalResult(metrics, _table(pairs, prompts, distinct))


def _score_texts(scorer: Scorer, source: ImageSource, pairs: pl.DataFrame, prompts: Prompts) -> Scores:
    """[N, distinct texts]: every image with every text, a few texts at a time."""
    groups = {
        str(first): Prompts(prompts.texts[first : first + TEXTS], prompts.vectors[first : first + TEXTS])
        for first in range(0, len(prompts), TEXTS)
    }
    return torch.cat([*score_images(scorer, source, pairs, groups).values()], dim=1).double().numpy()


def _direction(scores: Scores, relevant: Relevant, counts: Counts) -> dict[str, Any]:
    """All figures of one direction with their chance levels; of precision also its interval and the best possible."""
    total, right = relevant.shape[1], relevant.sum(axis=1)
    figures: dict[str, Any] = {}
    for k in KS:
        precision = precision_at(scores, relevant, k)
        figures |= {
            f"p_at_{k}": float(precision.mean()),
            f"p_at_{k}_interval": statistics.percentile_interval(statistics.resampled_mean(precision, counts)),
            f"chance_p_at_{k}": float(right.mean() / total),
            f"best_p_at_{k}": float(np.minimum(right, k).mean() / k),
            f"hits_at_{k}": float(hits_at(scores, relevant, k).mean()),
            f"chance_hits_at_{k}": float((1 - hypergeom.pmf(0, total, right, k)).mean()),
        }
    return figures


def precision_at(scores: Scores, relevant: Relevant, k: int) -> NDArray[np.float64]:
    """Expected share of relevant candidates among the first k of each query: [queries]."""
    above, level, free = _around(scores, k)
    sure = (above & relevant).sum(axis=1)
    drawn = free * (level & relevant).sum(axis=1) / level.sum(axis=1)
    precision: NDArray[np.float64] = (sure + drawn) / k
    return precision


def hits_at(scores: Scores, relevant: Relevant, k: int) -> NDArray[np.float64]:
    """Probability that a relevant candidate is among the first k of each query: [queries]."""
    above, level, free = _around(scores, k)
    none_drawn = hypergeom.pmf(0, level.sum(axis=1), (level & relevant).sum(axis=1), free)
    return np.where((above & relevant).any(axis=1), 1.0, 1 - none_drawn)


def _around(scores: Scores, k: int) -> tuple[Relevant, Relevant, NDArray[np.int64]]:
    """Candidates surely among the first k, those level with the k-th, and how many of these are among the first k."""
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    above, level = scores > kth, scores == kth
    return above, level, k - above.sum(axis=1)


def _table(pairs: pl.DataFrame, prompts: Prompts, scores: Scores) -> pl.DataFrame:
    """`schemas.RETRIEVAL`: every image with every distinct label."""
    label_of = dict(pairs.select("text", "label").iter_rows())
    candidates: Sequence[str] = [label_of[text] for text in prompts.texts]
    rows = pairs.select("image_id", "patient_id", "label").with_columns(
        candidate=pl.Series([candidates] * pairs.height, dtype=pl.List(pl.String)),
        score=pl.Series(scores.astype(np.float32).tolist(), dtype=pl.List(pl.Float32)),
    )
    return rows.explode("candidate", "score").select(schemas.RETRIEVAL.names)
